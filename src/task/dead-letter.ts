import { type KappaError, messageOf } from "../core/errors.ts";
import type { Counter, Meter } from "../core/meter.ts";
import type { RecordBatchReader, RecordHeader } from "../log/record-batch.ts";
import type { Outputs } from "./outputs.ts";

/** Why a record became a dead letter. A fixed list, since it labels a metric; `docs/dead-letters.md` explains each. */
export const deadReasons = [
  "decode",
  "schema_unknown",
  "schema_incompatible",
  "limits",
  "null_key",
  "null_value",
  "not_finite",
  "timestamp",
  "orphan",
  "processing",
] as const;

export type DeadReason = (typeof deadReasons)[number];

/** Where a record died and why. */
export interface Death {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The node that could not go on. */
  readonly stage: string;
  readonly reason: DeadReason;
  readonly message: string;
  /** Whether a dedup had let it pass: sent again, it must pass once more. */
  readonly passed?: boolean;
}

/** Headers that a retry sends along: how often the record died, and whether a dedup has noted it. */
export const attemptsHeader = "kappa.dlq.attempts";
export const passedHeader = "kappa.dlq.passed";
const attemptsName = Buffer.from(attemptsHeader);
const passedName = Buffer.from(passedHeader);

/** The reason that an error gives in its context, or `otherwise`. */
export function deadReasonOf(error: KappaError, otherwise: DeadReason): DeadReason {
  return deadReasons.find((reason) => reason === error.context.reason) ?? otherwise;
}

/** Longest value that a dead letter carries whole: the longest that is ever decoded. Of a longer one it carries the start. */
const wholeValueBytes = 1 << 20;
const cutValueBytes = 65_536;
/** Longest key that a dead letter carries whole, and what it carries of a longer one. */
const keyBytesMax = 65_536;
const cutKeyBytes = 1024;
/** A record may have 65,535 headers, and ours come on top. Of more, or of longer ones, a dead letter carries none. */
const headersMax = 1024;
const headerBytesMax = 65_536;
const messageLengthMax = 1024;

/**
 * Writes records that cannot be processed to `<application id>-dead-letters`, key and value bytes and timestamp as they
 * were, with headers that say why. Part of the same transaction as the rows around them: nothing is lost, nothing is
 * there twice.
 */
export class DeadLetters {
  readonly #topic: string;
  readonly #partition: number;
  readonly #application: string;
  readonly #outputs: Outputs;
  readonly #meter: Meter;
  readonly #counters = new Map<string, Counter>();
  /** Dead letters written since the task started. */
  count = 0;

  constructor(topic: string, partition: number, application: string, outputs: Outputs, meter: Meter) {
    this.#topic = topic;
    this.#partition = partition;
    this.#application = application;
    this.#outputs = outputs;
    this.#meter = meter;
  }

  /** Buries the record that a reader stands on. What is too large to hold is cut: it is found at its source position. */
  bury(reader: RecordBatchReader, death: Death): void {
    const found = reader.headers();
    const [key, value] = [reader.key(), reader.value()];
    const own = found.filter(({ name }) => !name.startsWith("kappa.dlq.") && !name.startsWith("__streams.errors."));
    const cutHeaders = own.length > headersMax || bytesOf(own) > headerBytesMax;
    const cutKey = key !== null && key.length > keyBytesMax;
    const cutValue = value !== null && value.length > wholeValueBytes;
    const headers = [...(cutHeaders ? [] : own), ...this.#headers(death, attemptsOf(reader))];
    if (death.passed === true || passedBefore(reader)) headers.push(text(passedHeader, "dedup"));
    if (cutHeaders || cutKey || cutValue) headers.push(text("kappa.dlq.cut", String(value?.length ?? 0)));
    this.#write(
      reader.timestamp,
      cutKey ? key.subarray(0, cutKeyBytes) : key,
      cutValue ? value.subarray(0, cutValueBytes) : value,
      headers,
      death,
    );
  }

  /** Buries a row that has no record bytes of its own any more; its value travels as JSON. */
  buryValue(timeMs: number, key: string, value: unknown, death: Death): void {
    const headers = [...this.#headers(death, 0), text("kappa.dlq.format", "json")];
    const json = Buffer.from(jsonOf(value));
    const cut = json.length > wholeValueBytes;
    if (cut) headers.push(text("kappa.dlq.cut", String(json.length)));
    const carried = cut ? json.subarray(0, cutValueBytes) : json;
    this.#write(timeMs, Buffer.from(key.slice(0, cutKeyBytes)), carried, headers, death);
  }

  #headers(death: Death, attempts: number): RecordHeader[] {
    return [
      text("__streams.errors.exception", death.reason),
      text("__streams.errors.message", death.message.slice(0, messageLengthMax)),
      text("__streams.errors.topic", death.topic),
      text("__streams.errors.partition", String(death.partition)),
      text("__streams.errors.offset", String(death.offset)),
      text("kappa.dlq.reason", death.reason),
      text("kappa.dlq.stage", death.stage),
      text(attemptsHeader, String(attempts + 1)),
      text("kappa.dlq.task", `${this.#application}-${this.#partition}`),
    ];
  }

  #write(
    timeMs: number,
    key: Buffer | null,
    value: Buffer | null,
    headers: readonly RecordHeader[],
    death: Death,
  ): void {
    const time = Number.isFinite(timeMs) ? timeMs : 0;
    this.#outputs.writer(this.#topic, this.#partition).append(time, key, value, headers);
    this.count++;
    this.#counter(death).add(1);
  }

  #counter(death: Death): Counter {
    const id = `${death.topic} ${death.stage} ${death.reason}`;
    let counter = this.#counters.get(id);
    if (counter === undefined) {
      counter = this.#meter.counter("kappa_dlq_records_total", death.topic, death.stage, death.reason);
      this.#counters.set(id, counter);
    }
    return counter;
  }
}

function text(name: string, value: string): RecordHeader {
  return { name, value: Buffer.from(value) };
}

function bytesOf(headers: readonly RecordHeader[]): number {
  return headers.reduce((bytes, { name, value }) => bytes + name.length + value.length, 0);
}

/** How often a record died before, as its header says; 0 for one that never did, or says nonsense. */
export function attemptsOf(reader: RecordBatchReader): number {
  const header = reader.headerCount === 0 ? undefined : reader.header(attemptsName);
  if (header === undefined) return 0;
  const attempts = Number(header.toString());
  return Number.isSafeInteger(attempts) && attempts > 0 ? attempts : 0;
}

/** Whether a record says that a dedup let it pass before it died. */
export function passedBefore(reader: RecordBatchReader): boolean {
  return reader.headerCount > 0 && reader.header(passedName) !== undefined;
}

/** What a function of the user made may be no JSON: a circle, a BigInt. Then it says so itself. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch (error) {
    return JSON.stringify({ unreadable: messageOf(error) });
  }
}

import type { Counter, Meter } from "../core/meter.ts";
import type { RecordBatchReader, RecordHeader } from "../log/record-batch.ts";
import type { Outputs } from "./outputs.ts";

/** Why a record became a dead letter. A fixed list, since it labels a metric. */
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
}

/** Longest value that a dead letter carries; a longer one is cut and found again at its source position. */
export const deadValueBytesMax = 65_536;
/** Values up to this size are carried whole all the same. */
const wholeValueBytesMax = 1 << 20;
const messageBytesMax = 1024;

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

  /** Buries the record that a reader stands on. */
  bury(reader: RecordBatchReader, death: Death): void {
    const attempts = attemptsOf(reader.headers());
    const value = reader.value();
    const cut = value !== null && value.length > wholeValueBytesMax;
    const headers = [
      ...reader.headers().filter(({ name }) => !name.startsWith("kappa.dlq.") && !name.startsWith("__streams.errors.")),
      ...this.#headers(death, attempts),
      ...(cut ? [text("kappa.dlq.cut", String(value.length))] : []),
    ];
    this.#write(reader.timestamp, reader.key(), cut ? value.subarray(0, deadValueBytesMax) : value, headers, death);
  }

  /** Buries a row that has no record bytes of its own any more; its value travels as JSON. */
  buryValue(timeMs: number, key: string, value: unknown, death: Death): void {
    const headers = [...this.#headers(death, 0), text("kappa.dlq.format", "json")];
    this.#write(timeMs, Buffer.from(key), Buffer.from(JSON.stringify(value) ?? "null"), headers, death);
  }

  #headers(death: Death, attempts: number): RecordHeader[] {
    return [
      text("__streams.errors.exception", death.reason),
      text("__streams.errors.message", death.message.slice(0, messageBytesMax)),
      text("__streams.errors.topic", death.topic),
      text("__streams.errors.partition", String(death.partition)),
      text("__streams.errors.offset", String(death.offset)),
      text("kappa.dlq.reason", death.reason),
      text("kappa.dlq.stage", death.stage),
      text("kappa.dlq.attempts", String(attempts + 1)),
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

function attemptsOf(headers: readonly RecordHeader[]): number {
  const header = headers.find(({ name }) => name === "kappa.dlq.attempts");
  const attempts = header === undefined ? 0 : Number(Buffer.from(header.value).toString());
  return Number.isSafeInteger(attempts) && attempts > 0 ? attempts : 0;
}

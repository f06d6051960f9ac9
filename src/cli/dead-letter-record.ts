import { KappaError } from "../core/errors.ts";
import type { RecordBatchReader, RecordHeader } from "../log/record-batch.ts";
import { attemptsHeader, passedHeader } from "../task/dead-letter.ts";

/** A dead letter as its headers tell of it. Its key and value are those of the record that died. */
export interface DeadLetterRecord {
  /** Where the dead letter itself stands. */
  readonly partition: number;
  readonly offset: number;
  /** Where the record stood that died. */
  readonly sourceTopic: string;
  readonly sourcePartition: number;
  readonly sourceOffset: number;
  /** The node that could not go on. */
  readonly stage: string;
  readonly reason: string;
  readonly message: string;
  readonly task: string;
  /** How often it died. */
  readonly attempts: number;
  /** Whether a dedup had let it pass before it died. */
  readonly passed: boolean;
  readonly timeMs: number;
  /** Whether the value is the beginning of a longer one, which is found at the source position. */
  readonly cut: boolean;
  /** Whether the value is a row of an internal stage as JSON: there are no bytes to send again. */
  readonly internal: boolean;
}

const errorPrefix = "__streams.errors.";
const ownPrefix = "kappa.dlq.";

/** Reads the dead letter a reader stands on. @throws KAPPA_RECORD_INVALID when it says not where it comes from */
export function deadLetterOf(reader: RecordBatchReader, partition: number, offset: number): DeadLetterRecord {
  const headers = new Map(reader.headers().map(({ name, value }) => [name, Buffer.from(value).toString()]));
  const of = (name: string): string => headers.get(name) ?? "";
  const sourceTopic = of(`${errorPrefix}topic`);
  const sourcePartition = wholeOrNaN(of(`${errorPrefix}partition`));
  const sourceOffset = wholeOrNaN(of(`${errorPrefix}offset`));
  if (sourceTopic === "" || !Number.isSafeInteger(sourcePartition) || !Number.isSafeInteger(sourceOffset)) {
    throw new KappaError(
      "KAPPA_RECORD_INVALID",
      `record ${partition}:${offset} does not say where it comes from: it is no dead letter`,
    );
  }
  return {
    partition,
    offset,
    sourceTopic,
    sourcePartition,
    sourceOffset,
    stage: of(`${ownPrefix}stage`),
    reason: of(`${ownPrefix}reason`),
    message: of(`${errorPrefix}message`),
    task: of(`${ownPrefix}task`),
    attempts: Math.max(1, wholeOrNaN(of(`${ownPrefix}attempts`)) || 1),
    passed: headers.has(passedHeader),
    timeMs: reader.timestamp,
    cut: headers.has(`${ownPrefix}cut`),
    internal: of(`${ownPrefix}format`) === "json",
  };
}

/** A record counts its headers in 16 bits: of so many, the last give way to ours. */
const headersMax = 65_535;

/**
 * The headers of a record that is sent again: its own, how often it died, to which the next death adds one, and that a
 * dedup knows it, if one does. What else the dead letter said of the last death stays behind.
 */
export function retryHeaders(headers: readonly RecordHeader[], letter: DeadLetterRecord): RecordHeader[] {
  const own = headers.filter(({ name }) => !name.startsWith(errorPrefix) && !name.startsWith(ownPrefix));
  const told = [{ name: attemptsHeader, value: Buffer.from(String(letter.attempts)) }];
  if (letter.passed) told.push({ name: passedHeader, value: Buffer.from("dedup") });
  return [...own.slice(0, headersMax - told.length), ...told];
}

function wholeOrNaN(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : Number.NaN;
}

/** Fields that `--where` can ask for. */
const whereFields = ["topic", "partition", "stage", "reason", "task"] as const;

/** Which dead letters are meant: all that every condition holds for. */
export type DeadLetterFilter = (letter: DeadLetterRecord) => boolean;

/** @param conditions as `stage=decode` @throws KAPPA_USAGE */
export function deadLetterFilter(conditions: readonly string[], reason: string | undefined): DeadLetterFilter {
  const wanted = conditions.map((condition) => {
    const [name = "", value = ""] = condition.split(/=(.*)/s);
    const field = whereFields.find((each) => each === name);
    if (field !== undefined && value !== "") return { field, value };
    throw new KappaError(
      "KAPPA_USAGE",
      `"${condition}" is no condition; write one of ${whereFields.join(", ")} and its value: stage=decode`,
    );
  });
  if (reason !== undefined) wanted.push({ field: "reason", value: reason });
  return (letter) => wanted.every(({ field, value }) => fieldOf(letter, field) === value);
}

function fieldOf(letter: DeadLetterRecord, field: (typeof whereFields)[number]): string {
  switch (field) {
    case "topic":
      return letter.sourceTopic;
    case "partition":
      return String(letter.sourcePartition);
    default:
      return letter[field];
  }
}

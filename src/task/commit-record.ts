import { assert } from "../core/assert.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { RecordBatchWriter } from "../log/record-batch.ts";
import type { LanesHeard } from "./lane.ts";
import type { OrderPosition } from "./partition-group.ts";

/** Where a task stands in one input partition. */
export interface InputPosition {
  /** Offset of the next record to read. */
  readonly offset: number;
  readonly orderTimeMs: number;
  /** The topic that the offset is of, where the log can tell it from a later one of its name. */
  readonly topicId?: string;
}

/** Where a task stands in its partition of a repartition topic. */
export interface LanePosition {
  /** Offset of the next frame to read: the oldest one that was not taken whole. */
  readonly offset: number;
  /** Counter of the last row taken, by upstream task. */
  readonly consumed: readonly number[];
  /** What those tasks had said by then. Older releases did not write it: they are waited for until they speak. */
  readonly heard?: LanesHeard;
}

/** Where a sub-topology of a task stands in its own order, and what it has sent. */
export interface StagePosition extends OrderPosition {
  /** Next row counter, order time and rank of each sender, by key space. */
  readonly senders: Readonly<
    Record<string, { readonly sequence: number; readonly orderTimeMs: number; readonly rank: number }>
  >;
}

/**
 * The truth about a task: which input its state and outputs include. One is written with every commit, in the same
 * transaction; the local state keeps a copy in the same batch as the state.
 */
export interface CommitRecord {
  readonly version: 1;
  /** Commits of the task before this one. */
  readonly sequence: number;
  /**
   * Offset in the commits topic before which nothing newer than this commit stands, and not this one either: one past the
   * newest commit that was durable when this one was made. Without it, as older releases wrote, sequences are offsets.
   */
  readonly newerFrom?: number;
  readonly inputs: Readonly<Record<string, InputPosition>>;
  readonly lanes: Readonly<Record<string, LanePosition>>;
  readonly stages: readonly StagePosition[];
  /** Task 0 only, and only once a global table had one: offset before which every fault of a partition is a dead letter. */
  readonly tables?: Readonly<Record<string, readonly number[]>>;
  /** Offset in the commits topic that a restore from nothing begins at; what is before it may be trimmed. */
  readonly restoreFrom: number;
  /** Partitions of the application's topics; a task cannot go on under another count. */
  readonly partitions: number;
}

/**
 *     | jsonLength u32 | commit record, JSON | changelog |
 *
 * One JSON text a commit, not a record; the changelog behind it is binary.
 */
export function appendCommit(writer: RecordBatchWriter, timeMs: number, record: CommitRecord, changelog: Buffer): void {
  const json = JSON.stringify(record);
  writer.begin(timeMs, null);
  writer.reserve(4 + 3 * json.length + changelog.length);
  const { buffer, at } = writer;
  const jsonLength = buffer.write(json, at + 4, "utf8");
  buffer.writeUInt32LE(jsonLength, at);
  buffer.set(changelog, at + 4 + jsonLength);
  writer.advance(4 + jsonLength + changelog.length);
  writer.end();
}

/** The two parts of a commit. The record is parsed by whoever needs it: a restore needs the last one alone. */
export function splitCommit(bytes: Buffer): { readonly json: Buffer; readonly changelog: Buffer } {
  assert(bytes.length >= 4, () => `a commit of ${bytes.length} bytes`);
  const end = 4 + bytes.readUInt32LE(0);
  return { json: bytes.subarray(4, end), changelog: bytes.subarray(end) };
}

/** How `JSON.stringify` begins a record, in front of the digits of its sequence. */
const sequencePrefix = Buffer.from('{"version":1,"sequence":');
const [digit0, digit9] = [0x30, 0x39];

/** The sequence of a record, without parsing it as a rule. @throws KAPPA_STATE_CORRUPT */
export function sequenceOf(json: Buffer): number {
  if (sequencePrefix.compare(json, 0, sequencePrefix.length) !== 0) return parseCommitRecord(json).sequence;
  let sequence = 0;
  for (let at = sequencePrefix.length; at < json.length; at++) {
    const digit = json[at] as number;
    if (digit < digit0 || digit > digit9) return sequence;
    sequence = sequence * 10 + digit - digit0;
  }
  return parseCommitRecord(json).sequence; // which is not readable
}

/** @throws KAPPA_STATE_CORRUPT when the bytes are not a commit record */
export function parseCommitRecord(bytes: Buffer): CommitRecord {
  try {
    const record = JSON.parse(bytes.toString()) as CommitRecord;
    if (record.version !== 1) throw new TypeError(`version ${record.version}, this release reads 1`);
    return record;
  } catch (error) {
    throw new KappaError("KAPPA_STATE_CORRUPT", `commit record is not readable: ${messageOf(error)}`, {}, error);
  }
}

import assert from "node:assert/strict";
import type { ErrorCode } from "../core/errors.ts";
import { KappaError } from "../core/errors.ts";
import type { Log } from "../log/log.ts";
import { type FoundRecord, type PlainRecord, sectionOf } from "./log-records.ts";

/** One log, fresh for one test. */
export interface LogUnderTest {
  readonly log: Log;
  /** Closes the log and opens it again over the same data. */
  reopen?(): Promise<Log>;
  /** Lets nothing become durable until the function it returns is called. */
  holdDurability?(): () => void;
  dispose(): Promise<void>;
}

/** What a rule is tried on. */
export interface CaseContext {
  readonly under: LogUnderTest;
  /** Of `under`, as it was opened. */
  readonly log: Log;
  /** The name of a topic, or the id of a writer, that no other test uses. */
  readonly named: (name: string) => string;
  /** Whether each record's offset is the one before plus one: see `LogConformanceOptions`. */
  readonly contiguousOffsets: boolean;
}

/** A rule that every adapter keeps, and how it is tried. */
export type Case = readonly [rule: string, run: (context: CaseContext) => Promise<void>];

/** A record of a time. */
export const at = (
  timestamp: number,
  value: string | null = `v${timestamp}`,
  key: string | null = "k",
): PlainRecord => ({
  timestamp,
  key,
  value,
});

/** @returns what it rejects with */
export async function rejectsWith(code: ErrorCode, promise: Promise<unknown>): Promise<KappaError> {
  let thrown: unknown;
  await assert.rejects(promise, (error) => {
    thrown = error;
    return error instanceof KappaError && error.code === code;
  });
  assert.ok(thrown instanceof KappaError);
  return thrown;
}

/** Appends one transaction of one section, by a writer of its own. @returns the offset told for its first record */
export async function append(
  log: Log,
  topic: string,
  partition: number,
  records: readonly PlainRecord[],
): Promise<bigint> {
  const writer = await log.openWriter(`${topic}-${partition}-writer`);
  const appended = await writer.append([sectionOf(topic, partition, records)]);
  await writer.close();
  const [baseOffset] = appended.baseOffsets;
  assert.ok(baseOffset !== undefined);
  return baseOffset;
}

/** Values of records, in their order. */
export const valuesOf = (records: readonly PlainRecord[]): (string | null)[] => records.map(({ value }) => value);

/** Offsets of records, in their order. */
export const offsetsOf = (records: readonly FoundRecord[]): bigint[] => records.map(({ offset }) => offset);

/** Checks that each offset comes after the one before; after the first, directly where the log leaves none out. */
export function assertAscending(offsets: readonly bigint[], contiguous: boolean): void {
  for (const [i, offset] of offsets.entries()) {
    const before = offsets[i - 1];
    if (before === undefined) continue;
    assert.ok(contiguous ? offset === before + 1n : offset > before, `offset ${offset} comes after ${before}`);
  }
}

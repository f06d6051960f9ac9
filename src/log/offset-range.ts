import { KappaError } from "../core/errors.ts";
import type { RecordBatch } from "./log.ts";
import { RecordBatchReader, skipRecords } from "./record-batch.ts";

/** The error for a position that the log does not hold, or holds no more. */
export function outOfRange(topic: string, partition: number, position: bigint, start: bigint, end: bigint): KappaError {
  return new KappaError(
    "KAPPA_LOG_TRUNCATED",
    `offset ${position} of ${topic}[${partition}] is not held, the log has ${start} to ${end}`,
    { topic, partition, position, start, end },
  );
}

/** The part of a batch from an offset on: the batch itself, or cut, when a seek landed in the middle of it. */
export function wholeFrom(batch: RecordBatch, offset: bigint): RecordBatch {
  const skipped = Number(offset - batch.baseOffset);
  if (skipped === 0) return batch;
  const { topic, partition, count, bytes } = batch;
  return { topic, partition, baseOffset: offset, count: count - skipped, bytes: skipRecords(bytes, skipped) };
}

/** Index of the first record with a timestamp at or after `timeMs`, or the count when there is none. */
export function recordAtOrAfter(bytes: Buffer, timeMs: number): number {
  const reader = new RecordBatchReader();
  reader.reset(bytes);
  let index = 0;
  while (reader.next()) {
    if (reader.timestamp >= timeMs) return index;
    index++;
  }
  return index;
}

import { KappaError } from "../core/errors.ts";
import type { Cursor, Log, RecordBatch } from "./log.ts";
import { recordAtOrAfter } from "./offset-range.ts";
import { RecordBatchReader } from "./record-batch.ts";

/** How long to wait for an answer before asking again whether there is one, in ms. */
const askAgainMs = 100;

/** The same in times, for a look back in the middle of other work: some 10 s. */
const asksMax = 100;

/**
 * The next batch of a cursor once the log has it at hand; undefined when the cursor has returned all that is visible.
 *
 * @throws the reason of `signal` once it is aborted
 */
export async function nextBatch(cursor: Cursor, signal?: AbortSignal): Promise<RecordBatch | undefined> {
  for (;;) {
    const batch = cursor.next();
    if (batch !== undefined || cursor.caughtUp()) return batch;
    await cursor.arrival(askAgainMs);
    signal?.throwIfAborted();
  }
}

/** Offset of the first record at or after a time, from where a cursor stands; its end when there is none. */
export async function offsetForTime(cursor: Cursor, timeMs: number): Promise<bigint> {
  for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
    const index = recordAtOrAfter(batch.bytes, timeMs);
    if (index < batch.count) return batch.baseOffset + BigInt(index);
  }
  return cursor.position;
}

/**
 * A reader that stands on the record at an offset, for the rare look back; undefined when it is held no more.
 *
 * @throws KAPPA_LOG_UNAVAILABLE when the log does not answer
 */
export async function recordAt(
  log: Log,
  topic: string,
  partition: number,
  offset: number,
): Promise<RecordBatchReader | undefined> {
  const at = BigInt(offset);
  if (at < (await log.startOffset(topic, partition))) return undefined;
  const cursor = await log.openCursor(topic, partition, at, "written");
  try {
    let batch = cursor.next();
    for (let asks = 0; batch === undefined && !cursor.caughtUp(); asks++) {
      if (asks === asksMax) {
        const message = `${topic}[${partition}] does not answer what stands at ${offset}`;
        throw new KappaError("KAPPA_LOG_UNAVAILABLE", message, { topic, partition, offset });
      }
      await cursor.arrival(askAgainMs);
      batch = cursor.next();
    }
    if (batch?.baseOffset !== at) return undefined;
    const reader = new RecordBatchReader();
    reader.reset(batch.bytes);
    reader.next();
    return reader;
  } finally {
    cursor.close();
  }
}

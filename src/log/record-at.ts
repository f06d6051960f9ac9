import type { Cursor, Log, RecordBatch } from "./log.ts";
import { RecordBatchReader } from "./record-batch.ts";

/** How long to wait for an answer before asking again whether there is one, in ms. */
const askAgainMs = 100;

/** The next batch of a cursor once the log has it at hand; undefined when the cursor has returned all that is visible. */
export async function nextBatch(cursor: Cursor): Promise<RecordBatch | undefined> {
  for (;;) {
    const batch = cursor.next();
    if (batch !== undefined || cursor.caughtUp()) return batch;
    await cursor.arrival(askAgainMs);
  }
}

/** A reader that stands on the record at an offset, for the rare look back; undefined when it is held no more. */
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
    const batch = await nextBatch(cursor);
    if (batch?.baseOffset !== at) return undefined;
    const reader = new RecordBatchReader();
    reader.reset(batch.bytes);
    reader.next();
    return reader;
  } finally {
    cursor.close();
  }
}

import type { Log } from "./log.ts";
import { RecordBatchReader } from "./record-batch.ts";

/** A reader that stands on the record at an offset, for the rare look back; undefined when it is held no more. */
export function recordAt(log: Log, topic: string, partition: number, offset: number): RecordBatchReader | undefined {
  const at = BigInt(offset);
  if (at < log.startOffset(topic, partition)) return undefined;
  const cursor = log.cursor(topic, partition, at, "written");
  try {
    const batch = cursor.next();
    if (batch === undefined) return undefined;
    const reader = new RecordBatchReader();
    reader.reset(batch.bytes);
    reader.next();
    return reader;
  } finally {
    cursor.close();
  }
}

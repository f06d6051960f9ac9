import type { Log, RecordBatch, Topic } from "../log/log.ts";
import { nextBatch } from "../log/record-at.ts";

/**
 * Batches of one partition from an offset to an end that does not move, durable ones only. A batch that begins before
 * the end is returned whole.
 */
export async function* batchesOf(
  log: Log,
  topic: Topic,
  partition: number,
  from: bigint,
  end: bigint,
): AsyncGenerator<RecordBatch> {
  if (from >= end) return;
  const cursor = await log.openCursor(topic.name, partition, from, "durable");
  try {
    while (cursor.position < end) {
      const batch = await nextBatch(cursor);
      // The offsets up to the end may be ones that the log leaves out, and the next record one that came since.
      if (batch === undefined || batch.baseOffset >= end) return;
      yield batch;
    }
  } finally {
    cursor.close();
  }
}

/** Every batch that a topic holds now, partition after partition; more may be appended meanwhile and is left out. */
export async function* batchesHeld(log: Log, topic: Topic): AsyncGenerator<RecordBatch> {
  const ends: bigint[] = [];
  for (let p = 0; p < topic.partitions; p++) ends.push(await log.endOffset(topic.name, p, "durable"));
  for (const [partition, end] of ends.entries()) {
    yield* batchesOf(log, topic, partition, await log.startOffset(topic.name, partition), end);
  }
}

/** Records that a topic holds now; where the log leaves offsets out, those are counted too. */
export async function recordCount(log: Log, topic: Topic): Promise<number> {
  let count = 0;
  for (let p = 0; p < topic.partitions; p++) {
    const start = await log.startOffset(topic.name, p);
    count += Number((await log.endOffset(topic.name, p, "durable")) - start);
  }
  return count;
}

import type { Log, RecordBatch, Topic } from "../log/log.ts";

/** Batches of one partition from an offset to an end that does not move, durable ones only. */
export function* batchesOf(
  log: Log,
  topic: Topic,
  partition: number,
  from: bigint,
  end: bigint,
): Generator<RecordBatch> {
  if (from >= end) return;
  const cursor = log.cursor(topic.name, partition, from, "durable");
  try {
    while (cursor.position < end) {
      const batch = cursor.next();
      if (batch === undefined) return;
      yield batch;
    }
  } finally {
    cursor.close();
  }
}

/** Every batch that a topic holds now, partition after partition; more may be appended meanwhile and is left out. */
export function* batchesHeld(log: Log, topic: Topic): Generator<RecordBatch> {
  const ends = Array.from({ length: topic.partitions }, (_, p) => log.endOffset(topic.name, p, "durable"));
  for (const [partition, end] of ends.entries()) {
    yield* batchesOf(log, topic, partition, log.startOffset(topic.name, partition), end);
  }
}

/** Records that a topic holds now. */
export function recordCount(log: Log, topic: Topic): number {
  let count = 0;
  for (let p = 0; p < topic.partitions; p++) {
    count += Number(log.endOffset(topic.name, p, "durable") - log.startOffset(topic.name, p));
  }
  return count;
}

import type { Log, RecordBatch, Topic } from "../log/log.ts";
import { partitionOf } from "../log/partitioner.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import { batchesOf } from "./topic-reader.ts";

/** A record and where it stands. The reader stands on it. */
export interface FoundRecord {
  readonly partition: number;
  readonly offset: number;
  readonly batch: RecordBatch;
  readonly reader: RecordBatchReader;
}

/**
 * The newest record of a key: looked for in the partition that the key belongs to first, since all of our writers and
 * Kafka's put it there, then in the others.
 */
export async function newestOfKey(log: Log, topic: Topic, key: string): Promise<FoundRecord | undefined> {
  const own = partitionOf(key, topic.partitions);
  const others = Array.from({ length: topic.partitions }, (_, p) => p).filter((p) => p !== own);
  const bytes = Buffer.from(key);
  for (const partition of [own, ...others]) {
    const found = await newestIn(log, topic, partition, bytes);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function newestIn(log: Log, topic: Topic, partition: number, key: Buffer): Promise<FoundRecord | undefined> {
  const start = await log.startOffset(topic.name, partition);
  const end = await log.endOffset(topic.name, partition, "durable");
  const reader = new RecordBatchReader();
  let place: { readonly batch: RecordBatch; readonly index: number } | undefined;
  for await (const batch of batchesOf(log, topic, partition, start, end)) {
    reader.reset(batch.bytes);
    for (let index = 0; reader.next(); index++) {
      const { buffer, keyAt, keyEnd } = reader;
      if (keyEnd - keyAt === key.length && keyAt >= 0 && buffer.compare(key, 0, key.length, keyAt, keyEnd) === 0) {
        place = { batch, index };
      }
    }
  }
  return place === undefined ? undefined : recordIn(place.batch, place.index, reader);
}

/** The record at an offset, or undefined when it is not held. */
export async function recordAt(
  log: Log,
  topic: Topic,
  partition: number,
  offset: number,
): Promise<FoundRecord | undefined> {
  const at = BigInt(offset);
  if (partition >= topic.partitions || at < (await log.startOffset(topic.name, partition))) return undefined;
  if (at >= (await log.endOffset(topic.name, partition, "durable"))) return undefined;
  for await (const batch of batchesOf(log, topic, partition, at, at + 1n)) {
    return recordIn(batch, 0, new RecordBatchReader());
  }
  return undefined;
}

function recordIn(batch: RecordBatch, index: number, reader: RecordBatchReader): FoundRecord {
  reader.reset(batch.bytes);
  for (let i = 0; i <= index; i++) reader.next();
  return { partition: batch.partition, offset: Number(batch.baseOffset) + index, batch, reader };
}

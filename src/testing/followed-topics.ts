import type { Cursor, RecordBatch } from "../log/log.ts";
import type { MemoryLog } from "../log/memory-log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";

/** A record as it was read back. */
export interface ReadRecord<Out> {
  readonly key: string | null;
  readonly timeMs: number;
  readonly value: Out | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly partition: number;
}

interface FollowedPartition {
  readonly cursor: Cursor;
  readonly batches: RecordBatch[];
}

/**
 * Follows every topic of a log in memory from its beginning, so that what it held at any time can be read at once: the
 * bytes are the log's own, and only those of internal topics, which tasks trim, are kept longer than there.
 */
export class FollowedTopics {
  readonly #log: MemoryLog;
  readonly #topics = new Map<string, readonly FollowedPartition[]>();

  constructor(log: MemoryLog) {
    this.#log = log;
  }

  /** Takes up the topics and records that have come. */
  async follow(): Promise<void> {
    for (const { name, partitions } of await this.#log.topics()) {
      if (!this.#topics.has(name)) this.#topics.set(name, await this.#open(name, partitions));
    }
    for (const partitions of this.#topics.values()) takeUp(partitions);
  }

  async #open(topic: string, partitions: number): Promise<FollowedPartition[]> {
    const opened: FollowedPartition[] = [];
    for (let p = 0; p < partitions; p++) {
      const cursor = await this.#log.openCursor(topic, p, await this.#log.startOffset(topic, p), "durable");
      opened.push({ cursor, batches: [] });
    }
    return opened;
  }

  /** Every record of a topic, partition after partition, in offset order. */
  read<Out>(topic: string, decode: (buffer: Buffer, start: number, end: number) => Out): ReadRecord<Out>[] {
    const partitions = this.#topics.get(topic) ?? [];
    takeUp(partitions);
    const read: ReadRecord<Out>[] = [];
    const reader = new RecordBatchReader();
    for (const { bytes, partition } of partitions.flatMap(({ batches }) => batches)) {
      reader.reset(bytes);
      while (reader.next()) {
        read.push({
          key: reader.key()?.toString() ?? null,
          timeMs: reader.timestamp,
          value: reader.valueAt < 0 ? null : decode(reader.buffer, reader.valueAt, reader.valueEnd),
          headers: Object.fromEntries(reader.headers().map(({ name, value }) => [name, Buffer.from(value).toString()])),
          partition,
        });
      }
    }
    return read;
  }
}

function takeUp(partitions: readonly FollowedPartition[]): void {
  for (const { cursor, batches } of partitions) {
    for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) batches.push(batch);
  }
}

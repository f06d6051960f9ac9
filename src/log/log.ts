/**
 * The port to an append-only log. Three adapters stand behind it (memory, file, Kafka); they pass one conformance
 * suite (`src/testing/log-conformance.ts`) and the runtime cannot tell them apart.
 *
 * A log holds topics, a topic holds partitions, a partition holds records with ascending offsets. The unit of
 * writing is a transaction over any partitions of any topics: it becomes visible whole or not at all.
 */

/** How a topic is kept. The configuration it was created with stays: creating it again changes nothing. */
export interface TopicConfig {
  /** At least 1. Fixed at creation. */
  readonly partitions: number;
  /** How long records are kept after they were appended, in ms; -1 keeps them for ever (the default). */
  readonly retentionMs: number;
  /** How many bytes of the topic are kept; -1 sets no bound (the default). */
  readonly retentionBytes: number;
}

export interface Topic extends TopicConfig {
  readonly name: string;
}

/** What stands behind the name of a topic. */
export interface TopicIdentity {
  /** Another one for each topic that ever had the name. */
  readonly id: string;
  readonly partitions: number;
}

/**
 * Records of one partition with contiguous offsets, still encoded (`record-batch.ts`). The bytes are immutable and stay
 * valid for as long as they are referenced.
 */
export interface RecordBatch {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record; record i has `baseOffset + i`. */
  readonly baseOffset: bigint;
  readonly count: number;
  readonly bytes: Buffer;
}

/** What a transaction appends to one partition. */
export interface TransactionSection {
  readonly topic: string;
  readonly partition: number;
  /** Records in `bytes`, at least 1. */
  readonly count: number;
  /** Encoded as in `record-batch.ts`. */
  readonly bytes: Buffer;
  /** Smallest and largest record timestamp within. */
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
}

/** A durable transaction. */
export interface Appended {
  /** The offset given to the first record of each section, in the order of the sections. */
  readonly baseOffsets: readonly bigint[];
}

/**
 * One named writer: a task, or a producer. Transactions of a writer become visible in the order of its `append` calls;
 * several may be under way at once. After any failure the writer is done for: every later `append` rejects with the
 * same error, and a new writer of the same id must be opened, which first settles what the old one left behind.
 */
export interface Writer {
  readonly id: string;
  /**
   * Takes the bytes of the sections before it returns: the caller may write over them, whatever becomes of the promise.
   *
   * @returns once the transaction is durable (fsynced, or acknowledged by the broker)
   * @throws KAPPA_TASK_FENCED when a newer writer of this id exists; KAPPA_TOPIC_UNKNOWN; KAPPA_TRANSACTION_TOO_LARGE
   *   (nothing was written and, of all failures, this one leaves the writer usable); KAPPA_LOG_FAILED
   */
  append(sections: readonly TransactionSection[]): Promise<Appended>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

/**
 * Which transactions a reader sees. `written`: also those of this process group that are not durable yet; only for
 * tasks, whose own outputs can never outlive their inputs. `durable`: what no crash can take back (read-committed).
 */
export type Visibility = "written" | "durable";

/** A position in one partition that moves forward, synchronously, over whole batches. */
export interface Cursor {
  readonly topic: string;
  readonly partition: number;
  /**
   * Offset of the next record that `next` returns, or a lower one: records are contiguous within a batch, between batches
   * a log may leave offsets out (markers of transactions, what was aborted or compacted away). Past those once it is
   * known that they are none.
   */
  readonly position: bigint;
  /** One past the newest visible record, as far as the cursor has heard; the position when it has heard nothing yet. */
  readonly end: bigint;
  /**
   * The next visible batch, or undefined when there is none yet. Its first record is at `position`: a batch that a
   * seek landed in the middle of is returned cut. Never blocks on the network; may read local files.
   * @throws KAPPA_LOG_TRUNCATED when retention has removed `position`; KAPPA_LOG_CORRUPT
   */
  next(): RecordBatch | undefined;
  /** Whether everything that is visible now has been returned. Over a network: as of an answer from the broker. */
  caughtUp(): boolean;
  /** Resolves when `next` may return more than it did, or after `timeoutMs`: for who waits for this partition alone. */
  arrival(timeoutMs: number): Promise<void>;
  close(): void;
}

export interface Log {
  /** @throws KAPPA_TOPIC_MISMATCH when it exists with another partition count. Creating it again is fine. */
  createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): Promise<void>;
  topic(name: string): Promise<Topic | undefined>;
  topics(): Promise<readonly Topic[]>;
  /**
   * What stands behind a name right now, asked anew; undefined when nothing does or nobody can tell. For logs whose topics
   * can be deleted, and made anew under the same name while somebody has a position in them.
   */
  identify?(name: string): Promise<TopicIdentity | undefined>;

  /** Opens the writer of an id and fences any older one. At most one writer of an id can ever append. */
  openWriter(id: string): Promise<Writer>;

  /**
   * @param from offset to start at, from `startOffset` to the written `endOffset`
   * @throws KAPPA_TOPIC_UNKNOWN; KAPPA_LOG_TRUNCATED when `from` is past the end: what was read once is gone
   */
  openCursor(topic: string, partition: number, from: bigint, visibility: Visibility): Promise<Cursor>;
  /** Offset of the oldest record still held. */
  startOffset(topic: string, partition: number): Promise<bigint>;
  /** One past the newest visible record. After `openWriter` it covers all that former writers of the id have left. */
  endOffset(topic: string, partition: number, visibility: Visibility): Promise<bigint>;
  /** The first offset whose timestamp is at or after `timeMs`, or the end offset. */
  offsetForTime(topic: string, partition: number, timeMs: number): Promise<bigint>;

  /**
   * Says that records below `offset` are needed no more. The log removes them when it suits it, whole segments at a
   * time, or never; `startOffset` tells. Not remembered over a restart: the owner of the records says it again.
   */
  trimTo(topic: string, partition: number, offset: bigint): Promise<void>;

  /**
   * Resolves when more may have become visible than at the last call, or after `timeoutMs`; at once when it already
   * has. One waiter at a time.
   */
  changed(timeoutMs: number): Promise<void>;
  /** Closes writers and cursors; everything appended before is durable. */
  close(): Promise<void>;
}

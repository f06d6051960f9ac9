import { setTimeout as sleep } from "node:timers/promises";
import { KappaError } from "../core/errors.ts";
import { ChangeSignal } from "./change-signal.ts";
import type {
  Appended,
  Cursor,
  Log,
  RecordBatch,
  Topic,
  TopicConfig,
  TransactionSection,
  Visibility,
  Writer,
} from "./log.ts";
import { outOfRange, recordAtOrAfter, wholeFrom } from "./offset-range.ts";
import { checkSamePartitions, topicOf, unknownTopic } from "./topic.ts";
import { checkSections, checkTransactionBytes } from "./transaction.ts";

export interface MemoryLogOptions {
  /** Appends become durable at `sync()` only, not at once. Default false. */
  readonly manualDurability?: boolean;
}

interface StoredBatch {
  readonly batch: RecordBatch;
  readonly end: bigint;
  readonly maxTimeMs: number;
}

interface Partition {
  batches: StoredBatch[];
  /** How many batches were ever trimmed: index i of a cursor is `batches[i - trimmed]`. */
  trimmed: number;
  start: bigint;
  writtenEnd: bigint;
  durableEnd: bigint;
}

interface HeldTopic {
  readonly topic: Topic;
  readonly partitions: readonly Partition[];
}

/** A transaction that is written and waits for `sync`. */
interface Undurable {
  readonly appended: Appended;
  resolve(appended: Appended): void;
  reject(error: KappaError): void;
}

/**
 * A log in the memory of one process: for tests and simulation. What is written is durable, unless `manualDurability`
 * puts a test in charge of it. Retention by time and size is ignored: a topic is kept longer than it asks for.
 */
export class MemoryLog implements Log {
  readonly #topics = new Map<string, HeldTopic>();
  /** The writer that may append, by id. */
  readonly #writers = new Map<string, MemoryWriter>();
  readonly #signal = new ChangeSignal();
  readonly #manualDurability: boolean;
  #undurable: Undurable[] = [];
  #closed = false;

  constructor(options: MemoryLogOptions = {}) {
    this.#manualDurability = options.manualDurability ?? false;
  }

  createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): Promise<void> {
    return new Promise((resolve) => resolve(this.#createTopic(name, config)));
  }

  #createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): void {
    const topic = topicOf(name, config);
    const existing = this.#topics.get(name);
    if (existing !== undefined) {
      checkSamePartitions(existing.topic, topic);
      return;
    }
    const partitions = Array.from({ length: topic.partitions }, () => ({
      batches: [],
      trimmed: 0,
      start: 0n,
      writtenEnd: 0n,
      durableEnd: 0n,
    }));
    this.#topics.set(name, { topic, partitions });
  }

  async topic(name: string): Promise<Topic | undefined> {
    return this.#topics.get(name)?.topic;
  }

  async topics(): Promise<readonly Topic[]> {
    return [...this.#topics.values()].map((held) => held.topic);
  }

  openWriter(id: string): Promise<Writer> {
    this.#writers.get(id)?.fence();
    const writer = new MemoryWriter(id, (sections) => this.#append(sections));
    this.#writers.set(id, writer);
    return Promise.resolve(writer);
  }

  #append(sections: readonly TransactionSection[]): Promise<Appended> {
    if (this.#closed) throw new KappaError("KAPPA_LOG_CLOSED", "the memory log is closed");
    checkSections(sections, (name) => this.#topics.get(name)?.topic);
    const baseOffsets: bigint[] = [];
    for (const section of sections) baseOffsets.push(this.#store(section));
    const appended = { baseOffsets };
    this.#signal.raise();
    if (!this.#manualDurability) return Promise.resolve(appended);
    return new Promise((resolve, reject) => this.#undurable.push({ appended, resolve, reject }));
  }

  #store(section: TransactionSection): bigint {
    const { topic, partition, count, bytes, maxTimeMs } = section;
    const held = this.#partition(topic, partition);
    const baseOffset = held.writtenEnd;
    held.writtenEnd += BigInt(count);
    if (!this.#manualDurability) held.durableEnd = held.writtenEnd;
    const batch = { topic, partition, baseOffset, count, bytes: Buffer.from(bytes) };
    held.batches.push({ batch, end: held.writtenEnd, maxTimeMs });
    return baseOffset;
  }

  /** Makes everything written durable, as an fsync would, and acknowledges it. */
  sync(): void {
    for (const partition of this.#everyPartition()) partition.durableEnd = partition.writtenEnd;
    const settled = this.#undurable;
    this.#undurable = [];
    for (const transaction of settled) transaction.resolve(transaction.appended);
    this.#signal.raise();
  }

  /** Loses everything that is not durable and every writer, as a power cut would. Open new cursors afterwards. */
  powerCut(): void {
    for (const partition of this.#everyPartition()) {
      const { durableEnd } = partition;
      partition.batches = partition.batches.filter((stored) => stored.end <= durableEnd);
      partition.writtenEnd = durableEnd;
    }
    const lost = this.#undurable;
    this.#undurable = [];
    const error = new KappaError("KAPPA_LOG_FAILED", "the power was cut before the transaction was durable");
    for (const writer of this.#writers.values()) writer.fail(error);
    for (const transaction of lost) transaction.reject(error);
    this.#writers.clear();
  }

  *#everyPartition(): Generator<Partition> {
    for (const held of this.#topics.values()) yield* held.partitions;
  }

  #partition(topic: string, partition: number): Partition {
    const held = this.#topics.get(topic);
    const found = held?.partitions[partition];
    if (found === undefined) throw unknownTopic(topic, partition, held?.topic);
    return found;
  }

  async openCursor(topic: string, partition: number, from: bigint, visibility: Visibility): Promise<Cursor> {
    const held = this.#partition(topic, partition);
    if (from > held.writtenEnd) throw outOfRange(topic, partition, from, held.start, held.writtenEnd);
    return new MemoryCursor(topic, partition, held, from, visibility);
  }

  async startOffset(topic: string, partition: number): Promise<bigint> {
    return this.#partition(topic, partition).start;
  }

  async endOffset(topic: string, partition: number, visibility: Visibility): Promise<bigint> {
    const held = this.#partition(topic, partition);
    return visibility === "written" ? held.writtenEnd : held.durableEnd;
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<bigint> {
    const held = this.#partition(topic, partition);
    for (const { batch, end, maxTimeMs } of held.batches) {
      if (end > held.durableEnd) break;
      if (maxTimeMs >= timeMs) return batch.baseOffset + BigInt(recordAtOrAfter(batch.bytes, timeMs));
    }
    return held.durableEnd;
  }

  trimTo(topic: string, partition: number, offset: bigint): Promise<void> {
    return new Promise((resolve) => resolve(this.#trimTo(topic, partition, offset)));
  }

  #trimTo(topic: string, partition: number, offset: bigint): void {
    const held = this.#partition(topic, partition);
    const kept = held.batches.findIndex((stored) => stored.end > offset);
    const trimmed = kept === -1 ? held.batches.length : kept;
    const last = held.batches[trimmed - 1];
    if (last === undefined) return;
    held.batches = held.batches.slice(trimmed);
    held.trimmed += trimmed;
    held.start = last.end;
  }

  changed(timeoutMs: number): Promise<void> {
    return this.#signal.wait(timeoutMs);
  }

  close(): Promise<void> {
    this.sync();
    this.#closed = true;
    return Promise.resolve();
  }
}

class MemoryWriter implements Writer {
  readonly id: string;
  readonly #append: (sections: readonly TransactionSection[]) => Promise<Appended>;
  #failure: KappaError | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(id: string, append: (sections: readonly TransactionSection[]) => Promise<Appended>) {
    this.id = id;
    this.#append = append;
  }

  fence(): void {
    this.fail(new KappaError("KAPPA_TASK_FENCED", `a newer writer ${this.id} was opened`, { writer: this.id }));
  }

  fail(error: KappaError): void {
    this.#failure ??= error;
  }

  async append(sections: readonly TransactionSection[]): Promise<Appended> {
    if (this.#failure !== undefined) throw this.#failure;
    checkTransactionBytes(sections);
    try {
      const appended = this.#append(sections);
      this.#last = appended.catch(() => {});
      return await appended;
    } catch (error) {
      if (error instanceof KappaError) this.fail(error);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#last;
  }
}

class MemoryCursor implements Cursor {
  readonly topic: string;
  readonly partition: number;
  readonly #held: Partition;
  readonly #visibility: Visibility;
  #position: bigint;
  /** Of the batch at or after `position`, counted from the first batch ever. */
  #index: number;

  constructor(topic: string, partition: number, held: Partition, from: bigint, visibility: Visibility) {
    this.topic = topic;
    this.partition = partition;
    this.#held = held;
    this.#visibility = visibility;
    this.#position = from;
    const found = held.batches.findIndex((stored) => stored.end > from);
    this.#index = held.trimmed + (found === -1 ? held.batches.length : found);
  }

  get position(): bigint {
    return this.#position;
  }

  next(): RecordBatch | undefined {
    const held = this.#held;
    if (this.#position < held.start)
      throw outOfRange(this.topic, this.partition, this.#position, held.start, held.writtenEnd);
    const stored = held.batches[this.#index - held.trimmed];
    if (stored === undefined || stored.end > this.end) return undefined;
    const batch = wholeFrom(stored.batch, this.#position);
    this.#position = stored.end;
    this.#index++;
    return batch;
  }

  get end(): bigint {
    return this.#visibility === "written" ? this.#held.writtenEnd : this.#held.durableEnd;
  }

  caughtUp(): boolean {
    return this.#position >= this.end;
  }

  arrival(timeoutMs: number): Promise<void> {
    return sleep(timeoutMs);
  }

  close(): void {}
}

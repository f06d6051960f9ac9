import type { Clock } from "../../src/core/clock.ts";
import { KappaError } from "../../src/core/errors.ts";
import { ChangeSignal } from "../../src/log/change-signal.ts";
import { kafkaError } from "../../src/log/kafka-error.ts";
import type { Cursor, Log, Topic, TopicConfig, Visibility, Writer } from "../../src/log/log.ts";
import { outOfRange } from "../../src/log/offset-range.ts";
import { offsetForTime } from "../../src/log/record-at.ts";
import { checkSamePartitions, topicOf, unknownTopic } from "../../src/log/topic.ts";
import type { Incarnation } from "./incarnation.ts";
import { type Network, Refusal } from "./network.ts";
import type { Random } from "./random.ts";
import type { SimulatedCluster } from "./simulated-cluster.ts";
import { SimulatedCursor } from "./simulated-cursor.ts";
import type { SimulatedPartition } from "./simulated-partition.ts";
import { SimulatedWriter } from "./simulated-writer.ts";

/** Between two trims of a partition, in ms; as in `kafka-log.ts`, shorter. */
const trimEveryMs = 500;

export interface ProcessLogOptions {
  readonly incarnation: Incarnation;
  readonly cluster: SimulatedCluster;
  readonly network: Network;
  readonly random: Random;
  readonly clock: Clock;
  readonly transactionTimeoutMs: number;
}

/**
 * The log as one process has it: what `KafkaLog` does, on the requests of the simulated cluster. What a request cannot
 * tell for sure it cannot tell here either.
 */
export class ProcessLog implements Log {
  readonly incarnation: Incarnation;
  readonly cluster: SimulatedCluster;
  readonly network: Network;
  readonly clock: Clock;
  readonly transactionTimeoutMs: number;
  readonly #random: Random;
  readonly #trimmedMs = new Map<SimulatedPartition, number>();
  readonly #topics = new Map<string, Topic>();
  readonly #cursors = new Set<Cursor>();
  readonly #writers = new Set<Writer>();
  readonly #signal: ChangeSignal;
  #closed = false;

  constructor(options: ProcessLogOptions) {
    this.incarnation = options.incarnation;
    this.cluster = options.cluster;
    this.network = options.network;
    this.clock = options.clock;
    this.transactionTimeoutMs = options.transactionTimeoutMs;
    this.#random = options.random;
    this.#signal = new ChangeSignal(options.incarnation);
  }

  /** How many appends a broker puts into an answer: seldom all that there are. */
  answerSize(most: number): number {
    return this.#random.chance(0.7) ? most : this.#random.whole(1, 3);
  }

  createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): Promise<void> {
    return this.#ask(0, "CreateTopics", () => {
      this.cluster.createTopic(name, config);
      checkSamePartitions((this.cluster.held(name) as { topic: Topic }).topic, topicOf(name, config));
    });
  }

  async topic(name: string): Promise<Topic | undefined> {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    const topic = await this.#ask(0, "Metadata", () => this.cluster.held(name)?.topic);
    if (topic !== undefined) this.#topics.set(name, topic);
    return topic;
  }

  topics(): Promise<readonly Topic[]> {
    return this.#ask(0, "Metadata", () => this.cluster.topics.map(({ topic }) => topic));
  }

  /** @throws KAPPA_TOPIC_UNKNOWN */
  partition(topic: string, partition: number): SimulatedPartition {
    const held = this.cluster.held(topic);
    const found = held?.partitions[partition];
    if (found === undefined) throw unknownTopic(topic, partition, held?.topic);
    return found;
  }

  /** Asks twice, as connections end and leaders move. */
  async #ask<Answer>(broker: number, kind: string, handle: () => Answer): Promise<Answer> {
    if (this.#closed) throw new KappaError("KAPPA_LOG_CLOSED", "the connection is closed");
    try {
      return await this.network.request(this.incarnation, broker, kind, handle);
    } catch (error) {
      if (error instanceof Refusal || error instanceof KappaError) throw kafkaError(error, `cannot ask ${kind}`);
    }
    try {
      return await this.network.request(this.incarnation, broker, kind, handle);
    } catch (error) {
      throw kafkaError(error, `cannot ask ${kind}`);
    }
  }

  async openWriter(id: string): Promise<Writer> {
    const writer = await SimulatedWriter.open(id, this);
    this.#writers.add(writer);
    return writer;
  }

  async openCursor(topic: string, partition: number, from: bigint, _visibility: Visibility): Promise<Cursor> {
    const end = await this.endOffset(topic, partition);
    if (from > end) throw outOfRange(topic, partition, from, await this.startOffset(topic, partition), end);
    const cursor = new SimulatedCursor(this, topic, partition, Number(from));
    this.#cursors.add(cursor);
    return cursor;
  }

  async startOffset(topic: string, partition: number): Promise<bigint> {
    const at = this.partition(topic, partition);
    return await this.#ask(at.leader, "ListOffsets", () => BigInt(at.startOffset));
  }

  async endOffset(topic: string, partition: number, _visibility: Visibility = "durable"): Promise<bigint> {
    const at = this.partition(topic, partition);
    return await this.#ask(at.leader, "ListOffsets", () => BigInt(at.stableOffset));
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<bigint> {
    const cursor = await this.openCursor(topic, partition, await this.startOffset(topic, partition), "durable");
    try {
      return await offsetForTime(cursor, timeMs);
    } finally {
      cursor.close();
    }
  }

  async trimTo(topic: string, partition: number, offset: bigint): Promise<void> {
    const at = this.partition(topic, partition);
    const nowMs = this.clock.monotonic();
    if (nowMs - (this.#trimmedMs.get(at) ?? Number.NEGATIVE_INFINITY) < trimEveryMs) return;
    this.#trimmedMs.set(at, nowMs);
    if (offset <= (await this.startOffset(topic, partition))) return;
    await this.#ask(at.leader, "DeleteRecords", () => at.trim(Number(offset)));
  }

  /** A cursor got something. */
  arrived(): void {
    this.#signal.raise();
  }

  changed(timeoutMs: number): Promise<void> {
    return this.#signal.wait(timeoutMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const cursor of this.#cursors) cursor.close();
    await Promise.allSettled([...this.#writers].map((writer) => writer.close()));
  }
}

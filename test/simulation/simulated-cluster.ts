import { crc32 } from "node:zlib";
import type { Topic, TopicConfig } from "../../src/log/log.ts";
import { topicOf } from "../../src/log/topic.ts";
import { type Network, Refusal } from "./network.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";
import { type Batch, SimulatedPartition } from "./simulated-partition.ts";

/** What the coordinator knows of a transactional id. */
interface Producer {
  readonly id: string;
  epoch: number;
  state: "empty" | "ongoing" | "committing" | "aborting";
  partitions: Set<SimulatedPartition>;
  timeoutMs: number;
  /** Counts transactions, so that a timeout finds its own. */
  number: number;
}

export interface HeldTopic {
  readonly topic: Topic;
  readonly partitions: readonly SimulatedPartition[];
}

/** Whose request it is. */
export interface ProducerName {
  readonly id: string;
  readonly epoch: number;
}

/**
 * The brokers of a Kafka cluster, as far as transactions and reads go: what each request does when it arrives. Keeps
 * to what the real ones do where it hurts:
 *
 *   - a commit is decided at the coordinator and reaches each partition by a marker of its own, each when it may
 *   - a request knows its epoch only: one that comes late is refused once a successor was opened, and not before;
 *     a batch has its sequence as well, by which its partition knows one that comes again
 *   - opening a writer ends the transaction before, and says "concurrent" until every marker of it is written
 *   - a transaction that takes longer than its timeout is aborted, and its writer fenced
 */
export class SimulatedCluster {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #network: Network;
  readonly #brokers: number;
  readonly #topics = new Map<string, HeldTopic>();
  readonly #producers = new Map<string, Producer>();
  /** Longest that a marker takes to a partition, in ms. */
  markerMs = 4;
  #led = 0;

  constructor(scheduler: Scheduler, random: Random, network: Network, brokers: number) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#network = network;
    this.#brokers = brokers;
  }

  createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): void {
    if (this.#topics.has(name)) return;
    const topic = topicOf(name, config);
    const partitions = Array.from(
      { length: topic.partitions },
      () => new SimulatedPartition(this.#led++ % this.#brokers),
    );
    this.#topics.set(name, { topic, partitions });
  }

  held(name: string): HeldTopic | undefined {
    return this.#topics.get(name);
  }

  get topics(): readonly HeldTopic[] {
    return [...this.#topics.values()];
  }

  /** The broker that coordinates a transactional id. */
  coordinatorOf(id: string): number {
    let sum = 0;
    for (let i = 0; i < id.length; i++) sum += id.charCodeAt(i);
    return sum % this.#brokers;
  }

  /** @returns the epoch of the new writer @throws Refusal as long as the transaction before is not ended */
  initProducer(id: string, timeoutMs: number): number {
    let producer = this.#producers.get(id);
    if (producer === undefined) {
      producer = { id, epoch: -1, state: "empty", partitions: new Set(), timeoutMs, number: 0 };
      this.#producers.set(id, producer);
    }
    if (producer.state === "ongoing") this.#abort(producer);
    if (producer.state !== "empty") throw new Refusal("CONCURRENT_TRANSACTIONS");
    producer.timeoutMs = timeoutMs;
    return ++producer.epoch;
  }

  #abort(producer: Producer): void {
    producer.epoch++;
    this.#end(producer, "aborting");
  }

  #producer({ id, epoch }: ProducerName): Producer {
    const producer = this.#producers.get(id);
    if (producer === undefined) throw new Refusal("INVALID_PRODUCER_ID_MAPPING");
    if (producer.epoch !== epoch) throw new Refusal("INVALID_PRODUCER_EPOCH");
    return producer;
  }

  addPartitions(name: ProducerName, partitions: Iterable<SimulatedPartition>): void {
    const producer = this.#producer(name);
    if (producer.state === "committing" || producer.state === "aborting") throw new Refusal("CONCURRENT_TRANSACTIONS");
    if (producer.state === "empty") {
      producer.state = "ongoing";
      const number = ++producer.number;
      this.#scheduler.after(producer.timeoutMs, () => {
        if (producer.state === "ongoing" && producer.number === number) this.#abort(producer);
      });
    }
    for (const partition of partitions) producer.partitions.add(partition);
  }

  /** @returns offset of the first record */
  produce(name: ProducerName, partition: SimulatedPartition, batch: Batch): number {
    if (!partition.openBy(name.id)) {
      // Brokers ask the coordinator whether the first write of a transaction belongs to one.
      const producer = this.#producer(name);
      if (producer.state !== "ongoing" || !producer.partitions.has(partition)) throw new Refusal("INVALID_TXN_STATE");
    }
    const offset = partition.append(name.id, name.epoch, batch);
    this.#scheduler.note(offset);
    // Equal traces mean equal bytes, also of what nobody judges.
    this.#scheduler.note(crc32(batch.bytes));
    return offset;
  }

  /** Decides a transaction. Asked again about one that is decided, it says so. */
  endTransaction(name: ProducerName, commit: boolean): void {
    const producer = this.#producer(name);
    if (producer.state === "ongoing") this.#end(producer, commit ? "committing" : "aborting");
    else if (producer.state !== "empty") throw new Refusal("CONCURRENT_TRANSACTIONS");
  }

  #end(producer: Producer, state: "committing" | "aborting"): void {
    producer.state = state;
    const { partitions, id, epoch } = producer;
    producer.partitions = new Set();
    let left = partitions.size;
    const result = state === "committing" ? "committed" : "aborted";
    for (const partition of partitions) {
      if (state === "committing") partition.decide(id);
      this.#mark(partition, () => {
        partition.mark(id, epoch, result);
        if (--left === 0) producer.state = "empty";
      });
    }
    if (left === 0) producer.state = "empty";
  }

  /** A marker is sent until its partition has it. */
  #mark(partition: SimulatedPartition, write: () => void): void {
    this.#scheduler.after(this.#random.delay(0.05, this.markerMs) + this.#network.delay(), () => {
      if (this.#network.isUp(partition.leader)) write();
      else this.#scheduler.after(20, () => this.#mark(partition, write));
    });
  }
}

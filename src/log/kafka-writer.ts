import { channel } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";
import type { Broker } from "kafkajs/src/cluster/index.js";
import errors from "kafkajs/src/protocol/error.js";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { KafkaClient } from "./kafka-client.ts";
import { kafkaError, typeOf } from "./kafka-error.ts";
import type { KafkaCompression, KafkaOptions } from "./kafka-options.ts";
import { produceExchange } from "./kafka-produce.ts";
import { KafkaRecordEncoder } from "./kafka-record-encoder.ts";
import { KafkaTransaction, type PlacedBatch } from "./kafka-transaction.ts";
import type { Appended, TransactionSection, Writer } from "./log.ts";
import { checkTransactionBytes } from "./transaction.ts";

/** What the coordinator answers while it is still busy with the transaction before, or with starting. */
const passing = new Set([
  "CONCURRENT_TRANSACTIONS",
  "GROUP_LOAD_IN_PROGRESS",
  "GROUP_COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR_FOR_GROUP",
]);

/** How long those answers are put up with, in ms. A predecessor's transaction is ended for it within that. */
const patienceMs = 30_000;
const retryMs = 1;
const retryMaxMs = 3;
const transactionTimeoutMs = 10_000;

/** Bytes of appends that wait for the transaction before; what goes beyond waits for the next one. */
const transactionBytesGathered = 8 * 1024 * 1024;

/** What of a transaction has been acknowledged. */
export type KafkaWriterStep = "partitions-added" | "produced" | "ended";

// Where tests can watch the steps of transactions as { writer, step }; nothing is published while nobody listens.
const steps = channel("kappa:kafka-writer");

interface Waiting {
  readonly transaction: KafkaTransaction;
  readonly settle: { readonly resolve: (appended: Appended) => void; readonly reject: (error: KappaError) => void }[];
}

/**
 * A transactional producer. It has connections of its own, so that nothing of it can arrive after they are closed.
 *
 * One transaction is under way at a time; what is appended meanwhile goes into the next one together. The steps of one:
 *
 *   1. AddPartitionsToTxn    the coordinator notes where markers will have to go
 *   2. Produce               one batch a partition, in sequence; nothing is visible yet
 *   3. EndTxn                the coordinator decides: from here on it is committed, whoever dies
 *
 * An error after 1 leaves open what the coordinator has decided or will still hear. The protocol does not say: so nothing
 * is tried again and the writer is done for. Its successor's InitProducerId ends what it left, one way or the other.
 */
export class KafkaWriter implements Writer {
  readonly id: string;
  readonly #client: KafkaClient;
  readonly #clock: Clock;
  readonly #requestTimeoutMs: number;
  readonly #compression: KafkaCompression;
  #coordinator: Broker | undefined;
  #producerId = "";
  #epoch = 0;
  #encoder: KafkaRecordEncoder | undefined;
  /** Next sequence by topic and partition. */
  readonly #sequences = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #failure: KappaError | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  private constructor(id: string, options: KafkaOptions, clock: Clock) {
    this.id = id;
    this.#clock = clock;
    this.#client = new KafkaClient(options);
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    this.#compression = options.compression ?? "none";
  }

  /**
   * Fences the former writer of the id and ends its open transaction.
   * @throws KAPPA_LOG_UNAVAILABLE, KAPPA_LOG_REFUSED
   */
  static async open(id: string, options: KafkaOptions, clock: Clock): Promise<KafkaWriter> {
    const writer = new KafkaWriter(id, options, clock);
    try {
      await writer.#init(options.transactionTimeoutMs ?? transactionTimeoutMs);
      return writer;
    } catch (error) {
      await writer.#client.close();
      const right = `Write on transactional id ${id}`;
      throw kafkaError(error, `cannot open writer ${id}`, { writer: id, right });
    }
  }

  async #init(timeoutMs: number): Promise<void> {
    await this.#patiently(async () => {
      const coordinator = await this.#coordinate();
      const { producerId, producerEpoch } = await coordinator.initProducerId({
        transactionalId: this.id,
        transactionTimeout: timeoutMs,
      });
      this.#producerId = producerId;
      this.#epoch = producerEpoch;
    });
    this.#encoder = new KafkaRecordEncoder({
      producerId: BigInt(this.#producerId),
      producerEpoch: this.#epoch,
      transactional: true,
      compression: this.#compression,
    });
  }

  /** Repeats a request while the coordinator says that it is busy: none of those answers has done anything. */
  async #patiently(request: () => Promise<void>): Promise<void> {
    const endMs = this.#clock.monotonic() + patienceMs;
    for (let waitMs = retryMs; ; waitMs = Math.min(retryMaxMs, waitMs * 2)) {
      try {
        await request();
        return;
      } catch (error) {
        if (typeOf(error) === "NOT_COORDINATOR_FOR_GROUP") this.#coordinator = undefined;
        if (!passing.has(typeOf(error)) || this.#clock.monotonic() > endMs || this.#closed) throw error;
      }
      await sleep(waitMs);
    }
  }

  async #coordinate(): Promise<Broker> {
    this.#coordinator ??= await this.#client.coordinator("transaction", this.id);
    return this.#coordinator;
  }

  append(sections: readonly TransactionSection[]): Promise<Appended> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#closed) throw new KappaError("KAPPA_LOG_CLOSED", `writer ${this.id} is closed`, { writer: this.id });
      checkTransactionBytes(sections);
      let last = this.#waiting.at(-1);
      if (last === undefined || last.transaction.byteLength >= transactionBytesGathered) {
        last = { transaction: new KafkaTransaction(), settle: [] };
        this.#waiting.push(last);
      }
      last.transaction.add(sections);
      last.settle.push({ resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    // Appends of one turn of the event loop belong together.
    await Promise.resolve();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { transaction, settle } = next;
      try {
        if (this.#failure !== undefined) throw this.#failure;
        const appended = await this.#commit(transaction);
        for (const [index, { resolve }] of settle.entries()) resolve(appended[index] as Appended);
      } catch (error) {
        const topics = transaction.topics.map(({ topic }) => topic).join(", ");
        const context = { writer: this.id, right: `Write on one of the topics ${topics}` };
        this.#failure ??= kafkaError(error, `writer ${this.id} failed`, context);
        for (const { reject } of settle) reject(this.#failure);
      }
    }
    this.#running = undefined;
    if (this.#failure !== undefined) await this.#client.close();
  }

  async #commit(transaction: KafkaTransaction): Promise<readonly Appended[]> {
    const { partitions } = transaction;
    const leaders = await Promise.all(
      partitions.map(({ topic, partition }) => this.#client.leaderOf(topic, partition)),
    );
    const encoder = this.#encoder as KafkaRecordEncoder;
    const own = { transactionalId: this.id, producerId: this.#producerId, producerEpoch: this.#epoch };
    await this.#patiently(async () => {
      await (await this.#coordinate()).addPartitionsToTxn({ ...own, topics: transaction.topics });
    });
    this.#tell("partitions-added");
    for (const round of transaction.encode(encoder, this.#sequences)) await this.#produce(transaction, round, leaders);
    this.#tell("produced");
    await (await this.#coordinate()).endTxn({ ...own, transactionResult: true });
    this.#tell("ended");
    return transaction.appended();
  }

  #tell(step: KafkaWriterStep): void {
    if (steps.hasSubscribers) steps.publish({ writer: this.id, step });
  }

  /** One request to each leader, all at once. */
  async #produce(
    transaction: KafkaTransaction,
    round: readonly PlacedBatch[],
    leaders: readonly number[],
  ): Promise<void> {
    const byLeader = Map.groupBy(round, ({ index }) => leaders[index] as number);
    const sent = [...byLeader].map(async ([leader, batches]) => {
      const broker = await this.#client.broker(leader);
      const { batches: answers } = await broker.connectionPool.send(
        produceExchange(this.id, this.#requestTimeoutMs, batches),
      );
      for (const { topic, partition, error, baseOffset } of answers) {
        if (error !== 0) {
          throw kafkaError(errors.createErrorFromCode(error), `cannot write ${topic}[${partition}]`, {
            topic,
            partition,
            right: `Write on topic ${topic}`,
          });
        }
        transaction.placed(topic, partition, baseOffset);
      }
    });
    await Promise.all(sent);
  }

  /**
   * Finds out whether topics may be written, by a transaction over them that is given up: no reader sees a thing.
   * @throws KAPPA_LOG_REFUSED
   */
  async requireWrite(topics: readonly string[]): Promise<void> {
    const own = { transactionalId: this.id, producerId: this.#producerId, producerEpoch: this.#epoch };
    for (const topic of topics) {
      try {
        await this.#patiently(async () => {
          const wanted = [{ topic, partitions: [0] }];
          await (await this.#coordinate()).addPartitionsToTxn({ ...own, topics: wanted });
        });
      } catch (error) {
        throw kafkaError(error, `cannot write topic ${topic}`, { topic, right: `Write on topic ${topic}` });
      }
    }
    // A transaction over nothing has not begun, and has no end.
    if (topics.length === 0) return;
    try {
      await (await this.#coordinate()).endTxn({ ...own, transactionResult: false });
    } catch (error) {
      throw kafkaError(error, `writer ${this.id} cannot give up a transaction`, { writer: this.id });
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#client.close();
  }
}

import { customerProfileSchema, fraudLabelSchema, listEntrySchema, transactionSchema } from "../../schemas/records.ts";
import { type Attack, FraudSimulator, type SimulatedEvent } from "../../topologies/fraud/simulator.ts";
import { AvroSerde } from "../codec/avro-serde.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { valueSubject } from "../codec/schema-registry.ts";
import type { Serde } from "../codec/serde.ts";
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { Log, TransactionSection, Writer } from "../log/log.ts";
import { partitionOf } from "../log/partitioner.ts";
import { RecordBatchWriter } from "../log/record-batch.ts";
import { transactionNumber } from "./demo-ids.ts";

const schemas: { readonly [Topic in SimulatedEvent["topic"]]: RecordSchema<object> } = {
  transactions: transactionSchema as RecordSchema<object>,
  "fraud-labels": fraudLabelSchema as RecordSchema<object>,
  "customer-profiles": customerProfileSchema as RecordSchema<object>,
  "fraud-lists": listEntrySchema as RecordSchema<object>,
};

/** Every so many transactions one is sent a second time, as a till does that got no answer. */
const sentTwiceEvery = 250;
/** Send times that are remembered: far more than can be on their way. */
const sendTimesHeld = 1 << 17;

/** An input topic on its way into the log. */
interface Lane {
  readonly topic: string;
  readonly serde: Serde<object>;
  readonly writers: readonly RecordBatchWriter[];
}

export interface TrafficOptions {
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly clock: Clock;
  readonly partitions: number;
  readonly seed: number;
  readonly startMs: number;
}

/** A simulated town that writes its payments, profiles, lists and fraud reports into the log, in order of event time. */
export class DemoTraffic {
  readonly #clock: Clock;
  readonly #simulator: FraudSimulator;
  readonly #partitions: number;
  readonly #writer: Writer;
  readonly #lanes: ReadonlyMap<string, Lane>;
  readonly #sentAtMs = new Float64Array(sendTimesHeld);
  /** Transactions, each counted once. */
  sent = 0;
  /** Transactions that were sent a second time. */
  sentTwice = 0;
  /** Frauds among the transactions. */
  frauds = 0;

  private constructor(options: TrafficOptions, writer: Writer, lanes: ReadonlyMap<string, Lane>) {
    const { seed, startMs } = options;
    this.#clock = options.clock;
    this.#partitions = options.partitions;
    this.#simulator = new FraudSimulator({ seed, startMs, customerCount: 2000, terminalCount: 400 });
    this.#writer = writer;
    this.#lanes = lanes;
  }

  /** Creates the topics, registers their schemas and opens a writer. */
  static async open(options: TrafficOptions): Promise<DemoTraffic> {
    const { log, registry, partitions } = options;
    const lanes = new Map<string, Lane>();
    for (const [topic, schema] of Object.entries(schemas)) {
      await log.createTopic(topic, { partitions });
      const id = await registry.register(valueSubject(topic), schema.definition);
      const writers = Array.from({ length: partitions }, () => new RecordBatchWriter());
      lanes.set(topic, { topic, serde: new AvroSerde(schema, id, registry), writers });
    }
    return new DemoTraffic(options, await log.openWriter("demo-traffic"), lanes);
  }

  /** Event time reached. */
  get timeMs(): number {
    return this.#simulator.timeMs;
  }

  /** When a transaction was handed to the log, on the monotonic clock; by its number, for the newest ones. */
  sentAtMs(number: number): number {
    return this.#sentAtMs[number % sendTimesHeld] as number;
  }

  /** Sets off a fraud now. */
  attack(): Attack {
    return this.#simulator.attack("card-testing");
  }

  /** Sends the next transactions and what else happens meanwhile. @returns once all of it is durable */
  async send(transactions: number, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    const nowMs = this.#clock.monotonic();
    for (let count = 0; count < transactions && this.timeMs < untilMs; ) {
      const event = this.#simulator.next();
      this.#add(event);
      if (event.topic !== "transactions") continue;
      count++;
      this.sent++;
      if (event.fraud !== null) this.frauds++;
      this.#sentAtMs[transactionNumber(event.value.tx_id) % sendTimesHeld] = nowMs;
      if (this.sent % sentTwiceEvery === 0) {
        this.#add(event);
        this.sentTwice++;
      }
    }
    await this.#flush();
  }

  #add({ topic, key, timeMs, value }: SimulatedEvent): void {
    const lane = this.#lanes.get(topic);
    assert(lane !== undefined, () => `no lane for topic ${topic}`);
    const writer = lane.writers[partitionOf(key, this.#partitions)] as RecordBatchWriter;
    writer.beginText(timeMs, key);
    if (value !== null) encode(lane.serde, value, writer);
    writer.end(value === null);
  }

  async #flush(): Promise<void> {
    const sections: TransactionSection[] = [];
    for (const { topic, writers } of this.#lanes.values()) {
      for (const [partition, writer] of writers.entries()) {
        const { count, minTimeMs, maxTimeMs } = writer;
        if (count > 0) sections.push({ topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() });
      }
    }
    if (sections.length > 0) await this.#writer.append(sections);
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }
}

function encode(serde: Serde<object>, value: object, writer: RecordBatchWriter): void {
  for (let room = 512; ; room *= 4) {
    writer.reserve(room);
    const end = serde.encode(value, writer.buffer, writer.at);
    if (end >= 0) {
      writer.advance(end - writer.at);
      return;
    }
  }
}

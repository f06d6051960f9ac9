import { setTimeout as sleep } from "node:timers/promises";
import { partitionOf, RecordBatchReader, RecordBatchWriter } from "../../src/index.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import type { KafkaOptions } from "../../src/log/kafka-options.ts";
import type { TransactionSection, Writer } from "../../src/log/log.ts";
import { nextBatch } from "../../src/log/record-at.ts";
import { seededRandom } from "../log/power-cut.ts";
import { type ChaosEvent, eventsTopic } from "./kafka-topology.ts";

const startMs = Date.UTC(2026, 0, 5);
const customers = 800;
const terminals = 300;
/** An event in five is older than the one before, by up to so much. */
const disorderMs = 2000;
/** The last id of each transaction, in it. */
const progressTopic = "chaos-progress";
/** Events of one transaction, at most. */
const eventsAtOnce = 4000;

/** Event number `id`: the same for the same seed, whoever asks and when. */
export function chaosEvent(id: number, seed: number, ratePerSecond: number): ChaosEvent {
  const random = seededRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(id, 0x85ebca6b));
  random();
  const late = random() < 0.2 ? Math.floor(random() * disorderMs) : 0;
  return {
    id,
    ts: startMs + disorderMs + Math.floor((id * 1000) / ratePerSecond) - late,
    // Squared: some are busy, most are not.
    customer: `c${Math.floor(random() ** 2 * customers)}`,
    terminal: `t${Math.floor(random() ** 2 * terminals)}`,
    amount: 1 + Math.floor(random() * 100_000),
  };
}

export interface ProducerOptions {
  readonly kafka: KafkaOptions;
  readonly seed: number;
  readonly partitions: number;
  readonly ratePerSecond: number;
}

/**
 * Produces events at a rate until it is told to stop, each once, through whatever becomes of the broker: a transaction
 * holds the id that it ends with, so that after an error the log says how far it has come.
 */
export class EventProducer {
  readonly #options: ProducerOptions;
  readonly #log: KafkaLog;
  readonly #writers: readonly RecordBatchWriter[];
  readonly #startMs = performance.now();
  #stopping = false;
  #running: Promise<void> | undefined;
  /** Where the progress of this producer is looked for from. */
  #progressFrom = 0n;
  /** Id of the next event, and so how many there are. */
  produced = 0;
  /** Writers that failed. */
  failures = 0;

  private constructor(options: ProducerOptions, log: KafkaLog) {
    this.#options = options;
    this.#log = log;
    this.#writers = Array.from({ length: options.partitions }, () => new RecordBatchWriter());
  }

  /** Creates the topics and begins. */
  static async start(options: ProducerOptions): Promise<EventProducer> {
    const log = await KafkaLog.open(options.kafka);
    await log.createTopic(eventsTopic, { partitions: options.partitions });
    await log.createTopic(progressTopic, { partitions: 1 });
    const producer = new EventProducer(options, log);
    producer.#running = producer.#run();
    return producer;
  }

  async #run(): Promise<void> {
    let writer: Writer | undefined;
    while (!this.#stopping) {
      try {
        writer ??= await this.#reopened();
        await this.#batch(writer);
      } catch {
        this.failures++;
        await writer?.close();
        writer = undefined;
        await sleep(100);
      }
    }
    // What is not known to be in the log is looked up: the judge wants the number.
    while (writer === undefined) writer = await this.#reopened().catch(() => undefined);
    await writer.close();
  }

  /** A writer, once it is known what the one before has left. */
  async #reopened(): Promise<Writer> {
    const writer = await this.#log.openWriter("chaos-producer");
    const cursor = await this.#log.openCursor(progressTopic, 0, this.#progressFrom, "durable");
    const reader = new RecordBatchReader();
    for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
      reader.reset(batch.bytes);
      while (reader.next()) this.produced = 1 + Number(reader.value());
    }
    this.#progressFrom = cursor.position;
    cursor.close();
    return writer;
  }

  async #batch(writer: Writer): Promise<void> {
    const { seed, partitions, ratePerSecond } = this.#options;
    const due = Math.floor(((performance.now() - this.#startMs) / 1000) * ratePerSecond);
    const end = Math.min(due, this.produced + eventsAtOnce);
    for (let id = this.produced; id < end; id++) {
      const event = chaosEvent(id, seed, ratePerSecond);
      const events = this.#writers[partitionOf(event.customer, partitions)] as RecordBatchWriter;
      events.append(event.ts, Buffer.from(event.customer), Buffer.from(JSON.stringify(event)));
    }
    const sections = this.#writers.flatMap((events, partition) => sectionOf(eventsTopic, partition, events));
    if (sections.length > 0) {
      const progress = new RecordBatchWriter(64);
      progress.append(0, null, Buffer.from(String(end - 1)));
      await writer.append([...sections, ...sectionOf(progressTopic, 0, progress)]);
      this.produced = end;
    }
    if (end === due) await sleep(20);
  }

  /** Offsets at which the events end, by partition. */
  async ends(): Promise<number[]> {
    const ends: number[] = [];
    while (ends.length < this.#options.partitions) {
      try {
        ends.push(Number(await this.#log.endOffset(eventsTopic, ends.length, "durable")));
      } catch {
        // A broker that is back does not lead all its partitions at once.
        await sleep(100);
      }
    }
    return ends;
  }

  /** Ends the production, and leaves the log open for `ends`. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async close(): Promise<void> {
    await this.#log.close();
  }
}

function sectionOf(topic: string, partition: number, writer: RecordBatchWriter): TransactionSection[] {
  if (writer.count === 0) return [];
  const { count, minTimeMs, maxTimeMs } = writer;
  return [{ topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() }];
}

import { setTimeout as pause } from "node:timers/promises";
import { type CardPayment, type CardVelocity, cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { AvroSerde, type KnownSchemas } from "../../src/codec/avro-serde.ts";
import { unknownSchema } from "../../src/codec/schema-compatibility.ts";
import { RecordBatchReader, RecordBatchWriter } from "../../src/index.ts";
import type { Cursor, Log, Writer } from "../../src/log/log.ts";
import { nextBatch } from "../../src/log/record-at.ts";

const startMs = Date.UTC(2026, 0, 5);

/** Values are written and read with the schemas of this repository, whatever id they carry. */
const ours = (type: ReturnType<KnownSchemas["known"]>): KnownSchemas => ({ known: () => type, missing: unknownSchema });
const velocities = new AvroSerde<CardVelocity>(cardVelocitySchema, -1, ours(cardVelocitySchema.avro));

/** A record that came out of the application. */
export interface Decision {
  readonly paymentId: string;
  readonly schemaId: number;
}

/** The topics of `velocity-topology.ts`, seen from outside. */
export class VelocityApplication {
  readonly name: string;
  readonly partitions: number;
  readonly #log: Log;
  readonly #writers = new Map<number, Writer>();
  readonly #cursors = new Map<string, Cursor[]>();
  readonly #decisions: Decision[] = [];
  readonly #reasons: string[] = [];
  #sent = 0;

  constructor(log: Log, name: string, partitions: number) {
    this.#log = log;
    this.name = name;
    this.partitions = partitions;
  }

  /** What an engine is started with. */
  get topology() {
    const module = new URL("./velocity-topology.ts", import.meta.url).href;
    return { module, parameters: { name: this.name } };
  }

  get inputTopic(): string {
    return `${this.name}-payments`;
  }
  get outputTopic(): string {
    return `${this.name}-decisions`;
  }

  async createInput(): Promise<void> {
    await this.#log.createTopic(this.inputTopic, { partitions: this.partitions });
  }

  /** Sends payments to a partition in one transaction, each a millisecond after the one before. @returns their ids */
  async pay(partition: number, count: number, schemaId: number): Promise<string[]> {
    const serde = new AvroSerde<CardPayment>(cardPaymentSchema, schemaId, ours(cardPaymentSchema.avro));
    const batch = new RecordBatchWriter();
    const bytes = Buffer.alloc(256);
    const ids: string[] = [];
    for (let i = 0; i < count; i++) {
      const ts = startMs + this.#sent;
      const cardId = `card-${partition}`;
      const paymentId = `p${this.#sent++}`;
      const payment = { payment_id: paymentId, ts, card_id: cardId, merchant_id: "m", amount: 100, currency: "EUR" };
      batch.append(ts, Buffer.from(cardId), bytes.subarray(0, serde.encode(payment, bytes, 0)));
      ids.push(paymentId);
    }
    const writer = await this.#writerOf(partition);
    const { count: records, minTimeMs, maxTimeMs } = batch;
    const section = { topic: this.inputTopic, partition, count: records, minTimeMs, maxTimeMs, bytes: batch.take() };
    await writer.append([section]);
    return ids;
  }

  async #writerOf(partition: number): Promise<Writer> {
    let writer = this.#writers.get(partition);
    writer ??= await this.#log.openWriter(`${this.name}-payer-${partition}`);
    this.#writers.set(partition, writer);
    return writer;
  }

  /** What is decided so far, in the order of each partition. */
  async decisions(): Promise<readonly Decision[]> {
    await this.#each(this.outputTopic, (reader) => {
      const { payment_id: paymentId } = velocities.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      this.#decisions.push({ paymentId, schemaId: reader.buffer.readUInt32BE(reader.valueAt + 1) });
    });
    return this.#decisions;
  }

  /** Why records died so far, in the order of each partition. */
  async deadReasons(): Promise<readonly string[]> {
    const name = Buffer.from("kappa.dlq.reason");
    await this.#each(`${this.name}-dead-letters`, (reader) => this.#reasons.push(String(reader.header(name))));
    return this.#reasons;
  }

  /** Decisions once there are so many, or what there is when the time is up. */
  async decided(count: number, withinMs: number): Promise<readonly Decision[]> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const decisions = await this.decisions();
      if (decisions.length >= count || performance.now() > deadline) return decisions;
      await pause(100);
    }
  }

  /** Reads on where the last call ended. */
  async #each(topic: string, see: (reader: RecordBatchReader) => void): Promise<void> {
    const reader = new RecordBatchReader();
    for (const cursor of await this.#cursorsOf(topic)) {
      for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
        reader.reset(batch.bytes);
        while (reader.next()) see(reader);
      }
    }
  }

  async #cursorsOf(topic: string): Promise<readonly Cursor[]> {
    let cursors = this.#cursors.get(topic);
    if (cursors === undefined) {
      cursors = [];
      for (let partition = 0; partition < this.partitions; partition++) {
        const start = await this.#log.startOffset(topic, partition);
        cursors.push(await this.#log.openCursor(topic, partition, start, "durable"));
      }
      this.#cursors.set(topic, cursors);
    }
    return cursors;
  }

  async close(): Promise<void> {
    for (const cursor of [...this.#cursors.values()].flat()) cursor.close();
    for (const writer of this.#writers.values()) await writer.close();
  }
}

/** Resolves when something holds; rejects when it does not in time. */
export async function until(holds: () => boolean, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${holds}`);
    await pause(20);
  }
}

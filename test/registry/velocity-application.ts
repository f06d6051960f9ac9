import { setTimeout as pause } from "node:timers/promises";
import { type CardPayment, type CardVelocity, cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { AvroSerde, type KnownSchemas } from "../../src/codec/avro-serde.ts";
import { unknownSchema } from "../../src/codec/schema-compatibility.ts";
import { RecordBatchReader, RecordBatchWriter } from "../../src/index.ts";
import type { Log } from "../../src/log/log.ts";
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
    const writer = await this.#log.openWriter(`${this.name}-${partition}-payer`);
    const { count: records, minTimeMs, maxTimeMs } = batch;
    const section = { topic: this.inputTopic, partition, count: records, minTimeMs, maxTimeMs, bytes: batch.take() };
    await writer.append([section]);
    await writer.close();
    return ids;
  }

  /** What is decided so far, in the order of each partition. */
  async decisions(): Promise<Decision[]> {
    const decisions: Decision[] = [];
    await this.#each(this.outputTopic, (reader) => {
      const { payment_id: paymentId } = velocities.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      decisions.push({ paymentId, schemaId: reader.buffer.readUInt32BE(reader.valueAt + 1) });
    });
    return decisions;
  }

  /** Why records died, in the order of each partition. */
  async deadReasons(): Promise<string[]> {
    const reasons: string[] = [];
    const name = Buffer.from("kappa.dlq.reason");
    await this.#each(`${this.name}-dead-letters`, (reader) => reasons.push(String(reader.header(name))));
    return reasons;
  }

  /** Decisions once there are so many, or what there is when the time is up. */
  async decided(count: number, withinMs: number): Promise<Decision[]> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const decisions = await this.decisions();
      if (decisions.length >= count || performance.now() > deadline) return decisions;
      await pause(100);
    }
  }

  async #each(topic: string, see: (reader: RecordBatchReader) => void): Promise<void> {
    const reader = new RecordBatchReader();
    for (let partition = 0; partition < this.partitions; partition++) {
      const cursor = await this.#log.openCursor(
        topic,
        partition,
        await this.#log.startOffset(topic, partition),
        "durable",
      );
      for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
        reader.reset(batch.bytes);
        while (reader.next()) see(reader);
      }
      cursor.close();
    }
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

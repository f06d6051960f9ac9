import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { valueSubject } from "../../src/codec/schema-registry.ts";
import { type Log, partitionOf, RecordBatchWriter, type Writer } from "../../src/index.ts";
import { Random } from "../../topologies/fraud/simulator/random.ts";
import { type Purchase, purchaseSchema, purchasesTopic } from "./memory-topology.ts";

const eventsPerTransaction = 4096;
const inFlightMax = 8;

/** Appends purchases over any log: the same bytes whenever it is run with the same keys and times. */
export class Purchases {
  readonly #partitions: number;
  readonly #writer: Writer;
  readonly #serde: AvroSerde<Purchase>;
  readonly #random = new Random(1, 1);
  readonly #batches: RecordBatchWriter[];
  readonly #underway: Promise<unknown>[] = [];
  #held = 0;

  static async open(log: Log, partitions: number, registryDir: string): Promise<Purchases> {
    const registry = await EmbeddedSchemaRegistry.open(registryDir);
    const id = await registry.register(valueSubject(purchasesTopic), purchaseSchema.definition);
    return new Purchases(partitions, await log.openWriter("purchases"), new AvroSerde(purchaseSchema, id, registry));
  }

  private constructor(partitions: number, writer: Writer, serde: AvroSerde<Purchase>) {
    this.#partitions = partitions;
    this.#writer = writer;
    this.#serde = serde;
    this.#batches = Array.from({ length: partitions }, () => new RecordBatchWriter(65_536));
  }

  async add(key: number, ts: number): Promise<void> {
    const batch = this.#batches[partitionOf(key, this.#partitions)] as RecordBatchWriter;
    batch.beginText(ts, String(key));
    batch.reserve(64);
    const end = this.#serde.encode({ key, ts, amount_cents: 100 + this.#random.below(20_000) }, batch.buffer, batch.at);
    batch.advance(end - batch.at);
    batch.end();
    if (++this.#held < eventsPerTransaction) return;
    this.#append();
    if (this.#underway.length >= inFlightMax) await this.#underway.shift();
  }

  #append(): void {
    const sections = this.#batches.flatMap((batch, partition) => {
      const { count, minTimeMs, maxTimeMs } = batch;
      return count === 0
        ? []
        : [{ topic: purchasesTopic, partition, count, minTimeMs, maxTimeMs, bytes: batch.take() }];
    });
    this.#held = 0;
    if (sections.length > 0) this.#underway.push(this.#writer.append(sections));
  }

  /** Appends what is held, and waits until all is durable. */
  async settle(): Promise<void> {
    this.#append();
    await Promise.all(this.#underway.splice(0));
  }
}

import { join } from "node:path";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { valueSubject } from "../../src/codec/schema-registry.ts";
import { days, type Log, partitionOf, RecordBatchWriter, type Writer } from "../../src/index.ts";
import { connectFileLog } from "../../src/log/file-log-socket.ts";
import { Random } from "../../topologies/fraud/simulator/random.ts";
import { answer, orderOf } from "./child.ts";
import { historyMs, type Purchase, purchaseSchema, purchasesTopic } from "./memory-topology.ts";
import { Zipf } from "./zipf.ts";

export interface MemoryProducerOrder {
  readonly dataDir: string;
  readonly partitions: number;
  readonly keys: number;
  readonly events: number;
}

const startMs = Date.UTC(2026, 0, 5);
const eventsPerTransaction = 4096;
const inFlightMax = 8;
/** Primes that spread the keys, one for the order they are loaded in and one for their ranks. */
const loadStep = 1_299_709;
const rankStep = 15_485_863;

/** Appends purchases in the same order with the same bytes whenever it is run. */
class Purchases {
  readonly #order: MemoryProducerOrder;
  readonly #writer: Writer;
  readonly #serde: AvroSerde<Purchase>;
  readonly #random = new Random(1, 1);
  readonly #batches: RecordBatchWriter[];
  readonly #underway: Promise<unknown>[] = [];
  #held = 0;

  static async open(log: Log, order: MemoryProducerOrder): Promise<Purchases> {
    const registry = await EmbeddedSchemaRegistry.open(join(order.dataDir, "registry"));
    const id = await registry.register(valueSubject(purchasesTopic), purchaseSchema.definition);
    return new Purchases(order, await log.openWriter("purchases"), new AvroSerde(purchaseSchema, id, registry));
  }

  private constructor(order: MemoryProducerOrder, writer: Writer, serde: AvroSerde<Purchase>) {
    this.#order = order;
    this.#writer = writer;
    this.#serde = serde;
    this.#batches = Array.from({ length: order.partitions }, () => new RecordBatchWriter(65_536));
  }

  /** One purchase of each key, over the first day. */
  async load(): Promise<void> {
    const { keys } = this.#order;
    for (let i = 0; i < keys; i++) {
      await this.#add((i * loadStep) % keys, startMs + Math.floor((i / keys) * days(1)));
    }
    await this.#settle();
  }

  /** Purchases over the two days that follow; the key of rank r is chosen as often as 1 / r says. */
  async run(): Promise<void> {
    const { keys, events } = this.#order;
    const zipf = new Zipf(keys, this.#random);
    for (let i = 0; i < events; i++) {
      const key = ((zipf.next() - 1) * rankStep) % keys;
      await this.#add(key, startMs + days(1) + Math.floor((i / events) * days(2)));
    }
    await this.#settle();
  }

  /** One purchase in each partition, when all others are past keeping. */
  async expire(): Promise<void> {
    const { partitions } = this.#order;
    const met = new Set<number>();
    for (let key = 0; met.size < partitions; key++) {
      const partition = partitionOf(key, partitions);
      if (met.has(partition)) continue;
      met.add(partition);
      await this.#add(key, startMs + 12 * historyMs);
    }
    await this.#settle();
  }

  async #add(key: number, ts: number): Promise<void> {
    const batch = this.#batches[partitionOf(key, this.#order.partitions)] as RecordBatchWriter;
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

  async #settle(): Promise<void> {
    this.#append();
    await Promise.all(this.#underway.splice(0));
  }
}

const order = orderOf<MemoryProducerOrder>();
const log = await connectFileLog({ directory: join(order.dataDir, "log") });
const purchases = await Purchases.open(log, order);
answer({
  load: () => purchases.load(),
  run: () => purchases.run(),
  expire: () => purchases.expire(),
  stop: () => log.close(),
});

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CardVelocity, cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { wireHeaderLength } from "../../src/codec/wire-format.ts";
import {
  Engine,
  type EngineOptions,
  type Log,
  partitionOf,
  RecordBatchReader,
  RecordBatchWriter,
  type TransactionSection,
  type Writer,
} from "../../src/index.ts";
import { nextBatch } from "../../src/log/record-at.ts";
import type { SharedLog } from "../../src/log/thread-log.ts";
import type { OnlineStore } from "../../src/serving/online-store.ts";
import { RedisOnlineStore } from "../../src/serving/redis-online-store.ts";
import { answering } from "./redis-answering.ts";

export interface ServedStreamOptions {
  readonly application: string;
  readonly log: SharedLog;
  readonly partitions: number;
  /** Null: nothing is served. */
  readonly redisUrl: string | null;
}

const cards = 300;

/** The application of `served-cards.ts` over a log, with payments to feed it, and what the store must hold in the end. */
export class ServedStream {
  readonly dataDir: string;
  readonly #options: ServedStreamOptions;
  readonly #serde: AvroSerde<object>;
  #writer: Writer | null = null;
  readonly #bytes = Buffer.alloc(256);
  /** Payments that are durable. */
  sent = 0;
  #made = 0;

  private constructor(options: ServedStreamOptions, dataDir: string, serde: AvroSerde<object>) {
    this.#options = options;
    this.dataDir = dataDir;
    this.#serde = serde;
  }

  static async open(options: ServedStreamOptions): Promise<ServedStream> {
    const { application, log, partitions } = options;
    const dataDir = await mkdtemp(join(tmpdir(), "kappa-served-"));
    const registry = await EmbeddedSchemaRegistry.open(join(dataDir, "registry"));
    const id = await registry.register(`${application}-payments-value`, cardPaymentSchema.definition);
    await log.createTopic(`${application}-payments`, { partitions });
    return new ServedStream(options, dataDir, new AvroSerde(cardPaymentSchema, id, registry));
  }

  /** Starts a process of the application, so to speak: an engine with its own folder for state. */
  start(name: string, options: Partial<EngineOptions> = {}): Promise<Engine> {
    const { application, log, redisUrl } = this.#options;
    return Engine.start({
      topology: { module: new URL("./served-cards.ts", import.meta.url).href, parameters: { application } },
      log,
      dataDir: this.dataDir,
      stateDir: join(this.dataDir, name),
      threads: 1,
      ...(redisUrl === null ? {} : { online: { url: redisUrl } }),
      ...options,
    });
  }

  /** Appends payments of now, in one transaction. */
  async pay(count: number): Promise<void> {
    const { application, partitions } = this.#options;
    const writers = Array.from({ length: partitions }, () => new RecordBatchWriter());
    for (let i = 0; i < count; i++) {
      const n = this.#made++;
      const [card_id, ts] = [`card-${(n * 7919) % cards}`, Date.now()];
      const payment = { payment_id: `p${n}`, ts, card_id, merchant_id: "m", amount: n, currency: "EUR" };
      const end = this.#serde.encode(payment, this.#bytes, 0);
      writers[partitionOf(card_id, partitions)]?.append(ts, Buffer.from(card_id), this.#bytes.subarray(0, end));
    }
    const sections: TransactionSection[] = [];
    for (const [partition, writer] of writers.entries()) {
      const { count, minTimeMs, maxTimeMs } = writer;
      if (count === 0) continue;
      sections.push({ topic: `${application}-payments`, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() });
    }
    await this.#append(sections);
    this.sent += count;
  }

  /** A broker that has just started, or a topic that was just created, may refuse at first. */
  async #append(sections: readonly TransactionSection[]): Promise<void> {
    const { log, application } = this.#options;
    for (let tries = 1; ; tries++) {
      try {
        this.#writer ??= await log.openWriter(`${application}-payments-writer`);
        await this.#writer.append(sections);
        return;
      } catch (error) {
        this.#writer = null;
        if (tries === 20) throw error;
        await sleep(200);
      }
    }
  }

  /** Pays `perSecond` until the promise resolves. */
  async payUntil(done: Promise<unknown>, perSecond: number): Promise<void> {
    let over = false;
    void done.finally(() => {
      over = true;
    });
    const [startMs, before] = [performance.now(), this.sent];
    while (!over) {
      const due = Math.floor(((performance.now() - startMs) / 1000) * perSecond) - (this.sent - before);
      if (due > 0) await this.pay(due);
      await sleep(10);
    }
  }

  /** Records of the output that readers see. */
  async decided(): Promise<number> {
    let decided = 0;
    for await (const _ of velocities(this.#options.log, `${this.#options.application}-velocity`)) decided++;
    return decided;
  }

  /** Compares every entity with the last record of its key in the output. @returns how many there are */
  async check(): Promise<number> {
    const { application, log, redisUrl } = this.#options;
    assert.ok(redisUrl !== null);
    const store = new RedisOnlineStore({ url: redisUrl, applicationId: application });
    await answering(store);
    const last = new Map<string, CardVelocity>();
    let payments = 0;
    for await (const velocity of velocities(log, `${application}-velocity`)) {
      last.set(velocity.card_id, velocity);
      if (payments++ % 50 === 0) await checkPayment(store, velocity);
    }
    assert.equal(payments, this.sent);
    for (const [card, velocity] of last) {
      const expected = Object.fromEntries(Object.entries(velocity).map(([name, value]) => [name, String(value)]));
      assert.deepEqual((await store.get("cards", card))?.fields, expected);
    }
    await store.close();
    return last.size;
  }

  async close(): Promise<void> {
    await this.#writer?.close();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}

async function checkPayment(store: OnlineStore, { payment_id, card_id, count_1h }: CardVelocity): Promise<void> {
  const held = await store.get("payments", payment_id);
  assert.deepEqual(held?.fields, { card_id, count_1h: String(count_1h) }, payment_id);
}

/** The records of a topic, partition after partition. */
async function* velocities(log: Log, name: string): AsyncGenerator<CardVelocity> {
  const topic = await log.topic(name);
  const reader = new RecordBatchReader();
  for (let p = 0; p < (topic?.partitions ?? 0); p++) {
    const cursor = await log.openCursor(name, p, await log.startOffset(name, p), "durable");
    for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
      reader.reset(Buffer.from(batch.bytes));
      while (reader.next()) {
        yield cardVelocitySchema.decode(reader.buffer, reader.valueAt + wireHeaderLength, reader.valueEnd);
      }
    }
    cursor.close();
  }
}

/** Waits until what an engine serves is complete. */
export async function served(engine: Engine, timeoutMs = 60_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    await sleep(600); // longer than between two reports of its thread
    const { trouble, lag } = engine.serving?.status ?? assert.fail("nothing is served");
    if (trouble === undefined && lag === 0) return;
    assert.ok(performance.now() < endMs, `${trouble ?? ""}, ${lag} records behind`);
  }
}

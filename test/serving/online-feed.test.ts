import assert from "node:assert/strict";
import { test } from "vitest";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import type { AvroType } from "../../src/codec/avro-type.ts";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { KappaError } from "../../src/core/errors.ts";
import type { TransactionSection } from "../../src/log/log.ts";
import { MemoryLog, type MemoryLogOptions } from "../../src/log/memory-log.ts";
import { RecordBatchWriter } from "../../src/log/record-batch.ts";
import { MemoryOnlineStore } from "../../src/serving/memory-online-store.ts";
import { OnlineFeed, type OnlineFeedOptions } from "../../src/serving/online-feed.ts";
import type { OnlineBatch } from "../../src/serving/online-store.ts";
import type { OnlineTable } from "../../src/serving/online-table.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { FaultyOnlineStore } from "./faulty-online-store.ts";
import { RecordedMeter } from "./recorded-meter.ts";
import { appendDecisions, customers, decision, decisionSchema, shops } from "./served-topic.ts";

/** A feed over a log and a store in memory, with nothing in them. */
class Feeding {
  readonly log: MemoryLog;
  readonly clock = new ManualClock();
  readonly inner = new MemoryOnlineStore(this.clock);
  readonly store = new FaultyOnlineStore(this.inner, []);
  readonly registry = new MemorySchemaRegistry();
  readonly meter = new RecordedMeter();
  /** Every put. */
  readonly puts: (readonly OnlineBatch[])[] = [];

  private constructor(options: MemoryLogOptions) {
    this.log = new MemoryLog(options);
    const put = this.store.put.bind(this.store);
    this.store.put = (batches) => {
      this.puts.push(batches);
      return put(batches);
    };
  }

  static async over(partitions: number, options: MemoryLogOptions = {}): Promise<Feeding> {
    const feeding = new Feeding(options);
    await feeding.log.createTopic("decisions", { partitions });
    return feeding;
  }

  feed(options: Partial<OnlineFeedOptions> = {}): OnlineFeed {
    const { log, clock, store, registry, meter } = this;
    const feed = new OnlineFeed({ tables: [customers], tasks: 1, log, store, registry, clock, meter, ...options });
    feed.own([0]);
    return feed;
  }

  async append(customer: string, n: number, partition = 0): Promise<void> {
    await appendDecisions(this.log, [{ partition, timeMs: 0, customer, value: decision(customer, n) }]);
  }

  async n(customer: string, table = "customers"): Promise<string | undefined> {
    return (await this.inner.get(table, customer))?.fields.n;
  }
}

test("what readers see: text as it is, numbers and booleans as JavaScript writes them, lists as JSON, no nulls", async () => {
  const feeding = await Feeding.over(1);
  const value = decision("c1", 7, { shop: "Käse & Co", score: 0.1, late: true, reasons: ["a", '"b"'] });
  await appendDecisions(feeding.log, [{ partition: 0, timeMs: 5, customer: "c1", value }]);
  await feeding.feed().round();
  assert.deepEqual(await feeding.inner.get("customers", "c1"), {
    timeMs: 5,
    partition: 0,
    offset: 0,
    fields: { customer: "c1", shop: "Käse & Co", n: "7", score: "0.1", late: "true", reasons: '["a","\\"b\\""]' },
  });
  await feeding.append("c1", 8);
  await feeding.feed().round();
  assert.equal("score" in ((await feeding.inner.get("customers", "c1"))?.fields ?? {}), false);
});

test("records are served once they are durable, not before", async () => {
  const feeding = await Feeding.over(1, { manualDurability: true });
  const feed = feeding.feed();
  const appended = feeding.append("c1", 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await feeding.log.endOffset("decisions", 0, "written"), 1n);
  assert.equal(await feed.round(), "nothing");
  assert.equal(await feeding.n("c1"), undefined);
  feeding.log.sync();
  await appended;
  await feed.round();
  assert.equal(await feeding.n("c1"), "1");
});

test("a large transaction goes over in batches of a bounded size, and only the last record of an entity in each", async () => {
  const feeding = await Feeding.over(1);
  const records = Array.from({ length: 5000 }, (_, n) => {
    const customer = `c${n % 700}`;
    return { partition: 0, timeMs: 0, customer, value: decision(customer, n) };
  });
  await appendDecisions(feeding.log, records);
  const feed = feeding.feed();
  for (let rounds = 0; (await feed.round()) === "more"; rounds++) assert.ok(rounds < 100);
  for (const [batch] of feeding.puts) {
    assert.ok(batch !== undefined && batch.values.length <= 128 && batch.next - (batch.from ?? 0) <= 1000);
    assert.equal(new Set(batch.values.map(({ key }) => key)).size, batch.values.length);
  }
  assert.equal(await feeding.inner.position({ table: "customers", topic: "decisions", partition: 0 }), 5000);
  for (let c = 0; c < 700; c++) assert.equal(await feeding.n(`c${c}`), String(c < 100 ? 4900 + c : 4200 + c));
  assert.equal(feeding.meter.of("records_total", "customers"), 5000);
});

test("all partitions that have more go over in one put", async () => {
  const feeding = await Feeding.over(4);
  for (let p = 0; p < 4; p++) await feeding.append(`c${p}`, p, p);
  await feeding.feed({ tables: [customers, shops] }).round();
  assert.equal(feeding.puts.length, 1);
  assert.equal(feeding.puts[0]?.length, 8);
});

test("a feed that finds the store moved on by another goes on from there in the next round", async () => {
  const feeding = await Feeding.over(1);
  const [one, other] = [feeding.feed(), feeding.feed()];
  await one.round();
  await other.round();
  for (let n = 0; n < 30; n += 3) {
    await feeding.append("c1", n);
    await one.round();
    await feeding.append("c1", n + 1);
    await other.round();
    assert.equal(await feeding.n("c1"), String(n), "its batch was from where the store no longer is");
    await feeding.append("c1", n + 2);
    await other.round();
    assert.equal(await feeding.n("c1"), String(n + 2));
    await one.round();
    await one.round();
  }
  assert.equal(feeding.meter.of("errors_total", "moved"), 10);
  assert.equal(feeding.meter.of("errors_total", "log"), 0);
});

test("what the log trimmed while the store was away is passed over and counted", async () => {
  const feeding = await Feeding.over(1);
  const feed = feeding.feed();
  await feeding.append("c1", 1);
  await feed.round();
  feeding.store.trouble = "away";
  for (let n = 2; n <= 9; n++) await feeding.append("c1", n);
  await feed.round().catch((error: unknown) => feed.failed(error));
  await feeding.log.trimTo("decisions", 0, 6n);
  feeding.store.trouble = undefined;
  await feed.round();
  assert.equal(await feeding.n("c1"), "9");
  assert.equal(feeding.meter.of("skipped_total", "customers", "trimmed"), 5);
});

test("a log that trims what a feed is about to read stops it for a moment only", async () => {
  const feeding = await Feeding.over(1);
  const feed = feeding.feed();
  await feeding.append("c1", 1);
  await feed.round();
  for (let n = 2; n <= 9; n++) await feeding.append("c1", n);
  await feeding.log.trimTo("decisions", 0, 6n);
  await feed.round();
  assert.equal(feeding.meter.of("errors_total", "log"), 1);
  feeding.clock.advance(1000);
  await feed.round();
  assert.equal(await feeding.n("c1"), "9");
});

test("where the log trimmed all that was missing, the position moves on without a record", async () => {
  const feeding = await Feeding.over(1);
  await feeding.append("c1", 1);
  await feeding.feed().round();
  for (let n = 2; n <= 5; n++) await feeding.append("c1", n);
  await feeding.log.trimTo("decisions", 0, 5n);
  const feed = feeding.feed();
  await feed.round();
  assert.equal(await feeding.inner.position({ table: "customers", topic: "decisions", partition: 0 }), 5);
  await feeding.feed().round();
  assert.equal(feeding.meter.of("skipped_total", "customers", "trimmed"), 4);
});

test("a log that ends before the store's position is another log: after a while the table is kept from its beginning", async () => {
  const feeding = await Feeding.over(1);
  for (let n = 1; n <= 5; n++) await feeding.append("c1", n);
  await feeding.feed().round();
  const another = new MemoryLog();
  await another.createTopic("decisions", { partitions: 1 });
  await appendDecisions(another, [{ partition: 0, timeMs: 0, customer: "c1", value: decision("c1", 100) }]);
  const feed = feeding.feed({ log: another });
  for (let s = 0; s < 9; s++) {
    await feed.round();
    feeding.clock.advance(1000);
  }
  assert.equal(await feeding.n("c1"), "5", "an end may be old for a moment");
  for (let s = 0; s < 5; s++) {
    await feed.round();
    feeding.clock.advance(1000);
  }
  assert.equal(await feeding.n("c1"), "100");
});

test("records without a key, or that no schema reads, are passed over and counted; those around them are not", async () => {
  const feeding = await Feeding.over(1);
  const writer = new RecordBatchWriter();
  const good = Buffer.from(JSON.stringify(decision("c1", 1)));
  writer.append(0, Buffer.from("c1"), good);
  writer.append(0, Buffer.from("c1"), Buffer.from("{"));
  writer.append(0, null, good);
  writer.append(0, Buffer.from("c2"), good);
  writer.append(0, Buffer.from("c3"), null);
  await (await feeding.log.openWriter("w")).append([sectionOfWriter(writer)]);
  await feeding.feed({ tables: [customers, shops] }).round();
  assert.equal(await feeding.n("c1"), "1");
  assert.equal(await feeding.n("c2"), "1");
  assert.equal(feeding.meter.of("skipped_total", "customers", "decode"), 1);
  assert.equal(feeding.meter.of("skipped_total", "customers", "null_key"), 1);
  assert.equal(feeding.meter.of("skipped_total", "shops", "null_value"), 1);
});

function sectionOfWriter(writer: RecordBatchWriter): TransactionSection {
  const { count, minTimeMs, maxTimeMs } = writer;
  return { topic: "decisions", partition: 0, count, minTimeMs, maxTimeMs, bytes: writer.take() };
}

const avro: OnlineTable = { ...customers, format: "avro" };

/** A registry over a network: nothing is at hand until it was asked for. */
class RemoteRegistry extends MemorySchemaRegistry {
  readonly #asked = new Set<number>();
  away = false;

  override known(id: number): AvroType | undefined {
    return this.#asked.has(id) ? super.known(id) : undefined;
  }

  override async schemaOf(id: number): Promise<string> {
    if (this.away) throw new KappaError("KAPPA_SERVICE_UNREACHABLE", "the registry is away");
    const schema = await super.schemaOf(id);
    this.#asked.add(id);
    return schema;
  }
}

async function appendAvro(feeding: Feeding, registry: MemorySchemaRegistry, ...ids: readonly number[]): Promise<void> {
  const writer = new RecordBatchWriter();
  const bytes = Buffer.alloc(256);
  for (const [n, id] of ids.entries()) {
    const serde = new AvroSerde(decisionSchema, id, registry);
    writer.append(0, Buffer.from("c1"), bytes.subarray(0, serde.encode(decision("c1", n), bytes, 0)));
  }
  await (await feeding.log.openWriter("w")).append([sectionOfWriter(writer)]);
}

test("an unknown schema is fetched, and its record is not lost", async () => {
  const feeding = await Feeding.over(1);
  const registry = new RemoteRegistry();
  const id = await registry.register("decisions-value", decisionSchema.definition);
  await appendAvro(feeding, registry, id, id);
  const feed = feeding.feed({ tables: [avro], registry });
  await feed.round();
  assert.equal(await feed.round(), "later");
  assert.equal(await feeding.n("c1"), "1");
  assert.equal(feeding.meter.of("records_total", "customers"), 2);
});

test("records of a schema that no registry has are passed over", async () => {
  const feeding = await Feeding.over(1);
  const registry = new RemoteRegistry();
  const id = await registry.register("decisions-value", decisionSchema.definition);
  await appendAvro(feeding, registry, id, 4711, id, 4711);
  const feed = feeding.feed({ tables: [avro], registry });
  for (let i = 0; i < 5; i++) await feed.round();
  assert.equal(await feeding.n("c1"), "2");
  assert.equal(feeding.meter.of("skipped_total", "customers", "schema_unknown"), 2);
});

test("while the registry is away, records of unknown schemas wait and other tables go on", async () => {
  const feeding = await Feeding.over(1);
  const registry = new RemoteRegistry();
  const id = await registry.register("decisions-value", decisionSchema.definition);
  registry.away = true;
  await appendAvro(feeding, registry, id);
  await feeding.log.createTopic("others", { partitions: 1 });
  const others: OnlineTable = { ...customers, name: "others", topic: "others" };
  const writer = new RecordBatchWriter();
  writer.append(0, Buffer.from("o1"), Buffer.from(JSON.stringify(decision("o1", 1))));
  await (await feeding.log.openWriter("w")).append([{ ...sectionOfWriter(writer), topic: "others" }]);
  const feed = feeding.feed({ tables: [avro, others], registry });
  await feed.round();
  assert.equal(await feeding.n("o1", "others"), "1");
  assert.equal(feeding.meter.of("skipped_total", "customers", "schema_unknown"), 0);
  registry.away = false;
  feeding.clock.advance(1000);
  for (let i = 0; i < 3; i++) await feed.round();
  assert.equal(await feeding.n("c1"), "0");
  assert.equal(feeding.meter.of("skipped_total", "customers", "decode"), 0);
});

test("a store that has nothing yet lags by what waits for a schema", async () => {
  const feeding = await Feeding.over(1);
  const registry = new RemoteRegistry();
  const id = await registry.register("decisions-value", decisionSchema.definition);
  registry.away = true;
  await appendAvro(feeding, registry, id, id, id);
  const feed = feeding.feed({ tables: [avro], registry });
  await feed.round();
  assert.equal(feed.status.lag, 3);
  registry.away = false;
  feeding.clock.advance(1000);
  for (let i = 0; i < 3; i++) await feed.round();
  assert.equal(feed.status.lag, 0);
});

test("partitions are followed by who runs their task, and a topic may have more of them", async () => {
  const feeding = await Feeding.over(5);
  for (let p = 0; p < 5; p++) await feeding.append(`c${p}`, p, p);
  const feed = feeding.feed({ tasks: 2 });
  feed.own([1]);
  await feed.round();
  const held = async () => Promise.all([0, 1, 2, 3, 4].map((p) => feeding.n(`c${p}`)));
  assert.deepEqual(await held(), [undefined, "1", undefined, "3", undefined]);
  feed.sample();
  assert.equal(feeding.meter.of("lag_records", "customers", "1"), 0);
  assert.equal(feeding.meter.of("lag_records", "customers", "0"), undefined);
  feed.own([0]);
  await feed.round();
  feed.sample();
  assert.deepEqual(await held(), ["0", "1", "2", "3", "4"]);
  assert.equal(feeding.meter.of("lag_records", "customers", "1"), undefined, "its gauge went with it");
});

test("while the store is away its lag grows and its trouble is told; then it has everything", async () => {
  const feeding = await Feeding.over(1);
  const feed = feeding.feed();
  await feeding.append("c1", 1);
  await feed.round();
  assert.deepEqual(feed.status, { trouble: undefined, lag: 0 });
  feeding.store.trouble = "no connection to Redis";
  for (let n = 2; n <= 4; n++) {
    await feeding.append("c1", n);
    await feed.round().catch((error: unknown) => feed.failed(error));
    assert.deepEqual(feed.status, { trouble: "no connection to Redis", lag: n - 1 });
    feed.sample();
    assert.equal(feeding.meter.of("lag_records", "customers", "0"), n - 1);
    assert.equal(feeding.meter.of("up"), 0);
  }
  feeding.store.trouble = undefined;
  await feed.round();
  feed.sample();
  assert.deepEqual(feed.status, { trouble: undefined, lag: 0 });
  assert.equal(feeding.meter.of("up"), 1);
  assert.equal(await feeding.n("c1"), "4");
});

test("a store that fails keeps the feed no longer than one question to the log, however many partitions it follows", async () => {
  const feeding = await Feeding.over(4);
  const feed = feeding.feed();
  await feed.round();
  const { log } = feeding;
  const endOffset = log.endOffset.bind(log);
  let [underWay, atOnce] = [0, 0];
  log.endOffset = async (...args) => {
    atOnce = Math.max(atOnce, ++underWay);
    await new Promise((resolve) => setImmediate(resolve));
    underWay--;
    return await endOffset(...args);
  };
  await feed.failed(new KappaError("KAPPA_SERVICE_UNREACHABLE", "away"));
  assert.equal(atOnce, 4);
});

test("a cursor that hears of nothing shows as lag", async () => {
  const feeding = await Feeding.over(1);
  const feed = feeding.feed();
  await feeding.append("c1", 1);
  await feed.round();
  feeding.log.openCursor = async (topic, partition, from) => ({
    topic,
    partition,
    position: from,
    end: from,
    next: () => undefined,
    caughtUp: () => true,
    arrival: async () => {},
    close: () => {},
  });
  const deaf = feeding.feed();
  await deaf.round();
  await feeding.append("c1", 2);
  feeding.clock.advance(5000);
  await deaf.round();
  assert.equal(deaf.status.lag, 1);
});

test("a running feed follows what comes, and ends when told, with everything in the store", async () => {
  const feeding = await Feeding.over(1);
  const feed = feeding.feed({ clock: systemClock });
  const ran = feed.run();
  await feeding.append("c1", 1);
  const soonMs = performance.now() + 5000;
  while ((await feeding.n("c1")) !== "1") {
    assert.ok(performance.now() < soonMs, "it came too late");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await feeding.append("c1", 2);
  feed.end({ limitMs: 10_000, patienceMs: 10_000 });
  assert.equal(await ran, true);
  assert.equal(await feeding.n("c1"), "2");
});

test("a feed that is to end waits for what is durable and not yet at hand", async () => {
  const feeding = await Feeding.over(1);
  await feeding.append("c1", 1);
  const { log } = feeding;
  const openCursor = log.openCursor.bind(log);
  // A broker that takes its time.
  log.openCursor = async (...args) => {
    const cursor = await openCursor(...args);
    const atHandMs = performance.now() + 200;
    const next = cursor.next.bind(cursor);
    cursor.next = () => (performance.now() < atHandMs ? undefined : next());
    cursor.caughtUp = () => performance.now() < atHandMs || cursor.position >= cursor.end;
    return cursor;
  };
  const feed = feeding.feed({ clock: systemClock });
  const ran = feed.run();
  feed.end({ limitMs: 10_000, patienceMs: 10_000 });
  assert.equal(await ran, true);
  assert.equal(await feeding.n("c1"), "1");
});

test("a feed that is to end gives up a store that is away after the patience it was given", async () => {
  const feeding = await Feeding.over(1);
  const feed = feeding.feed({ clock: systemClock });
  feeding.store.trouble = "away";
  const ran = feed.run();
  const startMs = performance.now();
  feed.end({ limitMs: 60_000, patienceMs: 150 });
  assert.equal(await ran, false);
  assert.ok(performance.now() - startMs < 5000);
});

test("what is no failure of the surroundings ends a feed: a bug must not look like a store that is away", async () => {
  const feeding = await Feeding.over(1);
  await feeding.append("c1", 1);
  feeding.store.put = () => Promise.reject(new TypeError("a bug"));
  await assert.rejects(feeding.feed({ clock: systemClock }).run(), /a bug/);
});

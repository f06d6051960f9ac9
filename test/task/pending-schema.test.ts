import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { AvroSerde, type KnownSchemas } from "../../src/codec/avro-serde.ts";
import type { AvroType } from "../../src/codec/avro-type.ts";
import { unknownSchema } from "../../src/codec/schema-compatibility.ts";
import { KappaError } from "../../src/core/errors.ts";
import { noMeter } from "../../src/core/meter.ts";
import { MemoryLog, RecordBatchWriter, RecordSchema, TopologyBuilder } from "../../src/index.ts";
import { DeadLetters } from "../../src/task/dead-letter.ts";
import { GlobalTable } from "../../src/task/global-table.ts";
import { InputSource } from "../../src/task/input-source.ts";
import { Intake } from "../../src/task/intake.ts";
import { Outputs } from "../../src/task/outputs.ts";
import { PartitionGroup } from "../../src/task/partition-group.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import type { StreamSourceNode, TableSourceNode, Value } from "../../src/topology/graph.ts";

const base = Date.UTC(2026, 0, 5);
const mergeWaitMs = 5;
const { timeBounds } = defaultSettings;

interface Reading {
  readonly id: string;
  readonly ts: number;
}

const schema = new RecordSchema<Reading>({
  type: "record",
  name: "Reading",
  fields: [
    { name: "id", type: "string" },
    { name: "ts", type: "long" },
  ],
});

const builder = new TopologyBuilder("readings");
const list = builder.globalTable("list", { schema, key: "id", time: "ts" });
builder
  .stream("readings", { schema, key: "id", time: "ts" })
  .leftJoin("listed", list, { key: "id", columns: {} }, () => ({}))
  .to("out", { schema, key: "id" });
const { nodes } = builder.build();
const stream = nodes.find(({ kind }) => kind === "source") as StreamSourceNode;
const table = nodes.find(({ kind }) => kind === "table") as TableSourceNode;

/** A registry that answers when the test lets it. */
class SlowRegistry implements KnownSchemas {
  readonly #known = new Set<number>([1]);
  readonly #unknown = new Set<number>();

  known(id: number): AvroType | undefined {
    return this.#known.has(id) ? schema.avro : undefined;
  }

  missing(id: number): KappaError {
    if (this.#unknown.has(id)) return unknownSchema(id);
    return new KappaError("KAPPA_SCHEMA_PENDING", `schema id ${id} is awaited`);
  }

  find(id: number): void {
    this.#known.add(id);
  }

  refuse(id: number): void {
    this.#unknown.add(id);
  }
}

/** A topic to be read while it is written. */
class Fixture {
  readonly registry = new SlowRegistry();
  readonly log = new MemoryLog();
  readonly clock = new ManualClock();
  readonly intake = new Intake();
  readonly dead = new DeadLetters("dead", 0, "readings", new Outputs(), noMeter);

  static async open(): Promise<Fixture> {
    const fixture = new Fixture();
    for (const topic of ["readings", "list"]) await fixture.log.createTopic(topic, { partitions: 2 });
    return fixture;
  }

  /** One transaction. */
  async write(topic: string, partition: number, ...readings: (Reading & { readonly schemaId?: number })[]) {
    const batch = new RecordBatchWriter();
    const bytes = Buffer.alloc(256);
    for (const { id, ts, schemaId = 1 } of readings) {
      const end = new AvroSerde(schema, schemaId, this.registry).encode({ id, ts }, bytes, 0);
      batch.append(ts, Buffer.from(id), bytes.subarray(0, end));
    }
    const { count, minTimeMs, maxTimeMs } = batch;
    const writer = await this.log.openWriter("test");
    await writer.append([{ topic, partition, count, minTimeMs, maxTimeMs, bytes: batch.take() }]);
  }

  async source(partition: number, endOffset = Number.POSITIVE_INFINITY): Promise<InputSource> {
    const serde = new AvroSerde<Value>(stream.schema, -1, this.registry);
    const from = { offset: 0, orderTimeMs: base };
    const cursor = await this.log.openCursor("readings", partition, 0n, "durable");
    return new InputSource(stream, cursor, serde, this.dead, this.intake, timeBounds, endOffset, from);
  }

  async table(signal?: AbortSignal): Promise<GlobalTable> {
    const serde = new AvroSerde<Value>(table.schema, -1, this.registry);
    const aborting = signal === undefined ? {} : { signal };
    const opened = await GlobalTable.open({
      node: table,
      log: this.log,
      serde,
      timeBounds,
      keepFaults: true,
      ...aborting,
    });
    onTestFinished(() => opened.close());
    return opened;
  }
}

/** Ids that a group gives until it gives no more. */
function taken(group: PartitionGroup): string[] {
  const ids: string[] = [];
  group.refresh();
  for (let row = group.next(); row !== null; row = group.next()) ids.push((row.value as unknown as Reading).id);
  return ids;
}

const at = (id: string, afterMs: number, schemaId = 1) => ({ id, ts: base + afterMs, schemaId });

test("a source pauses in front of a record whose schema is awaited, and goes on with it", async () => {
  const fixture = await Fixture.open();
  await fixture.write("readings", 0, at("a", 1), at("b", 2, 7), at("c", 3));
  const source = await fixture.source(0);
  source.refresh();
  assert.equal(source.waitsFor, null);
  source.take();
  for (let again = 0; again < 3; again++) {
    assert.deepEqual([source.ready, source.caughtUp, source.position], [false, false, 1]);
    assert.equal(source.waitsFor, "schema id 7 is awaited");
    assert.equal(source.lag, 2 + again);
    // More of the log, and the other sources of the task, come by meanwhile.
    await fixture.write("readings", 0, at(`d${again}`, 4));
    source.refresh();
  }
  fixture.registry.find(7);
  source.refresh();
  const ids: unknown[] = [];
  while (source.ready) ids.push((source.take().value as unknown as Reading).id);
  assert.deepEqual(ids, ["b", "c", "d0", "d1", "d2"]);
  assert.deepEqual([source.waitsFor, source.caughtUp, fixture.dead.count], [null, true, 0]);
});

test("a record whose schema nobody has is a dead letter once the registry has said so, and not before", async () => {
  const fixture = await Fixture.open();
  await fixture.write("readings", 0, at("a", 1, 7), at("b", 2));
  const source = await fixture.source(0);
  source.refresh();
  assert.deepEqual([source.ready, fixture.dead.count], [false, 0]);
  fixture.registry.refuse(7);
  source.refresh();
  assert.deepEqual([source.ready, source.sequence, fixture.dead.count], [true, 1, 1]);
});

test("the order of a stage waits for a paused source, however long", async () => {
  const fixture = await Fixture.open();
  await fixture.write("readings", 0, at("a", 1), at("b", 5, 7), at("c", 20));
  await fixture.write("readings", 1, at("x", 4), at("y", 10));
  const { clock } = fixture;
  const group = new PartitionGroup([await fixture.source(0), await fixture.source(1)], clock, mergeWaitMs, false);
  // What is known of the paused source is the time of the row before it.
  assert.deepEqual(taken(group), ["a"]);
  clock.advance(1000 * mergeWaitMs);
  assert.deepEqual(taken(group), []);
  assert.equal(group.caughtUp(), false);
  fixture.registry.find(7);
  // The last one waits for what the other, which has caught up, might still have.
  assert.deepEqual(taken(group), ["x", "b", "y"]);
  clock.advance(mergeWaitMs);
  assert.deepEqual(taken(group), ["c"]);
  assert.deepEqual(group.takeChoices(), []);
});

test("a source that was passed over as silent is waited for when it pauses", async () => {
  const fixture = await Fixture.open();
  const { clock } = fixture;
  const group = new PartitionGroup([await fixture.source(0), await fixture.source(1)], clock, mergeWaitMs, false);
  await fixture.write("readings", 1, at("x", 10));
  assert.deepEqual(taken(group), []);
  clock.advance(mergeWaitMs);
  assert.deepEqual(taken(group), ["x"]);
  // Also when it is found to have something only after the cycle has begun.
  await fixture.write("readings", 1, at("y", 20));
  group.refresh();
  await fixture.write("readings", 0, at("a", 15, 7));
  assert.equal(group.next(), null);
  clock.advance(mergeWaitMs);
  assert.deepEqual(taken(group), []);
  fixture.registry.find(7);
  assert.deepEqual(taken(group), ["a"]);
  clock.advance(mergeWaitMs);
  assert.deepEqual(taken(group), ["y"]);
});

test("a run until the end does not end in front of a record whose schema is awaited", async () => {
  const fixture = await Fixture.open();
  await fixture.write("readings", 0, at("a", 1), at("b", 2, 7));
  await fixture.write("readings", 1, at("x", 4));
  const sources = [await fixture.source(0, 2), await fixture.source(1, 1)];
  const group = new PartitionGroup(sources, fixture.clock, mergeWaitMs, true);
  assert.deepEqual(taken(group), ["a"]);
  assert.equal(group.caughtUp(), false);
  fixture.registry.find(7);
  assert.deepEqual(taken(group), ["b", "x"]);
  assert.equal(group.caughtUp(), true);
});

test("a global table is whole before the first row, however late the registry answers", async () => {
  const fixture = await Fixture.open();
  await fixture.write("list", 0, at("a", 1), at("b", 2, 7), at("c", 3));
  let opened: GlobalTable | undefined;
  const opening = fixture.table().then((whole) => {
    opened = whole;
  });
  await pause(100);
  assert.equal(opened, undefined);
  fixture.registry.find(7);
  await opening;
  const held = ["a", "b", "c"].map((id) => (opened?.get(id, base + 9) as unknown as Reading | undefined)?.id);
  assert.deepEqual(held, ["a", "b", "c"]);
});

test("a partition of a global table pauses alone, and buries afterwards what the registry does not know", async () => {
  const fixture = await Fixture.open();
  await fixture.write("list", 0, at("a", 1), at("b", 2));
  const whole = await fixture.table();
  await fixture.write("list", 0, at("c", 3), at("d", 4, 7), at("e", 5), at("f", 6, 8), at("g", 7));
  await fixture.write("list", 1, at("x", 3));
  const held = () => [..."abcdefgx"].filter((id) => whole.get(id, base + 9) !== null).join("");
  for (let again = 0; again < 2; again++) {
    whole.refresh();
    assert.deepEqual([held(), whole.waitsFor, whole.faults], ["abcx", "schema id 7 is awaited", []]);
  }
  fixture.registry.find(7);
  whole.refresh();
  assert.deepEqual([held(), whole.waitsFor], ["abcdex", "schema id 8 is awaited"]);
  await fixture.write("list", 0, at("h", 8));
  fixture.registry.refuse(8);
  whole.refresh();
  assert.deepEqual([held(), whole.waitsFor], ["abcdegx", null]);
  assert.equal(whole.get("h", base + 9) === null, false);
  assert.deepEqual(
    whole.faults.map(({ partition, offset, reason }) => [partition, offset, reason]),
    [[0, 5, "schema_unknown"]],
  );
});

test("a process that is told to stop does not wait for the schemas of a table", async () => {
  const fixture = await Fixture.open();
  await fixture.write("list", 0, at("a", 1, 7));
  const stop = new AbortController();
  const opening = fixture.table(stop.signal);
  await pause(50);
  stop.abort();
  assert.equal((await opening).get("a", base + 9), null);
});

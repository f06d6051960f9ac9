import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { JsonSerde } from "../../src/codec/json-serde.ts";
import { noMeter } from "../../src/core/meter.ts";
import { days, MemoryLog, RecordSchema, TopologyBuilder } from "../../src/index.ts";
import { RecordBatchWriter } from "../../src/log/record-batch.ts";
import { DeadLetters } from "../../src/task/dead-letter.ts";
import { InputSource } from "../../src/task/input-source.ts";
import { Intake } from "../../src/task/intake.ts";
import { Outputs } from "../../src/task/outputs.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import type { StreamSourceNode, Value } from "../../src/topology/graph.ts";

const base = Date.UTC(2026, 0, 5);
const { earliestMs, latestMs } = defaultSettings.timeBounds;

interface Reading {
  readonly id: string;
  readonly ts: number;
  readonly heat: number | null;
  readonly parts: unknown;
}

const definition = {
  type: "record",
  name: "Reading",
  fields: [
    { name: "id", type: "string" },
    { name: "ts", type: "double" },
    { name: "heat", type: ["null", "double"] },
    { name: "parts", type: { type: "map", values: { type: "array", items: "double" } } },
  ],
};
const schema = new RecordSchema<Reading>(definition);
const reading = (id: string, change: Partial<Reading> = {}): Reading => ({
  id,
  ts: base,
  heat: 1,
  parts: {},
  ...change,
});

const builder = new TopologyBuilder("readings");
const stream = builder.stream("readings", { schema, key: "id", time: "ts" });
stream.to("out", { schema, key: "id" });
const topology = builder.build();

/** What becomes of readings in Avro: `decided`, or the reason they died for. */
async function fates(...readings: readonly Reading[]): Promise<(string | undefined)[]> {
  const driver = await TopologyTestDriver.open(topology);
  onTestFinished(() => driver.close());
  await driver.input("readings").pipeAll(readings);
  await driver.settle();
  const reasons = new Map(
    driver
      .records("readings-dead-letters")
      .map(({ headers }) => [Number(headers["__streams.errors.offset"]), headers["kappa.dlq.reason"]]),
  );
  assert.equal(driver.output("out", schema).values().length + reasons.size, readings.length);
  return readings.map((_, offset) => reasons.get(offset) ?? "decided");
}

test("event times are whole milliseconds within bounds, the upper one excluded", async () => {
  const times = [earliestMs, latestMs - 1, earliestMs - 1, latestMs, 0, -1, base + 0.5, Number.NaN, 1e300];
  const found = await fates(...times.map((ts, i) => reading(`r${i}`, { ts })));
  assert.deepEqual(found.slice(0, 2), ["decided", "decided"]);
  // NaN is no number before it is no time.
  assert.deepEqual(found.slice(2), [...Array(5).fill("timestamp"), "not_finite", "timestamp"]);
});

test("null is a value of a nullable number, NaN is not; -0 is a number", async () => {
  const heats = [null, -0, Number.MIN_VALUE, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const found = await fates(...heats.map((heat, i) => reading(`r${i}`, { heat })));
  assert.deepEqual(found, ["decided", "decided", "decided", "not_finite", "not_finite", "not_finite"]);
});

test("a number that is not finite is found however deep it lies", async () => {
  const parts: readonly object[] = [{}, { a: [] }, { a: [1, -0], constructor: [2] }, { a: [1], b: [2, Number.NaN] }];
  const found = await fates(...parts.map((each, i) => reading(`r${i}`, { parts: each })));
  assert.deepEqual(found, ["decided", "decided", "decided", "not_finite"]);
});

test("a key of 1,024 bytes is taken, a longer one is not, in characters of any width", async () => {
  const ids = ["k".repeat(1024), "é".repeat(512), "k".repeat(1025), `${"é".repeat(512)}k`, "😀".repeat(257)];
  assert.deepEqual(await fates(...ids.map((id) => reading(id))), ["decided", "decided", "limits", "limits", "limits"]);
});

test("keys that objects are born with are keys like any other", async () => {
  const ids = ["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty", ""];
  const counting = new TopologyBuilder("counting");
  counting
    .stream("readings", { schema, key: "id", time: "ts" })
    .dedup("once", { id: "ts", ttlMs: days(1) })
    .features("by-id", { graceMs: days(1) }, (over) => ({ count: over.unbounded().count() }))
    .repartition("again", { key: "id" })
    .features("by-id-again", { graceMs: days(1) }, (over) => ({ heat: over.unbounded().count() }))
    .extend("sum", { heat: "number" }, ({ count, heat }) => ({ heat: count * 10 + heat }))
    .to("out", { schema, key: "id" });
  const driver = await TopologyTestDriver.open(counting.build());
  onTestFinished(() => driver.close());
  const piped = [1, 2].flatMap((round) => ids.map((id, i) => reading(id, { ts: base + round * 100 + i })));
  await driver.input("readings").pipeAll(piped);
  await driver.settle();
  await driver.restart("lost");
  await driver.input("readings").pipeAll(ids.map((id, i) => reading(id, { ts: base + 300 + i })));
  await driver.settle();
  const counts = (id: string) =>
    driver
      .output("out", schema)
      .values()
      .filter((each) => each.id === id)
      .map(({ heat }) => heat);
  for (const id of ids) assert.deepEqual(counts(id), [11, 22, 33], JSON.stringify(id));
});

// A source that stopped for the commit's sake has more to say, though its cursor has none: taken for silent, it would be
// passed over, and later rows of other sources taken before its own.
test("a source that is stopped by a full commit is not caught up, and goes on where it stopped", async () => {
  const log = new MemoryLog();
  await log.createTopic("readings", { partitions: 1 });
  const writer = new RecordBatchWriter();
  for (let i = 0; i < 5000; i++) writer.append(base, Buffer.from("k"), Buffer.alloc(0));
  writer.append(base, Buffer.from("a"), Buffer.from(JSON.stringify(reading("a"))));
  const { count, minTimeMs, maxTimeMs } = writer;
  const into = await log.openWriter("test");
  await into.append([{ topic: "readings", partition: 0, count, minTimeMs, maxTimeMs, bytes: writer.take() }]);

  const dead = new DeadLetters("dead", 0, "readings", new Outputs(), noMeter);
  const intake = new Intake();
  const node = topology.nodes.find(({ kind }) => kind === "source") as StreamSourceNode;
  const serde = new JsonSerde<Value>(node.schema);
  const from = { offset: 0, orderTimeMs: base };
  const { timeBounds } = defaultSettings;
  const cursor = await log.openCursor("readings", 0, 0n, "durable");
  const source = new InputSource(node, cursor, serde, dead, intake, timeBounds, Infinity, from);
  const seen = [];
  for (let commit = 0; commit < 3; commit++) {
    intake.begin();
    source.refresh();
    seen.push([source.position, source.ready, source.caughtUp]);
  }
  assert.deepEqual(seen[0], [4096, false, false]);
  assert.deepEqual(seen[1], [5000, true, false]);
  assert.equal(dead.count, 5000);
  source.take();
  assert.equal(source.caughtUp, true);
});

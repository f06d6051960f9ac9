import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { onTestFinished, test } from "vitest";
import { InvariantError } from "../../src/core/assert.ts";
import { bareModel, days, RecordSchema, type Topology, TopologyBuilder } from "../../src/index.ts";
import { RecordBatchWriter, type RecordHeader } from "../../src/log/record-batch.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { deadReasons } from "../../src/task/dead-letter.ts";
import type { ReadRecord } from "../../src/testing/followed-topics.ts";
import type { DriverOptions } from "../../src/testing/topology-test-driver.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import { deadLettersTopic } from "../../src/topology/graph.ts";

const megabyte = 1 << 20;
const base = Date.UTC(2026, 0, 5);

interface Order {
  readonly id: string;
  readonly shop: string;
  readonly ts: number;
  readonly note: string;
}
interface Seen {
  readonly id: string;
  readonly note: string;
}

const text = (name: string) => ({ name, type: "string" });
const long = (name: string) => ({ name, type: "long" });
const orderSchema = new RecordSchema<Order>({
  type: "record",
  name: "Order",
  fields: [text("id"), text("shop"), long("ts"), text("note")],
});
const seenSchema = new RecordSchema<Seen>({ type: "record", name: "Seen", fields: [text("id"), text("note")] });

const order = (id: string, note = ""): Order => ({ id, shop: `shop of ${id}`, ts: base, note });

interface Throws {
  readonly first?: (note: string) => void;
  readonly second?: (note: string) => string;
}

/** Orders in JSON, by id and then by shop. What is thrown is thrown on both arms of a fork, and in the second stage. */
function orders({ first = () => {}, second = (note) => note }: Throws = {}): Topology {
  const builder = new TopologyBuilder("orders");
  const read = builder.stream("orders", { schema: orderSchema, key: "id", time: "ts", format: "json" });
  read
    .peek("first", ({ note }) => first(note))
    .repartition("by-shop", { key: "shop" })
    .extend("second", { note: "text" }, ({ note }) => ({ note: second(note) }))
    .to("seen", { schema: seenSchema, key: "id" });
  return builder.build();
}

async function opened(topology: Topology, options: DriverOptions = {}) {
  const driver = await TopologyTestDriver.open(topology, options);
  onTestFinished(() => driver.close());
  return {
    driver,
    letters: () => driver.records(deadLettersTopic(topology.applicationId)),
    seen: () => driver.output("seen", seenSchema).values(),
    /** Appends records as they are, in one transaction. */
    async append(topic: string, records: readonly Raw[]): Promise<void> {
      const writer = new RecordBatchWriter();
      for (const { key = "k", value = "", timeMs = base, headers = [] } of records)
        writer.append(timeMs, bytesOf(key), bytesOf(value), headers);
      const { count, minTimeMs, maxTimeMs } = writer;
      const into = await driver.log.openWriter("raw");
      await into.append([{ topic, partition: 0, count, minTimeMs, maxTimeMs, bytes: writer.take() }]);
      await into.close();
    },
  };
}

interface Raw {
  readonly key?: string | Buffer | null;
  readonly value?: string | Buffer | null;
  readonly timeMs?: number;
  readonly headers?: readonly RecordHeader[];
}

function bytesOf(given: string | Buffer | null): Buffer | null {
  return typeof given === "string" ? Buffer.from(given) : given;
}

const header = (name: string, value: string): RecordHeader => ({ name, value: Buffer.from(value) });
const reasons = (letters: readonly ReadRecord<Buffer>[]) => letters.map(({ headers }) => headers["kappa.dlq.reason"]);
const fail = (): never => {
  throw new TypeError("no");
};

test("a dead letter is the record as it was, with headers of its own that say why", async () => {
  const { driver, letters, append } = await opened(orders());
  await append("orders", [
    { key: "a", value: "{", timeMs: base + 5, headers: [header("trace", "t1"), header("__proto__", "x")] },
  ]);
  await driver.settle();
  const [letter] = letters();
  assert.equal(letter?.key, "a");
  assert.equal(String(letter?.value), "{");
  assert.equal(letter?.timeMs, base + 5);
  assert.deepEqual(Object.entries(letter?.headers ?? {}), [
    ["trace", "t1"],
    ["__proto__", "x"],
    ["__streams.errors.exception", "decode"],
    ["__streams.errors.message", "1 bytes that are not JSON"],
    ["__streams.errors.topic", "orders"],
    ["__streams.errors.partition", "0"],
    ["__streams.errors.offset", "0"],
    ["kappa.dlq.reason", "decode"],
    ["kappa.dlq.stage", "orders"],
    ["kappa.dlq.attempts", "1"],
    ["kappa.dlq.task", "orders-0"],
  ]);
});

test("attempts go on from what a retry says, and nothing else that a record claims of its death is believed", async () => {
  const { driver, letters, append } = await opened(orders());
  const claims = ["2", "-7", "1e999", "x", "1.5"].map((claim) => [header("kappa.dlq.attempts", claim)]);
  await append("orders", [
    ...claims.map((headers) => ({ value: "{", headers })),
    { value: "{", headers: [header("kappa.dlq.reason", "forged"), header("__streams.errors.offset", "99")] },
  ]);
  await driver.settle();
  assert.deepEqual(
    letters().map(({ headers }) => headers["kappa.dlq.attempts"]),
    ["3", "1", "1", "1", "1", "1"],
  );
  assert.equal(letters()[5]?.headers["kappa.dlq.reason"], "decode");
  assert.equal(letters()[5]?.headers["__streams.errors.offset"], "5");
});

test("what is too large to hold is cut and says how large it was; up to 1 MiB of value is whole", async () => {
  const { driver, letters, append } = await opened(orders());
  await append("orders", [
    { value: Buffer.alloc(megabyte, "x") },
    { value: Buffer.alloc(megabyte + 1, "x") },
    { key: Buffer.alloc(70_000, "k"), value: "{" },
    { value: "{", headers: [header("long", "h".repeat(70_000))] },
    { value: "{", headers: Array.from({ length: 65_535 }, () => header("n", "")) },
  ]);
  await driver.settle();
  const cut = letters().map(({ key, value, headers }) => [
    key?.length,
    value?.length,
    headers["kappa.dlq.cut"],
    Object.keys(headers).filter((name) => !name.includes(".")).length,
  ]);
  assert.deepEqual(cut, [
    [1, megabyte, undefined, 0],
    [1, 65_536, String(megabyte + 1), 0],
    [1024, 1, "1", 0],
    [1, 1, "1", 0],
    [1, 1, "1", 0],
  ]);
});

test("a flood of large records, dead or alive, is cut into transactions that the log takes", async () => {
  const { driver, letters, seen, append } = await opened(orders());
  // 68 MiB where a transaction takes 64, and all of it would fit one commit by its count.
  const large = Buffer.from(JSON.stringify(order("a", "x".repeat(megabyte - 200))));
  for (let i = 0; i < 4; i++)
    await append(
      "orders",
      Array.from({ length: 17 }, () => ({ value: large })),
    );
  await driver.settle();
  assert.equal(seen().length, 68);
  for (let i = 0; i < 4; i++)
    await append(
      "orders",
      Array.from({ length: 17 }, () => ({ value: large.subarray(1) })),
    );
  await driver.settle();
  assert.equal(letters().length, 68);
});

test("a flood of small dead letters is cut too, each is there once, and the row behind it is decided", async () => {
  const { driver, letters, seen, append } = await opened(orders());
  const count = 9000;
  await append("orders", [
    ...Array.from({ length: count }, () => ({ value: "" })),
    { key: "a", value: JSON.stringify(order("a")) },
  ]);
  await driver.settle();
  const cursor = await driver.log.openCursor("orders-dead-letters", 0, 0n, "durable");
  const sizes = Array.from({ length: 3 }, () => cursor.next()?.count ?? 0);
  assert.deepEqual(sizes, [4096, 4096, count - 8192], "4 MiB at 1 KiB a letter");
  const offsets = letters().map(({ headers }) => Number(headers["__streams.errors.offset"]));
  assert.deepEqual(
    offsets,
    Array.from({ length: count }, (_, i) => i),
  );
  assert.equal(seen().length, 1);
});

test("a record that dies in the first stage is buried as the record it was, with its attempts", async () => {
  const first = (note: string): void => void (note === "bad" && fail());
  const { driver, letters, seen, append } = await opened(orders({ first }));
  const value = ` ${JSON.stringify(order("a", "bad"))} `;
  await append("orders", [
    { key: "b", value: JSON.stringify(order("b")) },
    { key: "a", value, headers: [header("trace", "t1"), header("kappa.dlq.attempts", "1")] },
    { key: "c", value: JSON.stringify(order("c")) },
  ]);
  await driver.settle();
  assert.deepEqual(
    seen().map(({ id }) => id),
    ["b", "c"],
  );
  const [letter] = letters();
  assert.equal(String(letter?.value), value, "byte for byte, blanks included");
  assert.equal(letter?.headers.trace, "t1");
  assert.equal(letter?.headers["kappa.dlq.attempts"], "2");
  assert.equal(letter?.headers["kappa.dlq.format"], undefined);
  assert.equal(letter?.headers["__streams.errors.offset"], "1");
  assert.equal(letter?.headers["__streams.errors.message"], "no");
});

// Rows wait for each model until the commit, so both arms come to their end, one after the other.
test("a row that dies on several ways is one dead letter", async () => {
  const builder = new TopologyBuilder("forked");
  const read = builder.stream("orders", { schema: orderSchema, key: "id", time: "ts", format: "json" });
  for (const arm of ["left", "right"])
    read
      .score(arm, { model: bareModel("none", ["ts"]), into: "score" })
      .peek(`after-${arm}`, fail)
      .to("seen", { schema: seenSchema, key: "id" });
  const { driver, letters } = await opened(builder.build(), { scorers: { left: half, right: half } });
  await driver.input("orders").pipeAll([order("a"), order("b")]);
  await driver.settle();
  assert.deepEqual(reasons(letters()), ["processing", "processing"]);
});

const half: Scorer = {
  model: { name: "half", version: "1", sha256: "", features: [{ name: "ts" }], output: "raw", medians: undefined },
  score: async (_, count, into) => void into.fill(0.5, 0, count),
  close: async () => {},
};

test("a row that dies in a later stage is buried as JSON under its key there", async () => {
  const second = (note: string): string => (note === "bad" ? fail() : note);
  const { driver, letters, seen } = await opened(orders({ second }));
  await driver.input("orders").pipeAll([order("a", "bad"), order("b")]);
  await driver.settle();
  assert.deepEqual(seen(), [{ id: "b", note: "" }]);
  const [letter] = letters();
  assert.equal(letter?.key, "shop of a");
  assert.deepEqual(JSON.parse(String(letter?.value)), order("a", "bad"));
  assert.equal(letter?.headers["kappa.dlq.format"], "json");
  assert.equal(letter?.headers["__streams.errors.topic"], "by-shop");
});

test("an output that does not fit its schema, or is no JSON, is a dead letter and not the end", async () => {
  const builder = new TopologyBuilder("orders");
  builder
    .stream("orders", { schema: orderSchema, key: "id", time: "ts", format: "json" })
    .repartition("by-shop", { key: "shop" })
    .extend("unfit", { note: "text", more: "json" }, ({ note }) => ({
      note: note as string,
      more: (note === "circle" ? circle() : note === "big" ? { n: 1n } : null) as unknown,
    }))
    .peek("after", ({ more }) => void (more !== null && fail()))
    .extend("number", { note: "text" }, ({ note }) => ({ note: note === "number" ? (5 as unknown as string) : note }))
    .to("seen", { schema: seenSchema, key: "id" });
  const { driver, letters, seen } = await opened(builder.build());
  const notes = ["circle", "big", "number", "fine"];
  await driver.input("orders").pipeAll(notes.map((note) => order(note, note)));
  await driver.settle();
  assert.deepEqual(seen(), [{ id: "fine", note: "fine" }]);
  assert.deepEqual(reasons(letters()), ["processing", "processing", "processing"]);
  assert.match(String(letters()[0]?.value), /^\{"unreadable":/);
  assert.match(letters()[2]?.headers["__streams.errors.message"] ?? "", /note must be string, got number 5/);
});

function circle(): object {
  const round: { self?: object } = {};
  round.self = round;
  return round;
}

test("a key that a function makes null is a dead letter of the node that needs it", async () => {
  const builder = new TopologyBuilder("orders");
  builder
    .stream("orders", { schema: orderSchema, key: "id", time: "ts", format: "json" })
    .extend("lost", { id: "text" }, ({ note }) => ({ id: note === "" ? (null as unknown as string) : note }))
    .features("by-id", { graceMs: days(1) }, (over) => ({ count: over.unbounded().count() }))
    .to("seen", { schema: seenSchema, key: "id" });
  const { driver, letters, seen } = await opened(builder.build());
  await driver.input("orders").pipeAll([order("a"), order("b", "b")]);
  await driver.settle();
  assert.deepEqual(seen(), [{ id: "b", note: "b" }]);
  assert.deepEqual(reasons(letters()), ["null_key"]);
});

test("a bug of ours is no dead letter: it stops the task", async () => {
  const first = (): never => {
    throw new InvariantError("invariant broken: 1 is 2");
  };
  const driver = await TopologyTestDriver.open(orders({ first }));
  await driver.input("orders").pipe(order("a"));
  await assert.rejects(driver.settle(), /invariant broken: 1 is 2/);
  assert.equal(driver.records("orders-dead-letters").length, 0);
  await assert.rejects(driver.close(), /invariant broken: 1 is 2/);
});

/** Orders that pass once, are counted by shop, and then meet a bug that can be mended. */
function counted(late: "include" | "drop"): { readonly topology: Topology; mended: boolean } {
  const bug = { mended: false };
  const builder = new TopologyBuilder("orders");
  builder
    .stream("orders", { schema: orderSchema, key: "id", time: "ts", format: "json" })
    .dedup("once", { id: "id", ttlMs: days(1) })
    .features("by-id", { graceMs: days(1), late }, (over) => ({ count: over.unbounded().count() }))
    .extend("bug", { note: "text" }, ({ note, count }) => {
      if (note === "bug" && !bug.mended) fail();
      return { note: String(count) };
    })
    .to("seen", { schema: seenSchema, key: "id" });
  return Object.assign(bug, { topology: builder.build() });
}

/** What `kappa dlq retry` sends for a dead letter. */
function retried({ key, value, headers }: ReadRecord<Buffer>): Raw {
  const kept = Object.entries(headers).filter(([name]) => /^(trace|kappa\.dlq\.(attempts|passed))$/.test(name));
  return { key, value, headers: kept.map(([name, text]) => header(name, text)) };
}

test("a record that died behind a dedup is no duplicate of itself; its true duplicates are", async () => {
  for (const late of ["include", "drop"] as const) {
    const bug = counted(late);
    const { driver, letters, seen, append } = await opened(bug.topology);
    const twice = { key: "a", value: JSON.stringify(order("a", "bug")) };
    await append("orders", [twice, twice]);
    await driver.settle();
    assert.deepEqual(reasons(letters()), ["processing"], "the second one was a duplicate");
    bug.mended = true;
    await append("orders", [twice, ...letters().map(retried)]);
    await driver.settle();
    assert.deepEqual(
      seen().map(({ id }) => id),
      ["a"],
      `late: ${late}`,
    );
    assert.equal(letters().length, 1);
  }
});

test("a record that died before a dedup, sent again twice over, passes once", async () => {
  const bug = counted("include");
  const { driver, letters, seen, append } = await opened(bug.topology);
  const again = { key: "a", value: JSON.stringify(order("a")), headers: [header("kappa.dlq.attempts", "1")] };
  await append("orders", [again, again]);
  await driver.settle();
  assert.equal(seen().length, 1);
  assert.equal(letters().length, 0);
});

test("a record that is sent again is decided as of its time and not counted in the features of others", async () => {
  const bug = counted("include");
  const { driver, letters, seen, append } = await opened(bug.topology);
  const value = (note: string, ts: number) => JSON.stringify({ ...order(`${note}${ts}`, note), ts });
  await append("orders", [{ key: "a", value: value("bug", base) }]);
  await driver.settle();
  bug.mended = true;
  await append("orders", letters().map(retried));
  await driver.settle();
  assert.equal(seen().length, 1);
  assert.equal(driver.read("by-id", `bug${base}`)?.count, 1, "it was counted before it died, and once is enough");
});

test("every reason is explained in docs/dead-letters.md, and no other", () => {
  const page = readFileSync(new URL("../../docs/dead-letters.md", import.meta.url), "utf8");
  const explained = [...page.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, reason]) => reason);
  assert.deepEqual(explained, [...deadReasons]);
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { bareModel, days, hours, KappaError, minutes, TopologyBuilder } from "../../src/index.ts";
import { columnsOf, repartitionTopic } from "../../src/topology/graph.ts";
import { labelsOf, nodeNamed, paymentSchema, paymentsOf, shopSchema, twoStages } from "./payments.ts";

/** `name: type`, with a question mark where null is allowed. */
function columnsAt(builder: TopologyBuilder, nodeId: number): string[] {
  return builder.columnsOf(nodeId).map(({ name, type, nullable }) => `${name}: ${type}${nullable ? "?" : ""}`);
}

const paymentColumns = [
  "payment_id: text",
  "ts: integer",
  "card_id: text",
  "shop_id: text",
  "amount: integer",
  "rate: number",
  "online: boolean",
  "country: text?",
  "items: json",
];

test("a column map names types; a question mark allows null", () => {
  assert.deepEqual(columnsOf({ a: "number", b: "text?", c: "json?" }), [
    { name: "a", type: "number", nullable: false },
    { name: "b", type: "text", nullable: true },
    { name: "c", type: "json", nullable: true },
  ]);
});

test("a source gives the fields of its schema, and methods leave their stream as it is", () => {
  const builder = new TopologyBuilder("app");
  const payments = paymentsOf(builder);
  payments.extend("more", { x: "number" }, () => ({ x: 1 }));
  payments.filter("none", () => false);
  assert.deepEqual(columnsAt(builder, payments.nodeId), paymentColumns);
  assert.equal(payments.key, "card_id");
});

test("extend puts fields behind those that are there; a field that comes again takes the place of the older one", () => {
  const builder = new TopologyBuilder("app");
  const extended = paymentsOf(builder).extend("more", { amount: "number", x: "text?" }, ({ amount }) => ({
    amount: amount / 100,
    x: null,
  }));
  const kept = paymentColumns.filter((column) => !column.startsWith("amount"));
  assert.deepEqual(columnsAt(builder, extended.nodeId), [...kept, "amount: number", "x: text?"]);
});

test("mapValues leaves nothing but what it declares", () => {
  const builder = new TopologyBuilder("app");
  const mapped = paymentsOf(builder).mapValues("m", { card_id: "text" }, ({ card_id }) => ({ card_id }));
  assert.deepEqual(columnsAt(builder, mapped.nodeId), ["card_id: text"]);
});

test("each aggregate has its type: counts and sums of whole numbers are whole, what may be of nothing may be null", () => {
  const builder = new TopologyBuilder("app");
  const stream = paymentsOf(builder).features("f", { graceMs: 0 }, (over) => {
    const all = over.unbounded();
    return {
      count: all.count(),
      countries: all.count("country"),
      cents: all.sum("amount"),
      rates: all.sum("rate"),
      online_count: all.sum("online"),
      mean: all.mean("amount", { per: 100 }),
      variance: all.variance("amount"),
      sd: all.sd("amount"),
      min: all.min("amount"),
      max: all.max("rate"),
      distinct: all.distinct("shop_id"),
      first: all.first("shop_id", 2),
      last: all.last("shop_id", 2),
      latest: all.latest("country"),
      latest_amount: all.latest("amount"),
      top: all.top("shop_id", 2),
      median: all.percentile("amount", 0.5),
      ratio: all.ratio("online"),
    };
  });
  assert.deepEqual(columnsAt(builder, stream.nodeId).slice(paymentColumns.length), [
    "count: integer",
    "countries: integer",
    "cents: integer",
    "rates: number",
    "online_count: integer",
    "mean: number?",
    "variance: number?",
    "sd: number?",
    "min: number?",
    "max: number?",
    "distinct: integer",
    "first: json",
    "last: json",
    "latest: text?",
    "latest_amount: integer?",
    "top: json",
    "median: number?",
    "ratio: number",
  ]);
});

test("equal windows are one window, and the store holds only what aggregates and marks need", () => {
  const builder = new TopologyBuilder("app");
  const marks = { fraud: labelsOf(builder).marking({ id: "payment_id", time: "payment_ts" }) };
  paymentsOf(builder).features("f", { graceMs: minutes(1), id: "payment_id", marks }, (over) => ({
    a: over.sliding(hours(1)).count(),
    b: over.sliding(hours(1), { delayMs: 0, closed: "right" }).sum("amount"),
    c: over.sliding(hours(1), { closed: "both" }).distinct("shop_id"),
    d: over.lastEvents(1).ratio("fraud"),
  }));
  const node = nodeNamed(builder.build(), "f");
  assert.ok(node.kind === "features");
  assert.deepEqual(node.windows, [
    { kind: "sliding", sizeMs: 3_600_000, delayMs: 0, closed: "right", excludeCurrent: false },
    { kind: "sliding", sizeMs: 3_600_000, delayMs: 0, closed: "both", excludeCurrent: false },
    { kind: "count", size: 1, excludeCurrent: false },
  ]);
  assert.deepEqual(
    node.features.map(({ name, window }) => [name, window]),
    [
      ["a", 0],
      ["b", 0],
      ["c", 1],
      ["d", 2],
    ],
  );
  assert.deepEqual(
    node.held.map(({ name }) => name),
    ["payment_id", "shop_id", "amount"],
  );
  assert.deepEqual(node.marks, [
    { mark: "fraud", parent: 0, key: "card_id", idColumn: "payment_id", timeColumn: "payment_ts", orphanMs: days(1) },
  ]);
  assert.equal(node.late, "include");
});

test("features of another stream hold its columns, and are added to the stream that asks", () => {
  const builder = new TopologyBuilder("app");
  const labels = labelsOf(builder);
  const payments = paymentsOf(builder).featuresOf("known", labels, { graceMs: minutes(1) }, (over) => ({
    labels_1d: over.sliding(days(1)).count(),
    shops_1d: over.sliding(days(1)).distinct("shop_id"),
    newest: over.unbounded().latest("payment_id"),
  }));
  const node = builder.node(payments.nodeId);
  assert.ok(node.kind === "features");
  assert.deepEqual([node.key, node.of], ["card_id", { parent: labels.nodeId, key: "card_id" }]);
  assert.deepEqual(
    node.held.map(({ name }) => name),
    ["payment_id", "shop_id"],
  );
  assert.deepEqual(columnsAt(builder, payments.nodeId), [
    ...paymentColumns,
    "labels_1d: integer",
    "shops_1d: integer",
    "newest: text?",
  ]);
  assert.equal(node.late, "include");
});

test("labels come before events of their instant, as tables do", () => {
  const { subTopologies } = twoStages();
  const ranks = subTopologies[0]?.inputs.map((input) => [input.topic, input.kind === "source" ? input.rank : null]);
  assert.deepEqual(ranks, [
    ["labels", 1],
    ["payments", 2],
  ]);
});

test("a repartition changes the key, not the value, and streams of one key space get ports", () => {
  const builder = new TopologyBuilder("app");
  const one = paymentsOf(builder).repartition("by-shop", { key: "shop_id" });
  const two = labelsOf(builder).repartition("by-shop", { key: "shop_id" });
  assert.equal(one.key, "shop_id");
  assert.deepEqual(columnsAt(builder, one.nodeId), paymentColumns);
  const [first, second] = [builder.node(one.nodeId), builder.node(two.nodeId)];
  assert.ok(first.kind === "repartition" && second.kind === "repartition");
  assert.deepEqual([first.port, second.port], [0, 1]);
  assert.deepEqual([first.name, second.name], ["by-shop", "by-shop-1"]);
  assert.equal(repartitionTopic("app", first.keySpace), "app-by-shop-repartition");
});

test("a branch gives one stream an arm, in the order of its predicates", () => {
  const builder = new TopologyBuilder("app");
  const arms = paymentsOf(builder).branch("size", { large: ({ amount }) => amount > 100, rest: () => true });
  assert.deepEqual(Object.keys(arms), ["large", "rest"]);
  const node = nodeNamed(builder.build(), "size");
  assert.ok(node.kind === "branch");
  assert.deepEqual(node.arms, ["large", "rest"]);
  assert.deepEqual(
    node.predicates.map((holds) => holds({ amount: 50 })),
    [false, true],
  );
  assert.deepEqual(
    [builder.node(arms.large.nodeId).parents, builder.node(arms.rest.nodeId).parents],
    [[node.id], [node.id]],
  );
});

test("a window gives its key, its bounds and its aggregates", () => {
  const builder = new TopologyBuilder("app");
  const hourly = paymentsOf(builder)
    .windowedBy("card_id", { kind: "tumbling", sizeMs: hours(1), graceMs: 0 })
    .aggregate("hourly", (events) => ({ n: events.count(), spent: events.sum("amount") }));
  assert.deepEqual(columnsAt(builder, hourly.nodeId), [
    "card_id: text",
    "window_start: integer",
    "window_end: integer",
    "n: integer",
    "spent: integer",
  ]);
  assert.equal(hourly.key, "card_id");
  const node = builder.node(hourly.nodeId);
  assert.ok(node.kind === "window");
  assert.deepEqual([node.emit, node.idleMs, node.late], ["onClose", null, "aside"]);
});

test("rules and models add fields that may be null", () => {
  const builder = new TopologyBuilder("app");
  const model = bareModel("m.onnx", ["amount"]);
  const scored = paymentsOf(builder)
    .rules("rules", { version: "1", rules: [] } as never)
    .score("model", {
      model,
      into: "score",
      unless: "rule_decision",
      reasons: { into: "reasons", atLeast: 0.5, size: 3 },
    });
  assert.deepEqual(columnsAt(builder, scored.nodeId).slice(paymentColumns.length), [
    "rule: text?",
    "rule_decision: text?",
    "score: number?",
    "reasons: json?",
  ]);
});

test("a join adds what it declares, and remembers whether rows without a match go", () => {
  const builder = new TopologyBuilder("app");
  const shops = builder.globalTable("shops", { schema: shopSchema, key: "shop_id" });
  const joiner = (_: unknown, shop: { readonly risk: number } | null) => ({ risk: shop?.risk ?? null });
  const left = paymentsOf(builder).leftJoin("left", shops, { key: "shop_id", columns: { risk: "number?" } }, joiner);
  const inner = left.join("inner", shops, { key: "shop_id", columns: { risk: "number?" } }, joiner);
  assert.deepEqual(columnsAt(builder, inner.nodeId), [...paymentColumns, "risk: number?"]);
  const joins = [builder.node(left.nodeId), builder.node(inner.nodeId)];
  assert.deepEqual(
    joins.map((node) => node.kind === "join" && node.inner),
    [false, true],
  );
});

test("a window over a key that a map dropped is refused where it is declared", () => {
  const payments = paymentsOf(new TopologyBuilder("app")).mapValues("m", { amount: "integer" }, ({ amount }) => ({
    amount,
  }));
  assert.throws(
    () =>
      payments
        .windowedBy("card_id" as never, { kind: "tumbling", sizeMs: 10, graceMs: 0 })
        .aggregate("w", (events) => ({ n: events.count() })),
    (error: unknown) =>
      error instanceof KappaError && /keyed by "card_id", which the value no longer has/.test(error.message),
  );
});

test("two builds of one builder are two graphs", () => {
  const builder = new TopologyBuilder("app");
  const payments = paymentsOf(builder);
  const before = builder.build();
  payments.to("out", { schema: paymentSchema, key: "card_id" });
  assert.deepEqual([before.nodes.length, builder.build().nodes.length], [1, 2]);
});

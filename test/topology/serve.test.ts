import assert from "node:assert/strict";
import { test } from "vitest";
import { days, KappaError, type ServeOptions, TopologyBuilder } from "../../src/index.ts";
import { describeTopology } from "../../src/topology/describe.ts";
import { type Payment, paymentSchema, paymentsOf } from "./payments.ts";

type Serve = ServeOptions<Payment> | readonly ServeOptions<Payment>[];

function served(serve: Serve) {
  const builder = new TopologyBuilder("shop");
  paymentsOf(builder).to("scored", { schema: paymentSchema, key: "card_id", serve });
  return builder.build();
}

function tablesOf(serve: Serve) {
  return served(serve).nodes.flatMap((node) => (node.kind === "sink" ? node.served : []));
}

function refusal(serve: Serve): string {
  try {
    served(serve);
  } catch (error) {
    assert.ok(error instanceof KappaError, String(error));
    assert.equal(error.code, "KAPPA_TOPOLOGY_INVALID");
    return error.message;
  }
  assert.fail("was not refused");
}

const ttlMs = days(1);

test("a served topic is a table of its name, by its key, with all its fields, unless said otherwise", () => {
  const columns = paymentSchema.columns.map(({ name }) => name);
  assert.deepEqual(tablesOf({ ttlMs }), [{ name: "scored", key: null, columns, ttlMs }]);
  assert.deepEqual(tablesOf({ name: "shops", key: "shop_id", columns: ["amount"], ttlMs }), [
    { name: "shops", key: "shop_id", columns: ["amount"], ttlMs },
  ]);
});

test("a table by the topic's own key has the order of the topic, however it is said", () => {
  assert.equal(tablesOf({ key: "card_id", ttlMs })[0]?.key, null);
  assert.equal(tablesOf({ key: "shop_id", ttlMs })[0]?.key, "shop_id");
});

test("what is not served has no tables", () => {
  const builder = new TopologyBuilder("shop");
  paymentsOf(builder).to("scored", { schema: paymentSchema, key: "card_id" });
  assert.deepEqual(
    builder.build().nodes.flatMap((node) => (node.kind === "sink" ? node.served : [])),
    [],
  );
});

test("a field that the records lack, or a key that may be null, does not compile and is refused", () => {
  // @ts-expect-error: the field is called amount
  const misspelt = refusal({ columns: ["amuont"], ttlMs });
  assert.match(misspelt, /serves "scored": its schema has no field "amuont"; it has payment_id, ts/);
  // @ts-expect-error: the field is called shop_id
  assert.match(refusal({ key: "shop", ttlMs }), /its schema has no field "shop" for the key/);
  // @ts-expect-error: may be null
  assert.match(refusal({ key: "country", ttlMs }), /never null, "country" is text or null/);
  // @ts-expect-error: a list
  assert.match(refusal({ key: "items", ttlMs }), /text or a number and never null, "items" is json/);
  // @ts-expect-error: true or false
  assert.match(refusal({ key: "online", ttlMs }), /"online" is boolean/);
  const builder = new TopologyBuilder("shop");
  // @ts-expect-error: without a time to live the store would grow for ever
  paymentsOf(builder).to("out", { schema: paymentSchema, key: "card_id", serve: {} });
});

test("a time to live is a whole number of milliseconds", () => {
  for (const wrong of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    assert.match(refusal({ ttlMs: wrong }), /ttlMs is .* ms; give a whole number from 1 on/);
});

test("names become parts of keys in the store: no colon, and each once in a topology", () => {
  for (const name of ["", "a:b", "a b", "-a"]) assert.match(refusal({ name, ttlMs }), /a name has letters, digits/);
  const twice = refusal([{ ttlMs }, { key: "shop_id", ttlMs }]);
  assert.match(twice, /serves "scored": a table of this name is kept from "scored"; give it another name/);
  assert.match(refusal({ columns: [], ttlMs }), /it has no columns; leave columns out for all/);
});

test("descriptions show which tables are kept from a topic, and by what", () => {
  const topology = served([
    { name: "cards", ttlMs },
    { name: "shops", key: "shop_id", columns: ["amount"], ttlMs },
  ]);
  const text = describeTopology(topology, "text");
  assert.match(
    text,
    /Sink: scored-sink \(topic: scored\)\n {6}<-- payments-source\n {6}==> cards \(online, by card_id/,
  );
  assert.match(text, /==> shops \(online, by shop_id, ttl 86400000 ms\)/);
  const mermaid = describeTopology(topology, "mermaid");
  const topic = /(t\d+)\(\["scored"\]\)/.exec(mermaid)?.[1];
  const table = /(o\d+)\[\("shops"\)\]/.exec(mermaid)?.[1];
  assert.ok(mermaid.includes(`${topic} -. "online, by shop_id" .-> ${table}\n`), mermaid);
  const { subTopologies } = JSON.parse(describeTopology(topology, "json"));
  assert.deepEqual(subTopologies[0].nodes[1].serves[1], { name: "shops", key: "shop_id", columns: ["amount"], ttlMs });
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { bareModel, hours, TopologyBuilder } from "../../src/index.ts";
import { describeTopology } from "../../src/topology/describe.ts";
import type { TopologyDescription } from "../../src/topology/description.ts";
import { paymentSchema, paymentsOf, shopSchema, twoStages } from "./payments.ts";

/** A table of the stage, one that every task has whole, and a fork that meets again. */
function withTables() {
  const builder = new TopologyBuilder("shops-app");
  const columns = { risk: "number?" } as const;
  const watched = builder.globalTable("watched", { schema: shopSchema, key: "shop_id" });
  const shops = builder.table("shops", { schema: shopSchema, key: "shop_id" });
  const payments = builder.stream("payments", { schema: paymentSchema, key: "shop_id" });
  const { large, small } = payments
    .leftJoin("shop", shops, { key: "shop_id", columns }, (_, shop) => ({ risk: shop?.risk ?? null }))
    .leftJoin("watch", watched, { key: "shop_id", columns }, (_, shop) => ({ risk: shop?.risk ?? null }))
    .branch("size", { large: ({ amount }) => amount > 100, small: () => true });
  large.merge("all", small).to("out", { schema: paymentSchema, key: "shop_id" });
  return builder.build();
}

test("text is what Kafka Streams writes: a repartition is a sink upstream and a source downstream", () => {
  assert.equal(
    describeTopology(twoStages(), "text"),
    `Topologies:
   Sub-topology: 0
    Source: labels-source (topics: [labels])
      --> by-shop-repartition-sink
    Sink: by-shop-repartition-sink (topic: fraud-by-shop-repartition)
      <-- labels-source
    Source: payments-source (topics: [payments])
      --> card-history-features
    Processor: card-history-features (stores: [card-history])
      --> by-shop-1-repartition-sink
      <-- payments-source
    Sink: by-shop-1-repartition-sink (topic: fraud-by-shop-repartition)
      <-- card-history-features

  Sub-topology: 1
    Source: by-shop-repartition-source (topics: [fraud-by-shop-repartition])
      --> shop-history-features
    Source: by-shop-1-repartition-source (topics: [fraud-by-shop-repartition])
      --> shop-history-features
    Processor: shop-history-features (stores: [shop-history])
      --> scored-payments-sink
      <-- by-shop-1-repartition-source, by-shop-repartition-source
    Sink: scored-payments-sink (topic: scored-payments)
      <-- shop-history-features

`,
  );
});

test("text: a table is a source and a store beside the stream, a global one a sub-topology without tasks", () => {
  assert.equal(
    describeTopology(withTables(), "text"),
    `Topologies:
   Sub-topology: 0
    Source: shops-source (topics: [shops])
      --> shops-table
    Processor: shops-table (stores: [shops])
      --> none
      <-- shops-source
    Source: payments-source (topics: [payments])
      --> shop
    Processor: shop (stores: [shops])
      --> watch
      <-- payments-source
    Processor: watch (stores: [watched])
      --> size
      <-- shop
    Processor: size (stores: [])
      --> size-large, size-small
      <-- watch
    Processor: size-large (stores: [])
      --> all
      <-- size
    Processor: size-small (stores: [])
      --> all
      <-- size
    Processor: all (stores: [])
      --> out-sink
      <-- size-large, size-small
    Sink: out-sink (topic: out)
      <-- all

  Sub-topology: 1 for global store (will not generate tasks)
    Source: watched-source (topics: [watched])
      --> watched-table
    Processor: watched-table (stores: [watched])
      --> none
      <-- watched-source
`,
  );
});

test("text: who reads it line by line, as kafka-streams-viz does, finds the nodes and edges that json has", () => {
  for (const topology of [twoStages(), withTables()]) {
    const read: string[] = [];
    let name = "";
    for (const line of describeTopology(topology, "text").split("\n")) {
      const node = /(Source:|Processor:|Sink:)\s+(\S+)\s+\((topics|topic|stores):(.*)\)/.exec(line);
      if (node !== null) {
        name = node[2] ?? "";
        read.push(`${name} ${node[3]} ${(node[4] ?? "").replace(/[[\]]/g, "").trim()}`);
      }
      const next = /-->\s+(.*)$/.exec(line)?.[1] ?? "none";
      for (const to of next.split(",")) if (to !== "none") read.push(`${name} -> ${to.trim()}`);
    }
    const { subTopologies } = JSON.parse(describeTopology(topology, "json")) as TopologyDescription;
    const written = subTopologies
      .flatMap((sub) => sub.nodes)
      .flatMap(({ name, kind, topic, stores, next }) => {
        const what =
          kind === "processor" ? `stores ${stores.join(", ")}` : `${kind === "source" ? "topics" : "topic"} ${topic}`;
        return [`${name} ${what}`.trim(), ...next.map((to) => `${name} -> ${to}`)];
      });
    assert.deepEqual(
      read.map((line) => line.trim()),
      written,
    );
  }
});

test("mermaid draws sub-topologies as boxes, with topics between them and stores as cylinders", () => {
  assert.equal(
    describeTopology(twoStages(), "mermaid"),
    `flowchart TB
  t0(["labels"])
  t1(["fraud-by-shop-repartition"])
  t2(["payments"])
  t3(["scored-payments"])
  subgraph sub0 ["Sub-topology 0"]
    n4["card-history-features"]
    s5[("card-history")]
  end
  subgraph sub1 ["Sub-topology 1"]
    n6["shop-history-features"]
    s7[("shop-history")]
  end
  t0 --> t1
  t2 --> n4
  n4 --- s5
  n4 --> t1
  t1 --> n6
  n6 --- s7
  n6 --> t3
`,
  );
});

test("mermaid: a store stands where it is kept, and whoever joins it is tied to it", () => {
  const lines = describeTopology(withTables(), "mermaid")
    .split("\n")
    .map((line) => line.trim());
  const at = (text: string) => lines.findIndex((line) => line.includes(text));
  assert.ok(at('subgraph sub1 ["Global table 1"]') < at('[("watched")]'));
  const idOf = (text: string) => /^[nst]\d+/.exec(lines[at(text)] ?? "")?.[0];
  assert.ok(lines.includes(`${idOf('["watch"]')} --- ${idOf('[("watched")]')}`));
  assert.equal(lines.filter((line) => line.includes('("watched")')).length, 1);
  assert.equal(
    lines.filter((line) => line.startsWith("subgraph")).length,
    lines.filter((line) => line === "end").length,
  );
});

test("events that another stream asks for lead to the node that holds them", () => {
  const builder = new TopologyBuilder("asking");
  const shops = builder.stream("shops", { schema: shopSchema, key: "shop_id" });
  builder
    .stream("payments", { schema: paymentSchema, key: "shop_id" })
    .featuresOf("shop-history", shops, { graceMs: 0 }, (over) => ({ risk: over.lastEvents(1).latest("risk") }))
    .to("out", { schema: paymentSchema, key: "payment_id" });
  const drawn = describeTopology(builder.build(), "mermaid");
  for (const edge of ['t0(["shops"])', 't1(["payments"])', "t0 --> n3", "t1 --> n3", "n3 --- s4", "n3 --> t2"])
    assert.ok(drawn.includes(edge), `${edge} is not in\n${drawn}`);
});

test("json is the description, with the fields of what leaves each node", () => {
  const description = JSON.parse(describeTopology(twoStages(), "json")) as TopologyDescription;
  assert.equal(description.version, 1);
  assert.equal(description.applicationId, "fraud");
  assert.deepEqual(
    description.subTopologies.map(({ id, global, nodes }) => [id, global, nodes.length]),
    [
      [0, false, 5],
      [1, false, 4],
    ],
  );
  const { columns, ...history } = description.subTopologies[1]?.nodes[2] ?? assert.fail("no such node");
  assert.deepEqual(history, {
    name: "shop-history-features",
    kind: "processor",
    operator: "features",
    topic: null,
    stores: ["shop-history"],
    next: ["scored-payments-sink"],
    previous: ["by-shop-1-repartition-source", "by-shop-repartition-source"],
    serves: [],
  });
  assert.deepEqual(columns.slice(-2), [
    { name: "card_count_1h", type: "integer", nullable: false },
    { name: "shop_risk_1h", type: "number", nullable: false },
  ]);
});

test("no two of nodes, topics and stores share a name, whatever they are called", () => {
  const builder = new TopologyBuilder("names");
  const payments = paymentsOf(builder)
    .filter("payments-source", () => true)
    .dedup("once", { id: "payment_id", ttlMs: hours(1) });
  payments
    .extend("out", { score: "number?" }, () => ({ score: null }))
    .to("once-dedup", { schema: paymentSchema, key: "card_id" });
  payments
    .score("out-sink", { model: bareModel("m.onnx", ["amount"]), into: "score" })
    .to("out", { schema: paymentSchema, key: "card_id" });
  payments.to("out", { schema: paymentSchema, key: "card_id" });
  const { subTopologies } = JSON.parse(describeTopology(builder.build(), "json")) as TopologyDescription;
  const nodes = subTopologies.flatMap((sub) => sub.nodes);
  const names = nodes.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, names.join(" "));
  const others = nodes.flatMap(({ topic, stores }) => [...(topic === null ? [] : [topic]), ...stores]);
  assert.deepEqual(
    others.filter((other) => names.includes(other)),
    [],
  );
  for (const { name, next } of nodes) {
    for (const to of next)
      assert.ok(nodes.find((node) => node.name === to)?.previous.includes(name), `${name} -> ${to}`);
  }
});

test("a description does not change from call to call", () => {
  for (const format of ["text", "mermaid", "json"] as const) {
    assert.equal(describeTopology(twoStages(), format), describeTopology(twoStages(), format));
  }
});

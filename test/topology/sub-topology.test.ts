import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { type Topology, TopologyBuilder } from "../../src/index.ts";
import { allParents } from "../../src/topology/sub-topology.ts";
import { labelsOf, paymentSchema, paymentsOf, shopSchema, twoStages } from "./payments.ts";

/** Names by sub-topology, and the key space that feeds each. */
function split(topology: Topology) {
  return topology.subTopologies.map(({ keySpace, nodes }) => [keySpace, ...nodes.map(({ name }) => name)]);
}

test("a repartition ends a sub-topology; labels and events that share a key space share both sides of it", () => {
  assert.deepEqual(split(twoStages()), [
    [null, "labels", "by-shop", "payments", "card-history", "by-shop-1"],
    ["by-shop", "shop-history", "scored-payments"],
  ]);
});

test("ports of a key space are numbered in the order of declaration", () => {
  const ports = twoStages().nodes.flatMap((node) => (node.kind === "repartition" ? [[node.name, node.port]] : []));
  assert.deepEqual(ports, [
    ["by-shop", 0],
    ["by-shop-1", 1],
  ]);
});

test("each repartition begins another stage", () => {
  const builder = new TopologyBuilder("three");
  paymentsOf(builder)
    .repartition("by-shop", { key: "shop_id" })
    .filter("large", ({ amount }) => amount > 100)
    .repartition("by-country", { key: "payment_id" })
    .to("out", { schema: paymentSchema, key: "payment_id" });
  assert.deepEqual(split(builder.build()), [
    [null, "payments", "by-shop"],
    ["by-shop", "large", "by-country"],
    ["by-country", "out"],
  ]);
});

// payments --+-- large --+-- all -- out
//            '-- small --'
test("arms that fork and meet again without a topic in between are one sub-topology", () => {
  const builder = new TopologyBuilder("diamond");
  const payments = paymentsOf(builder);
  const large = payments.filter("large", ({ amount }) => amount > 100);
  payments
    .filter("small", ({ amount }) => amount <= 100)
    .merge("all", large)
    .to("out", { schema: paymentSchema, key: "card_id" });
  assert.deepEqual(split(builder.build()), [[null, "payments", "large", "small", "all", "out"]]);
});

test("events and those that ask for them are one sub-topology, a topic between them and a repartition or not", () => {
  const builder = new TopologyBuilder("asking");
  const shops = builder.stream("shops", { schema: shopSchema, key: "shop_id" });
  paymentsOf(builder)
    .repartition("by-shop", { key: "shop_id" })
    .featuresOf("shop-history", shops, { graceMs: 0 }, (over) => ({ risk: over.lastEvents(1).latest("risk") }))
    .to("out", { schema: paymentSchema, key: "payment_id" });
  assert.deepEqual(split(builder.build()), [
    ["by-shop", "shops", "shop-history", "out"],
    [null, "payments", "by-shop"],
  ]);
});

test("streams that never meet are sub-topologies of their own", () => {
  const builder = new TopologyBuilder("two");
  paymentsOf(builder, "eu").to("eu-out", { schema: paymentSchema, key: "card_id" });
  paymentsOf(builder, "us").to("us-out", { schema: paymentSchema, key: "card_id" });
  assert.deepEqual(split(builder.build()), [
    [null, "eu", "eu-out"],
    [null, "us", "us-out"],
  ]);
});

test("streams that meet in a key space only leave one sub-topology, so that they leave it in one order", () => {
  const builder = new TopologyBuilder("meet");
  const eu = paymentsOf(builder, "eu").repartition("by-shop", { key: "shop_id" });
  const us = paymentsOf(builder, "us").repartition("by-shop", { key: "shop_id" });
  eu.merge("all", us).to("out", { schema: paymentSchema, key: "card_id" });
  assert.deepEqual(split(builder.build()), [
    [null, "eu", "by-shop", "us", "by-shop-1"],
    ["by-shop", "all", "out"],
  ]);
});

test("feeders of one key space at different depths stay apart: one waits for the other", () => {
  const builder = new TopologyBuilder("depths");
  const deep = paymentsOf(builder)
    .repartition("by-id", { key: "payment_id" })
    .filter("online", ({ online }) => online);
  const near = paymentsOf(builder, "others").repartition("by-shop", { key: "shop_id" });
  deep
    .repartition("by-shop", { key: "shop_id" })
    .merge("all", near)
    .to("out", { schema: paymentSchema, key: "card_id" });
  assert.deepEqual(split(builder.build()), [
    [null, "payments", "by-id"],
    ["by-id", "online", "by-shop-1"],
    [null, "others", "by-shop"],
    ["by-shop", "all", "out"],
  ]);
});

test("a table belongs to the streams that join it; a global one to none", () => {
  const builder = new TopologyBuilder("tables");
  const columns = { risk: "number?" } as const;
  const shops = builder.table("shops", { schema: shopSchema, key: "shop_id", time: "ts" });
  const watched = builder.globalTable("watched", { schema: shopSchema, key: "shop_id", time: "ts" });
  paymentsOf(builder)
    .leftJoin("watch", watched, { key: "shop_id", columns }, (_, shop) => ({ risk: shop?.risk ?? null }))
    .repartition("by-shop", { key: "shop_id" })
    .leftJoin("with-shop", shops, { key: "shop_id", columns }, (_, shop) => ({ risk: shop?.risk ?? null }))
    .to("out", { schema: paymentSchema, key: "card_id" });
  const topology = builder.build();
  assert.deepEqual(split(topology), [
    ["by-shop", "shops", "with-shop", "out"],
    [null, "payments", "watch", "by-shop"],
  ]);
  assert.deepEqual(
    topology.subTopologies.map(({ inputs }) => inputs.map(({ topic }) => topic)),
    [["shops"], ["payments"]],
  );
});

/** A chain of filters and repartitions for each number: its length. */
const chains = fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 });

test("every node but a global table is in exactly one sub-topology, and only repartitions lead from one to another", () => {
  fc.assert(
    fc.property(chains, (shapes) => {
      const builder = new TopologyBuilder("any");
      labelsOf(builder);
      shapes.forEach((shape, chain) => {
        let stream = paymentsOf(builder, `payments-${chain}`);
        shape.forEach((rekeys, i) => {
          if (rekeys) stream = stream.repartition(`by-shop-${chain}-${i}`, { key: "shop_id" });
          stream = stream.filter(`filter-${chain}-${i}`, () => true);
        });
      });
      const { nodes, subTopologies } = builder.build();
      const home = new Map(subTopologies.flatMap((sub) => sub.nodes.map((node) => [node.id, sub.index] as const)));
      assert.equal(
        subTopologies.reduce((sum, sub) => sum + sub.nodes.length, 0),
        nodes.length,
      );
      assert.equal(home.size, nodes.length);
      for (const node of nodes) {
        for (const parent of allParents(node)) {
          const crosses = home.get(parent) !== home.get(node.id);
          assert.equal(crosses, nodes[parent]?.kind === "repartition", `${nodes[parent]?.name} -> ${node.name}`);
        }
      }
    }),
  );
});

import { recordSchema } from "../../src/codec/record-schema.ts";
import { type GraphNode, hours, type Topology, TopologyBuilder } from "../../src/index.ts";

/** A payment, as the topologies of these tests read it. */
export interface Payment {
  readonly payment_id: string;
  readonly ts: number;
  readonly card_id: string;
  readonly shop_id: string;
  readonly amount: number;
  readonly rate: number;
  readonly online: boolean;
  readonly country: string | null;
  readonly items: readonly string[];
}

export const paymentSchema = recordSchema<Payment>({
  type: "record",
  name: "Payment",
  fields: [
    { name: "payment_id", type: "string" },
    { name: "ts", type: "long" },
    { name: "card_id", type: "string" },
    { name: "shop_id", type: "string" },
    { name: "amount", type: "long" },
    { name: "rate", type: "double" },
    { name: "online", type: "boolean" },
    { name: "country", type: ["null", "string"], default: null },
    { name: "items", type: { type: "array", items: "string" } },
  ],
});

/** That a payment was fraud. */
export interface Label {
  readonly payment_id: string;
  readonly ts: number;
  readonly payment_ts: number;
  readonly card_id: string;
  readonly shop_id: string;
}

export const labelSchema = recordSchema<Label>({
  type: "record",
  name: "Label",
  fields: [
    { name: "payment_id", type: "string" },
    { name: "ts", type: "long" },
    { name: "payment_ts", type: "long" },
    { name: "card_id", type: "string" },
    { name: "shop_id", type: "string" },
  ],
});

/** What is known of a shop. */
export interface Shop {
  readonly shop_id: string;
  readonly ts: number;
  readonly risk: number;
}

export const shopSchema = recordSchema<Shop>({
  type: "record",
  name: "Shop",
  fields: [
    { name: "shop_id", type: "string" },
    { name: "ts", type: "long" },
    { name: "risk", type: "double" },
  ],
});

export function paymentsOf(builder: TopologyBuilder, topic = "payments") {
  return builder.stream(topic, { schema: paymentSchema, key: "card_id", time: "ts" });
}

export function labelsOf(builder: TopologyBuilder, topic = "labels") {
  return builder.stream(topic, { schema: labelSchema, key: "card_id", time: "ts", role: "labels" });
}

/** Two stages: features of the card, then of the shop, whose payments labels mark. */
export function twoStages(): Topology {
  const builder = new TopologyBuilder("fraud");
  const labels = labelsOf(builder).repartition("by-shop", { key: "shop_id" });
  paymentsOf(builder)
    .features("card-history", { graceMs: hours(1) }, (over) => ({ card_count_1h: over.sliding(hours(1)).count() }))
    .repartition("by-shop", { key: "shop_id" })
    .features(
      "shop-history",
      {
        graceMs: hours(1),
        id: "payment_id",
        marks: { fraud: labels.marking({ id: "payment_id", time: "payment_ts" }) },
      },
      (over) => ({ shop_risk_1h: over.sliding(hours(1)).ratio("fraud") }),
    )
    .to("scored-payments", { schema: paymentSchema, key: "payment_id" });
  return builder.build();
}

export function nodeNamed(topology: Topology, name: string): GraphNode {
  const node = topology.nodes.find((candidate) => candidate.name === name);
  if (node === undefined)
    throw new Error(`no node ${name} among ${topology.nodes.map((each) => each.name).join(", ")}`);
  return node;
}

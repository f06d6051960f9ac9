import { recordSchema } from "../../src/codec/record-schema.ts";
import { days, hours, type Topology, TopologyBuilder } from "../../src/index.ts";

export interface Purchase {
  readonly key: number;
  readonly ts: number;
  readonly amount_cents: number;
}

const time = { type: "long", logicalType: "timestamp-millis" };

export const purchaseSchema = recordSchema<Purchase>({
  type: "record",
  name: "Purchase",
  namespace: "kappa.bench",
  fields: [
    { name: "key", type: "long" },
    { name: "ts", type: time },
    { name: "amount_cents", type: "long" },
  ],
});

const historySchema = recordSchema<Purchase & Readonly<Record<string, number>>>({
  type: "record",
  name: "History",
  namespace: "kappa.bench",
  fields: [
    { name: "key", type: "long" },
    { name: "ts", type: time },
    { name: "amount_cents", type: "long" },
    { name: "count_1d", type: "int" },
    { name: "mean_1d", type: "double" },
    { name: "count_7d", type: "int" },
    { name: "mean_7d", type: "double" },
    { name: "count_30d", type: "int" },
    { name: "mean_30d", type: "double" },
  ],
});

export const purchasesTopic = "purchases";
export const historiesTopic = "histories";
export const historyStore = "key-history";
/** Behind this, in event time, nothing of an event is left. */
export const historyMs = days(30);

/** One store and nothing else: what a customer's history costs. */
function keyHistories(): Topology {
  const builder = new TopologyBuilder("memory-bench");
  builder
    .stream(purchasesTopic, { schema: purchaseSchema, key: "key", time: "ts" })
    .features(historyStore, { graceMs: hours(1) }, (over) => ({
      count_1d: over.sliding(days(1)).count(),
      mean_1d: over.sliding(days(1)).mean("amount_cents", { per: 100 }),
      count_7d: over.sliding(days(7)).count(),
      mean_7d: over.sliding(days(7)).mean("amount_cents", { per: 100 }),
      count_30d: over.sliding(days(30)).count(),
      mean_30d: over.sliding(days(30)).mean("amount_cents", { per: 100 }),
    }))
    .to(historiesTopic, { schema: historySchema as never, key: "key" });
  return builder.build();
}

// biome-ignore lint/style/noDefaultExport: the engine's threads find a topology by it
export default keyHistories;

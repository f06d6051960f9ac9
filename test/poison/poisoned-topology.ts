import { type ColumnMap, days, minutes, type RowOf, type Topology, TopologyBuilder } from "../../src/index.ts";
import { blockedShopSchema, mendedSchema, type Payment, paymentDecisionSchema, paymentSchema } from "./payments.ts";

export const applicationId = "poisoned";
/** Notes that make functions of the topology throw, or give an output that does not fit. `bug` is mended later. */
export const faultyNotes = {
  first: "throw in the first stage",
  bug: "throw behind the first features until mended",
  second: "throw in the second stage",
  sink: "unfit",
} as const;

const columns = {
  payment_id: "text",
  card_id: "text",
  shop_id: "text",
  amount: "integer",
  note: "text?",
  channel: "text",
  scores: "json",
} as const satisfies ColumnMap;

/** Brings what readers of several schemas give into one form: a mend of a reader then changes no state. */
function normal(payment: Omit<Payment, "amount"> & { readonly amount: number | string }): RowOf<typeof columns> {
  const { payment_id, card_id, shop_id, amount, note, channel, scores } = payment;
  if (note === faultyNotes.first) throw new Error("the first stage cannot take this note");
  return { payment_id, card_id, shop_id, amount: Number(amount), note, channel, scores };
}

function decide(payment: { readonly note: string | null; readonly blocked: boolean }): { decision: string } {
  if (payment.note === faultyNotes.second) throw new Error("the second stage cannot take this note");
  if (payment.note === faultyNotes.sink) return { decision: 5 as unknown as string };
  return { decision: payment.blocked ? "decline" : "approve" };
}

/**
 * Payments in Avro and in JSON, counted by card and then by shop, against a list of blocked shops: two stages, a list
 * that every task holds, and functions that throw.
 *
 * @public loaded by its path
 * @param parameters `reader`: `first`, or `mended` with a reader schema that takes what the first could not
 */
// biome-ignore lint/style/noDefaultExport: a topology module is its default export
export default function poisoned(parameters: { readonly reader?: string }): Topology {
  const builder = new TopologyBuilder(applicationId);
  const keyed = { key: "card_id", time: "ts" } as const;
  const avro =
    parameters.reader === "mended"
      ? builder.stream("payments", { schema: mendedSchema, ...keyed }).mapValues("normal", columns, normal)
      : builder.stream("payments", { schema: paymentSchema, ...keyed }).mapValues("normal", columns, normal);
  const json = builder
    .stream("web-payments", { schema: paymentSchema, ...keyed, format: "json" })
    .mapValues("normal-web", columns, normal);
  const blocked = builder.globalTable("blocked-shops", {
    schema: blockedShopSchema,
    key: "shop_id",
    time: "ts",
    format: "json",
  });

  avro
    .merge("all-payments", json)
    .dedup("once", { id: "payment_id", ttlMs: days(365) })
    .features("by-card", { graceMs: minutes(10) }, (over) => ({
      card_count: over.unbounded().count(),
      card_total: over.unbounded().sum("amount"),
    }))
    .peek("bug", ({ note }) => {
      if (note === faultyNotes.bug && parameters.reader !== "mended") throw new Error("a bug that will be mended");
    })
    .repartition("by-shop", { key: "shop_id" })
    .features("shop-history", { graceMs: minutes(10) }, (over) => ({ shop_count: over.unbounded().count() }))
    .leftJoin("blocked", blocked, { key: "shop_id", columns: { blocked: "boolean" } }, (_, shop) => ({
      blocked: shop !== null,
    }))
    .extend("decision", { decision: "text" }, decide)
    .to("payment-decisions", { schema: paymentDecisionSchema, key: "payment_id" });

  return builder.build();
}

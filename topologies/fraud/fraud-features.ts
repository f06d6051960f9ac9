import { customerProfileSchema, fraudLabelSchema, transactionSchema } from "../../schemas/records.ts";
import { days, hours, type TopologyBuilder } from "../../src/index.ts";
import * as formulas from "./formulas.ts";

/** How much older than its stream a payment may be and still count in windows. */
const graceMs = hours(1);
/** How long a second record of a payment is recognised as one. */
const duplicateMs = days(7);
/** Most frauds are known after this: a terminal's risk is looked at so far back. */
const labelDelayMs = days(7);

const ofCustomer = { key: "customer_id", time: "ts" } as const;

/** Everything a payment is judged by: each payment once, beside its customer's past and its terminal's. */
export function fraudFeatures(builder: TopologyBuilder) {
  return besideTerminal(builder, besideCustomer(builder)).extend(
    "major-units",
    formulas.moneyColumns,
    formulas.inMajorUnits,
  );
}

/** How often, how much and where the customer pays, against what the bank and the customer's own past say of it. */
function besideCustomer(builder: TopologyBuilder) {
  const profiles = builder.table("customer-profiles", { schema: customerProfileSchema, ...ofCustomer });
  return builder
    .stream("transactions", { schema: transactionSchema, ...ofCustomer })
    .dedup("payments-once", { id: "tx_id", ttlMs: duplicateMs })
    .mapValues("payment", formulas.paymentColumns, formulas.paymentOf)
    .leftJoin("profile", profiles, { key: "customer_id", columns: formulas.profileColumns }, formulas.againstProfile)
    .features("customer-history", { graceMs }, (over) => ({
      customer_count_1h: over.sliding(hours(1)).count(),
      customer_cents_1h: over.sliding(hours(1)).sum("amount_cents"),
      customer_count_24h: over.sliding(hours(24)).count(),
      customer_cents_24h: over.sliding(hours(24)).sum("amount_cents"),
      customer_merchants_24h: over.sliding(hours(24)).distinct("merchant_id"),
      customer_count_7d: over.sliding(days(7)).count(),
      customer_cents_7d: over.sliding(days(7)).sum("amount_cents"),
      customer_merchants_7d: over.sliding(days(7)).distinct("merchant_id"),
      customer_mean_last_10: over.lastEvents(10, { excludeCurrent: true }).mean("amount_cents", { per: 100 }),
      customer_mean_30d: over.sliding(days(30), { excludeCurrent: true }).mean("amount_cents", { per: 100 }),
      customer_sd_cents_30d: over.sliding(days(30), { excludeCurrent: true }).sd("amount_cents"),
      previous_count_30d: over.sliding(days(30), { excludeCurrent: true }).count(),
      previous_ts: over.lastEvents(1, { excludeCurrent: true }).latest("ts"),
      previous_lat: over.lastEvents(1, { excludeCurrent: true }).latest("lat"),
      previous_lon: over.lastEvents(1, { excludeCurrent: true }).latest("lon"),
    }))
    .extend("customer-behaviour", formulas.behaviourColumns, formulas.behaviourOf);
}

/** How busy the terminal is now, and how many of its payments turned out to be frauds when that was known. */
function besideTerminal(builder: TopologyBuilder, payments: ReturnType<typeof besideCustomer>) {
  const frauds = builder
    .stream("fraud-labels", { schema: fraudLabelSchema, ...ofCustomer, role: "labels" })
    .filter("confirmed-frauds", ({ fraud }) => fraud)
    .repartition("terminals", { key: "terminal_id" })
    .marking({ id: "tx_id", time: "tx_ts" });
  return payments
    .repartition("terminals", { key: "terminal_id" })
    .features("terminal-history", { graceMs, id: "tx_id", marks: { fraud: frauds } }, (over) => ({
      terminal_count_1h: over.sliding(hours(1)).count(),
      terminal_mean_1h: over.sliding(hours(1)).mean("amount_cents", { per: 100 }),
      terminal_customers_1h: over.sliding(hours(1)).distinct("customer_id"),
      terminal_count_1d: over.sliding(days(1), { delayMs: labelDelayMs }).count(),
      terminal_risk_1d: over.sliding(days(1), { delayMs: labelDelayMs }).ratio("fraud"),
      terminal_count_7d: over.sliding(days(7), { delayMs: labelDelayMs }).count(),
      terminal_risk_7d: over.sliding(days(7), { delayMs: labelDelayMs }).ratio("fraud"),
      terminal_count_30d: over.sliding(days(30), { delayMs: labelDelayMs }).count(),
      terminal_risk_30d: over.sliding(days(30), { delayMs: labelDelayMs }).ratio("fraud"),
    }));
}

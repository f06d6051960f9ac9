import { handbookDecisionSchema, handbookLabelSchema, handbookTransactionSchema } from "../schemas/records.ts";
import { Bands, bareModel, days, hours, type Topology, TopologyBuilder } from "../src/index.ts";

/** The columns of the handbook's models, in their order. */
export const handbookModelColumns = [
  "amount",
  "is_weekend",
  "is_night",
  "cust_nb_1d",
  "cust_avg_1d",
  "cust_nb_7d",
  "cust_avg_7d",
  "cust_nb_30d",
  "cust_avg_30d",
  "term_nb_1d",
  "term_risk_1d",
  "term_nb_7d",
  "term_risk_7d",
  "term_nb_30d",
  "term_risk_30d",
] as const;

const dayMs = days(1);
const hourMs = hours(1);
/** 1970-01-01 was a Thursday, so days 2 and 3 of each week from there are Saturday and Sunday. */
const isWeekend = (timeMs: number): number =>
  ((Math.floor(timeMs / dayMs) % 7) + 7) % 7 === 2 || ((Math.floor(timeMs / dayMs) % 7) + 7) % 7 === 3 ? 1 : 0;
const isNight = (timeMs: number): number => (Math.floor(timeMs / hourMs) % 24 <= 6 ? 1 : 0);

/**
 * The fraud job of the Fraud Detection Handbook: features of the customer over 1, 7 and 30 days, then of the terminal
 * over the same windows behind the 7 days until a fraud is known, a model over all of them, a decision by its score.
 */
export default function handbook(parameters: { readonly model: string }): Topology {
  const builder = new TopologyBuilder("handbook");
  const bands = new Bands("textbook-4");

  const transactions = builder.stream("transactions", {
    schema: handbookTransactionSchema,
    key: "customer_id",
    time: "ts",
  });
  const labels = builder.stream("fraud-labels", {
    schema: handbookLabelSchema,
    key: "customer_id",
    time: "ts",
    role: "labels",
  });

  transactions
    .features("customer-history", { graceMs: hours(1) }, (over) => ({
      cust_nb_1d: over.sliding(days(1)).count(),
      cust_avg_1d: over.sliding(days(1)).mean("amount_cents", { per: 100 }),
      cust_nb_7d: over.sliding(days(7)).count(),
      cust_avg_7d: over.sliding(days(7)).mean("amount_cents", { per: 100 }),
      cust_nb_30d: over.sliding(days(30)).count(),
      cust_avg_30d: over.sliding(days(30)).mean("amount_cents", { per: 100 }),
    }))
    .repartition("by-terminal", { key: "terminal_id" })
    .features(
      "terminal-history",
      {
        graceMs: hours(1),
        id: "tx_id",
        marks: {
          fraud: labels.repartition("by-terminal", { key: "terminal_id" }).marking({ id: "tx_id", time: "tx_ts" }),
        },
      },
      (over) => ({
        term_nb_1d: over.sliding(days(1), { delayMs: days(7) }).count(),
        term_risk_1d: over.sliding(days(1), { delayMs: days(7) }).ratio("fraud"),
        term_nb_7d: over.sliding(days(7), { delayMs: days(7) }).count(),
        term_risk_7d: over.sliding(days(7), { delayMs: days(7) }).ratio("fraud"),
        term_nb_30d: over.sliding(days(30), { delayMs: days(7) }).count(),
        term_risk_30d: over.sliding(days(30), { delayMs: days(7) }).ratio("fraud"),
      }),
    )
    .extend(
      "transaction-features",
      { amount: "number", is_weekend: "integer", is_night: "integer" },
      (transaction) => ({
        amount: transaction.amount_cents / 100,
        is_weekend: isWeekend(transaction.ts),
        is_night: isNight(transaction.ts),
      }),
    )
    .score("fraud-score", { model: bareModel(parameters.model, handbookModelColumns), into: "score" })
    .extend("decision", { decision: "text" }, (transaction) => ({
      decision: bands.decide(transaction.score ?? Number.NaN),
    }))
    .to("fraud-decisions", { schema: handbookDecisionSchema, key: "tx_id" });

  return builder.build();
}

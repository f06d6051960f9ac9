import { bareModel, days, hours, type Topology, TopologyBuilder } from "../../../src/index.ts";
import { decisionSchema, fraudLabelSchema, modelColumns, transactionSchema } from "./records.ts";

/** Names that opponents of this job take from the environment; each has the job's own as its default. */
export interface Fraud15Parameters {
  /** Path of the ONNX model over the 15 columns. */
  readonly model: string;
  readonly applicationId?: string;
  /** Topics. */
  readonly transactions?: string;
  readonly labels?: string;
  readonly decisions?: string;
}

const dayMs = days(1);
const hourMs = hours(1);
/** Limits of the bands in float32, the type of the score; both belong to the middle. */
const allowBelow = Math.fround(0.3);
const declineAbove = Math.fround(0.7);

/** 1970-01-01 was a Thursday, so days 2 and 3 of each week from there are Saturday and Sunday. */
function isWeekend(timeMs: number): boolean {
  const day = Math.floor(timeMs / dayMs) % 7;
  return day === 2 || day === 3;
}

const isNight = (timeMs: number): boolean => Math.floor(timeMs / hourMs) % 24 <= 6;

function decide(score: number): string {
  if (score < allowBelow) return "allow";
  return score > declineAbove ? "decline" : "verify";
}

/**
 * The job that other engines were measured on: what a payment's customer did in 1, 7 and 30 days, the payment included;
 * what its terminal's labels say of the same windows behind the 7 days until labels fall due; a model over both.
 */
// biome-ignore lint/style/noDefaultExport: engine threads load the topology by it
export default function fraud15(parameters: Fraud15Parameters): Topology {
  const { model, applicationId = "fraud-15" } = parameters;
  const { transactions = "transactions", labels = "fraud-labels", decisions = "fraud-decisions" } = parameters;
  const builder = new TopologyBuilder(applicationId);

  const payments = builder
    .stream(transactions, { schema: transactionSchema, key: "customer_id", time: "ts" })
    .features("customer-history", { graceMs: hours(1) }, (over) => ({
      customer_count_1d: over.sliding(days(1)).count(),
      customer_avg_1d: over.sliding(days(1)).mean("amount"),
      customer_count_7d: over.sliding(days(7)).count(),
      customer_avg_7d: over.sliding(days(7)).mean("amount"),
      customer_count_30d: over.sliding(days(30)).count(),
      customer_avg_30d: over.sliding(days(30)).mean("amount"),
    }))
    .repartition("by-terminal", { key: "terminal_id" });

  // Without a time field an event's time is its record's timestamp: here when the label falls due, 7 days behind the
  // payment. Windows over labels by that time are windows over payments shifted back by 7 days.
  const due = builder.stream(labels, { schema: fraudLabelSchema, key: "terminal_id", role: "labels" });

  payments
    .featuresOf("terminal-labels", due, { graceMs: hours(1) }, (over) => ({
      terminal_count_1d: over.sliding(days(1)).count(),
      terminal_risk_1d: over.sliding(days(1)).ratio("is_fraud"),
      terminal_count_7d: over.sliding(days(7)).count(),
      terminal_risk_7d: over.sliding(days(7)).ratio("is_fraud"),
      terminal_count_30d: over.sliding(days(30)).count(),
      terminal_risk_30d: over.sliding(days(30)).ratio("is_fraud"),
    }))
    .extend("time-of-day", { during_weekend: "boolean", during_night: "boolean" }, ({ ts }) => ({
      during_weekend: isWeekend(ts),
      during_night: isNight(ts),
    }))
    .score("fraud-score", { model: bareModel(model, modelColumns), into: "score" })
    .extend("decision", { decision: "text" }, ({ score }) => ({ decision: decide(score ?? Number.NaN) }))
    .to(decisions, { schema: decisionSchema, key: "tx_id" });

  return builder.build();
}

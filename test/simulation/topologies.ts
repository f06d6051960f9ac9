import { RecordSchema } from "../../src/codec/record-schema.ts";
import { days, seconds } from "../../src/core/time.ts";
import { bareModel } from "../../src/scoring/model-reference.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";
import type { Topology } from "../../src/topology/graph.ts";
import type { Stream } from "../../src/topology/stream.ts";
import type { Incarnation } from "./incarnation.ts";
import { type Card, type Payment, unluckyAmount } from "./scenario.ts";

const long = (name: string): object => ({ name, type: "long" });
const text = (name: string): object => ({ name, type: "string" });
const double = (name: string): object => ({ name, type: "double" });
const record = (name: string, fields: readonly object[]): object => ({ type: "record", name, fields });

const paymentFields = [long("id"), text("customer"), text("terminal"), long("ts"), long("amount")];
const paymentSchema = new RecordSchema<Payment>(record("Payment", paymentFields));
const cardSchema = new RecordSchema<Card>(record("Card", [text("customer"), long("ts"), long("level")]));

/** What comes out: the payment with what was known of its customer and its terminal. */
export interface Decision extends Payment {
  readonly level: number;
  readonly customer_count: number;
  readonly customer_sum: number;
  readonly terminal_count: number;
  readonly terminal_sum: number;
  readonly score: number | null;
}

const decisionSchema = new RecordSchema<Decision>(
  record("Decision", [
    ...paymentFields,
    long("level"),
    long("customer_count"),
    double("customer_sum"),
    long("terminal_count"),
    double("terminal_sum"),
    { name: "score", type: ["null", "double"] },
  ]),
);

const scoredFeatures: readonly string[] = ["amount", "terminal_count"];

/** How a variant computes, as the oracle is told. */
export interface Variant {
  /** Whether there is a table of cards, and the terminal's count is over all time. */
  readonly counted: boolean;
  readonly graceMs: number;
  readonly customerWindowMs: number;
  readonly terminalWindowMs: number;
  readonly dedupMs: number;
}

/**
 * `counted`: a table is joined and each terminal's payments are counted from the first on, so the count says of every one
 * whether it was lost or doubled; nothing is ever forgotten. `trimmed`: everything is forgotten after a while, so commits
 * are trimmed and a restore begins in the middle; and events that come too late are judged so.
 */
export const variants = {
  counted: {
    counted: true,
    graceMs: days(100),
    customerWindowMs: seconds(60),
    terminalWindowMs: seconds(90),
    dedupMs: days(100),
  },
  trimmed: {
    counted: false,
    graceMs: seconds(10),
    customerWindowMs: seconds(20),
    terminalWindowMs: seconds(30),
    dedupMs: seconds(40),
  },
} as const satisfies Record<string, Variant>;

export type VariantName = keyof typeof variants;

function topologyOf({ counted, graceMs, customerWindowMs, terminalWindowMs, dedupMs }: Variant): Topology {
  const builder = new TopologyBuilder("sim");
  const payments = builder.stream("payments", { schema: paymentSchema, key: "customer", time: "ts", format: "json" });
  const once = payments.dedup("once", { id: "id", ttlMs: dedupMs });
  const check = ({ amount }: Payment): void => {
    if (amount === unluckyAmount) throw new Error(`an amount of ${amount}`);
  };
  let known: Stream<Payment & { level: number }>;
  if (counted) {
    const cards = builder.table("cards", { schema: cardSchema, key: "customer", time: "ts", format: "json", graceMs });
    known = once.leftJoin("card", cards, { key: "customer", columns: { level: "number" } }, (payment, card) => {
      check(payment);
      return { level: card?.level ?? -1 };
    });
  } else {
    known = once.extend("checked", { level: "number" }, (payment) => {
      check(payment);
      return { level: -1 };
    });
  }
  known
    .features("customer", { graceMs }, (over) => ({
      customer_count: over.sliding(customerWindowMs).count(),
      customer_sum: over.sliding(customerWindowMs).sum("amount"),
    }))
    .repartition("by-terminal", { key: "terminal" })
    .features("terminal", { graceMs }, (over) => ({
      terminal_count: counted ? over.unbounded().count() : over.sliding(terminalWindowMs).count(),
      terminal_sum: over.sliding(terminalWindowMs).sum("amount"),
    }))
    .score("score", { model: bareModel("simulated.onnx", scoredFeatures), into: "score" })
    .to("decisions", { schema: decisionSchema, key: "terminal", format: "json" });
  return builder.build();
}

/** Built once: what is built holds no state. */
export const topologies: Readonly<Record<VariantName, Topology>> = {
  counted: topologyOf(variants.counted),
  trimmed: topologyOf(variants.trimmed),
};

/** The score of a payment. The oracle has it from here: what a model computes is not what is tried. */
export function scoreOf(amount: number, count: number): number {
  return Math.fround(((amount * 31 + count * 17) % 97) / 97);
}

/** A model that takes its time. */
export function scorerIn(incarnation: Incarnation): Scorer {
  const features = scoredFeatures.map((name) => ({ name }));
  return {
    model: {
      name: "simulated",
      version: "1",
      sha256: "0".repeat(64),
      features,
      output: "probability",
      medians: undefined,
    },
    score: async (rows, count, into) => {
      await incarnation.sleep(0.1 + count / 100);
      for (let i = 0; i < count; i++) into[i] = scoreOf(rows[2 * i] as number, rows[2 * i + 1] as number);
    },
    close: () => Promise.resolve(),
  };
}

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CustomerProfile,
  type FraudDecision,
  type FraudLabel,
  fraudDecisionSchema,
  type ListEntry,
  type Transaction,
} from "../../schemas/records.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import fraudDetection from "../../topologies/fraud/fraud-detection.ts";
import type { SimulatedEvent } from "../../topologies/fraud/simulator.ts";

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;
/** A Monday. */
export const startMs = Date.UTC(2026, 0, 5);

/** What happens, by topic; lists by their events, since one may be taken off. */
export interface TownEvents {
  readonly transactions: readonly Transaction[];
  readonly labels?: readonly FraudLabel[];
  readonly profiles?: readonly CustomerProfile[];
  readonly lists?: readonly ListEntry[];
  readonly delisted?: readonly { readonly entry: string; readonly timeMs: number }[];
}

/** Sorts simulated events by topic. */
export function eventsByTopic(events: Iterable<SimulatedEvent>): Required<TownEvents> {
  const town = {
    transactions: [] as Transaction[],
    labels: [] as FraudLabel[],
    profiles: [] as CustomerProfile[],
    lists: [] as ListEntry[],
    delisted: [] as { entry: string; timeMs: number }[],
  };
  for (const event of events) {
    if (event.topic === "transactions") town.transactions.push(event.value);
    else if (event.topic === "fraud-labels") town.labels.push(event.value);
    else if (event.topic === "customer-profiles") town.profiles.push(event.value);
    else if (event.value === null) town.delisted.push({ entry: event.key, timeMs: event.timeMs });
    else town.lists.push(event.value);
  }
  return town;
}

/**
 * A model with weights one can follow: amounts above 100 and many payments in an hour raise the score, what the
 * terminal is known for as well.
 */
export function handMadeScorer(): Scorer {
  const features = ["amount", "customer_count_1h", "terminal_risk_7d"].map((name) => ({ name }));
  const medians = Float32Array.of(20, 1, 0);
  const model = {
    name: "by-hand",
    version: "7",
    sha256: "0".repeat(64),
    features,
    output: "probability",
    medians,
  } as const;
  return {
    model,
    async score(rows, count, into) {
      for (let i = 0; i < count; i++) {
        const [amount = 0, often = 0, risk = 0] = rows.subarray(i * 3, i * 3 + 3);
        const z = -5 + (amount > 100 ? 3 : 0) + (often - 1) + 5 * risk;
        into[i] = 1 / (1 + Math.exp(-z));
      }
    },
    async close() {},
  };
}

export interface TownOptions {
  /** Default `none`. */
  readonly model?: "none" | "by-hand";
  /** Default 2. */
  readonly partitions?: number;
}

/** Runs the fraud topology over all of it and gives the decisions, in order of event time. */
export async function decide(events: TownEvents, options: TownOptions = {}): Promise<FraudDecision[]> {
  const { model = "none", partitions = 2 } = options;
  const folder = mkdtempSync(join(tmpdir(), "kappa-fraud-"));
  try {
    writeFileSync(join(folder, "model.json"), JSON.stringify({ name: "by-hand", version: "7" }));
    const topology = fraudDetection({ model: model === "none" ? "none" : folder });
    const driver = await TopologyTestDriver.open(topology, {
      partitions,
      scorers: { "fraud-score": handMadeScorer() },
    });
    const { transactions, labels = [], profiles = [], lists = [], delisted = [] } = events;
    for (const { entry, timeMs } of delisted) {
      await driver.input("fraud-lists").pipeBytes(Buffer.from(entry), null, timeMs);
    }
    const inputs = { "fraud-lists": lists, "customer-profiles": profiles, "fraud-labels": labels, transactions };
    for (const [topic, values] of Object.entries(inputs)) {
      if (values.length > 0) await driver.input(topic).pipeAll(values);
    }
    await driver.settle();
    const decisions = driver.output("fraud-decisions", fraudDecisionSchema).values();
    await driver.close();
    return decisions.sort((a, b) => a.ts - b.ts || (a.tx_id < b.tx_id ? -1 : 1));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const paris = { country: "FR", lat: 48.8566, lon: 2.3522 } as const;

/** A payment of C1 at T1 in Paris on a Monday at midnight, with what a test wants to be different. */
export function payment(id: string, timeMs: number, different: Partial<Transaction> = {}): Transaction {
  return {
    tx_id: id,
    ts: startMs + timeMs,
    customer_id: "C1",
    terminal_id: "T1",
    merchant_id: "M1",
    mcc: 5411,
    amount: 2000,
    currency: "EUR",
    ...paris,
    channel: "chip",
    device_id: null,
    ip_country: null,
    ...different,
  };
}

/** The profile of C1, who lives in Paris and has one device. */
export const profile: CustomerProfile = {
  customer_id: "C1",
  ts: startMs,
  opened_ts: startMs - 100 * dayMs,
  home_country: "FR",
  home_lat: paris.lat,
  home_lon: paris.lon,
  device_ids: ["D1"],
  segment: "standard",
};

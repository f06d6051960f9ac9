import { partitionOf } from "../../src/log/partitioner.ts";
import { defaultSettings, type TaskSettings } from "../../src/task/settings.ts";
import { type Fault, planFaults } from "./faults.ts";
import { Random } from "./random.ts";
import type { VariantName } from "./topologies.ts";

/** A payment as its producer means it. */
export interface Payment {
  readonly id: number;
  readonly customer: string;
  readonly terminal: string;
  readonly ts: number;
  readonly amount: number;
}

/** A version of a customer's card. */
export interface Card {
  readonly customer: string;
  readonly ts: number;
  readonly level: number;
}

/** An amount that the topology throws at. */
export const unluckyAmount = 13;

/** Something that a producer appends to an input. */
export interface Arrival {
  readonly atMs: number;
  readonly topic: "payments" | "cards";
  readonly partition: number;
  readonly key: string;
  readonly timeMs: number;
  readonly value: string;
}

/** What one seed stands for. */
export interface Scenario {
  readonly seed: number;
  readonly variant: VariantName;
  readonly partitions: number;
  readonly brokers: number;
  readonly hosts: number;
  /** When each process starts for the first time, in ms. */
  readonly starts: readonly number[];
  readonly settings: TaskSettings;
  readonly sessionTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  /** Longest that a marker takes to a partition, in ms. */
  readonly markerMs: number;
  /** Longest that a packet is under way while all is well, in ms. */
  readonly delayMs: number;
  readonly arrivals: readonly Arrival[];
  /** When the last record arrives, in ms. */
  readonly fedMs: number;
  readonly faults: readonly Fault[];
}

/** Event time of the first payment. */
const firstTimeMs = Date.UTC(2026, 0, 5);

export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed * 2 + 1);
  const partitions = random.whole(3, 4);
  const processes = random.whole(2, 3);
  const brokers = random.whole(1, 3);
  const hosts = random.whole(1, 2);
  const fedMs = random.between(2500, 6000);
  const starts = Array.from({ length: processes }, (_, i) =>
    i === 0 || random.chance(0.6) ? random.between(0, 50) : random.between(0, fedMs * 0.7),
  );
  return {
    seed,
    variant: random.one(["counted", "trimmed"] as const),
    partitions,
    brokers,
    hosts,
    starts,
    settings: settingsOf(random),
    sessionTimeoutMs: random.one([500, 1000, 2000]),
    transactionTimeoutMs: random.one([1000, 3000, 10_000]),
    markerMs: random.one([1, 5, 60]),
    delayMs: random.one([0.3, 0.5, 3]),
    arrivals: arrivalsOf(random, partitions, fedMs),
    fedMs,
    faults: planFaults(random, { processes, brokers, hosts, untilMs: fedMs }),
  };
}

function settingsOf(random: Random): TaskSettings {
  return {
    ...defaultSettings,
    commitIntervalMs: random.one([2, 20, 50, 100]),
    commitRecordsMax: random.one([2, 10, 50, 2000]),
    commitsInFlightMax: random.whole(1, 3),
    mergeWaitMs: random.one([1, 5, 20]),
    bufferedRecordsMax: random.one([5, 50, 20_000]),
    cacheBytes: random.one([32 * 1024, 256 * 1024, 64 * 1024 * 1024]),
    flushIntervalMs: random.one([30, 200, 1000]),
    frontierRepeatMs: 5000,
  };
}

/** How records come: all at once, in bursts, or evenly. */
type Pattern = "preloaded" | "bursts" | "even";

function arrivalsOf(random: Random, partitions: number, fedMs: number): Arrival[] {
  const count = random.whole(300, 340);
  const pattern = random.one<Pattern>(["preloaded", "bursts", "bursts", "even"]);
  const customers = random.whole(6, 20);
  const terminals = random.whole(2, 8);
  const stepMs = random.one([300, 1000, 4000]);
  const burst = random.whole(10, 60);
  const arrivals: Arrival[] = [];
  let timeMs = firstTimeMs;
  for (let id = 0; id < count; id++) {
    timeMs += random.chance(0.2) ? 0 : random.whole(0, 2 * stepMs);
    const place = pattern === "preloaded" ? 0 : pattern === "even" ? id : Math.floor(id / burst) * burst;
    const atMs = (place / count) * fedMs + random.between(0, 20);
    const customer = `c${random.whole(0, customers - 1)}`;
    const partition = partitionOf(customer, partitions);
    // Whole seconds, so that rows of different sources tie; now and then one that comes out of order.
    const back = random.chance(0.1) ? random.whole(0, 3) * 1000 : 0;
    const ts = Math.floor(timeMs / 1000) * 1000 - back;
    if (random.chance(0.08)) {
      const card: Card = { customer, ts: Math.floor(timeMs / 1000) * 1000, level: id };
      arrivals.push({ atMs, topic: "cards", partition, key: customer, timeMs: ts, value: JSON.stringify(card) });
    }
    const amount = random.chance(0.02) ? unluckyAmount : random.whole(14, 5000);
    const payment: Payment = { id, customer, terminal: `t${random.whole(0, terminals - 1)}`, ts, amount };
    const value = random.chance(0.015) ? `{"id":${id},` : JSON.stringify(payment);
    const arrival: Arrival = { atMs, topic: "payments", partition, key: customer, timeMs: ts, value };
    arrivals.push(arrival);
    if (random.chance(0.04)) arrivals.push({ ...arrival, atMs: atMs + random.between(0, 40) });
  }
  return arrivals.sort((a, b) => a.atMs - b.atMs);
}

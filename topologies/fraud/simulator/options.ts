import { compromise, meanPayments } from "./fraud-episode.ts";
import type { FraudKind } from "./payment.ts";

const dayMs = 86_400_000;

export interface SimulatorOptions {
  /** Equal options give equal streams, on every platform. Default 1. */
  readonly seed?: number;
  /** Event time of the first events, epoch ms. Default 2026-01-05T00:00:00Z, a Monday. */
  readonly startMs?: number;
  /** Card holders, 10 or more. Memory grows with them: about 1 kB each. Default 5000. */
  readonly customerCount?: number;
  /** Terminals and web shops, 100 or more. Default 1000. */
  readonly terminalCount?: number;
  /** Genuine payments of a card holder a day, as a median; people differ, and the mean is 1.13 times it. Default 2.5. */
  readonly paymentsPerCustomerDay?: number;
  /** Share of each kind among all payments, about. Default 0.0014 each, 0.7 % together. */
  readonly fraudShare?: Readonly<Partial<Record<FraudKind, number>>>;
  /**
   * Equally spaced quantiles of the days until a fraud is reported, from the quickest to the slowest. Default: most
   * within 7 days, many on the very day, some later.
   */
  readonly labelDelayDays?: readonly number[];
  /** Share of frauds that nobody ever reports. Default 0.1. */
  readonly unreportedShare?: number;
  /** What transaction ids begin with. Default `tx-`. */
  readonly idPrefix?: string;
}

export type CompleteOptions = Required<SimulatorOptions>;

/** @throws RangeError on a population too small to live in */
export function withDefaults(options: SimulatorOptions): CompleteOptions {
  const complete = {
    seed: 1,
    startMs: Date.UTC(2026, 0, 5),
    customerCount: 5000,
    terminalCount: 1000,
    paymentsPerCustomerDay: 2.5,
    fraudShare: {},
    labelDelayDays: [1, 3, 5, 6, 7, 7, 12],
    unreportedShare: 0.1,
    idPrefix: "tx-",
    ...options,
  };
  const { customerCount, terminalCount, paymentsPerCustomerDay } = complete;
  if (!(customerCount >= 10)) throw new RangeError(`${customerCount} customers; give 10 or more`);
  if (!(terminalCount >= 100)) throw new RangeError(`${terminalCount} terminals; give 100 or more`);
  if (!(paymentsPerCustomerDay > 0)) throw new RangeError(`${paymentsPerCustomerDay} payments a day; give more than 0`);
  return complete;
}

const defaultShare = 0.0014;
/** Mean of how often people pay, relative to the median. */
const meanLevel = 1.13;

/** How often a kind of fraud begins in the whole town, so that its payments come to its share. */
export function onsetsPerMs(fraud: FraudKind, options: CompleteOptions): number {
  const { customerCount, terminalCount, paymentsPerCustomerDay, fraudShare } = options;
  const paymentsPerMs = (customerCount * paymentsPerCustomerDay * meanLevel) / dayMs;
  const fraudsPerMs = paymentsPerMs * (fraudShare[fraud] ?? defaultShare);
  if (fraud !== "compromised-terminal") return fraudsPerMs / meanPayments[fraud];
  return fraudsPerMs / ((paymentsPerMs / terminalCount) * compromise.repeatedDays * dayMs);
}

import { Random } from "../../../topologies/fraud/simulator/random.ts";
import type { InputEvent } from "../workload.ts";
import type { FraudLabel, Transaction } from "./records.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** How long after its payment a label falls due. */
export const labelDelayMs = 7 * dayMs;

/** A payment with the truth about it. */
export interface Payment extends Transaction {
  readonly is_fraud: boolean;
  /** Whether its label ever comes. */
  readonly labelled: boolean;
}

export interface PaymentsOptions {
  readonly seed: number;
  readonly count: number;
  readonly customers: number;
  readonly terminals: number;
  /** Mean time from one payment to the next. */
  readonly meanStepMs: number;
}

/**
 * Payments in order of time, for exactness and not for looks: most lie within a millisecond of a multiple of six hours,
 * so that many are just as far apart as a window is long, and several share an instant.
 */
export function paymentsOf({ seed, count, customers, terminals, meanStepMs }: PaymentsOptions): Payment[] {
  const random = new Random(seed, 15);
  const times = Array.from({ length: count }, () => 0);
  let timeMs = Date.UTC(2024, 0, 1);
  for (let i = 0; i < count; i++) {
    timeMs += Math.round(random.exponential() * meanStepMs);
    const near = Math.round(timeMs / (6 * hourMs)) * 6 * hourMs + random.pick([-1, 0, 0, 0, 1]);
    times[i] = random.chance(0.8) ? near : timeMs;
  }
  times.sort((a, b) => a - b);
  return times.map((ts, tx_id) => ({
    tx_id,
    ts,
    customer_id: `c${random.below(customers)}`,
    terminal_id: `t${random.below(terminals)}`,
    amount: Math.round(random.exponential() * 8000) / 100,
    is_fraud: random.chance(0.2),
    labelled: random.chance(0.95),
  }));
}

/** Both topics in the order of time; a label before what comes at the instant it falls due. */
export function* eventsOf(payments: readonly Payment[]): Generator<InputEvent> {
  let due = 0;
  for (const { is_fraud: _, labelled: __, ...value } of payments) {
    for (; (payments[due] as Payment).ts + labelDelayMs <= value.ts; due++) {
      const payment = payments[due] as Payment;
      if (payment.labelled) yield labelEvent(payment);
    }
    const decisionKey = String(value.tx_id);
    yield { topic: "transactions", key: value.customer_id, timeMs: value.ts, value, decisionKey };
  }
}

function labelEvent({ tx_id, ts, terminal_id, is_fraud }: Payment): InputEvent {
  const value: FraudLabel = { tx_id, ts, terminal_id, is_fraud };
  return { topic: "fraud-labels", key: terminal_id, timeMs: ts + labelDelayMs, value, decisionKey: null };
}

import { type FraudDecision, fraudDecisionSchema } from "../../schemas/records.ts";
import { AvroSerde, type KnownSchemas } from "../codec/avro-serde.ts";
import type { Serde } from "../codec/serde.ts";
import type { Clock } from "../core/clock.ts";
import type { Cursor, Log, RecordBatch } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import { NumberSet, transactionNumber } from "./demo-ids.ts";

/** Latencies that percentiles are taken over: the newest. */
const latenciesHeld = 2048;
const alertsHeld = 5;

export interface DecisionsOptions {
  readonly log: Log;
  readonly topic: string;
  readonly partitions: number;
  readonly registry: KnownSchemas;
  readonly clock: Clock;
  /** When a transaction was sent, by its number. */
  readonly sentAtMs: (number: number) => number;
}

/** Follows the decisions as they become durable: counts, latencies, and the newest that were not allowed. */
export class DemoDecisions {
  readonly #clock: Clock;
  readonly #serde: Serde<FraudDecision>;
  readonly #cursors: readonly Cursor[];
  readonly #sentAtMs: (number: number) => number;
  readonly #reader = new RecordBatchReader();
  readonly #latencies = new Float64Array(latenciesHeld);
  #latencyCount = 0;
  /** From this transaction on latencies are measured: those before it were sent in one go. */
  #liveFrom = Number.POSITIVE_INFINITY;
  readonly #decided = new NumberSet();
  /** Every transaction with a smaller number is decided. */
  decidedTo = 0;
  count = 0;
  /** By a model. */
  scored = 0;
  /** Step-up and decline. */
  alerts = 0;
  readonly outcomes = new Map<string, number>();
  readonly #customers = new Set<string>();
  /** The newest that were not allowed, newest first. */
  readonly latest: FraudDecision[] = [];

  private constructor(options: DecisionsOptions, cursors: readonly Cursor[]) {
    this.#clock = options.clock;
    this.#sentAtMs = options.sentAtMs;
    this.#serde = new AvroSerde(fraudDecisionSchema, -1, options.registry);
    this.#cursors = cursors;
  }

  static async open(options: DecisionsOptions): Promise<DemoDecisions> {
    const { log, topic, partitions } = options;
    const cursors: Cursor[] = [];
    for (let p = 0; p < partitions; p++) cursors.push(await log.openCursor(topic, p, 0n, "durable"));
    return new DemoDecisions(options, cursors);
  }

  /** Takes up what has become durable. */
  follow(): void {
    const nowMs = this.#clock.monotonic();
    for (const cursor of this.#cursors) {
      for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) this.#take(batch, nowMs);
    }
    while (this.#decided.has(this.decidedTo)) this.decidedTo++;
  }

  #take(batch: RecordBatch, nowMs: number): void {
    const reader = this.#reader;
    reader.reset(batch.bytes);
    while (reader.next()) {
      const decision = this.#serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      this.count++;
      this.outcomes.set(decision.decision, (this.outcomes.get(decision.decision) ?? 0) + 1);
      if (decision.score !== null) this.scored++;
      this.#customers.delete(decision.customer_id);
      this.#customers.add(decision.customer_id);
      const number = transactionNumber(decision.tx_id);
      if (number < 0) continue;
      this.#decided.add(number);
      if (number >= this.#liveFrom) {
        this.#latencies[this.#latencyCount++ % latenciesHeld] = nowMs - this.#sentAtMs(number);
      }
      if (decision.decision !== "step-up" && decision.decision !== "decline") continue;
      this.alerts++;
      this.latest.unshift(decision);
      if (this.latest.length > alertsHeld) this.latest.pop();
    }
  }

  /** Customers that were decided on last. */
  recentCustomers(count: number): readonly string[] {
    return [...this.#customers].slice(-count);
  }

  /** Begins to measure latencies, with a transaction not sent yet. */
  measureFrom(number: number): void {
    this.#liveFrom = number;
    this.#latencyCount = 0;
  }

  /** Milliseconds from handing a transaction to the log until its decision is durable; null while none is measured. */
  latency(): { readonly p50: number; readonly p99: number } | null {
    const count = Math.min(this.#latencyCount, latenciesHeld);
    if (count === 0) return null;
    const sorted = this.#latencies.slice(0, count).sort();
    const at = (share: number): number => sorted[Math.ceil(share * count) - 1] as number;
    return { p50: at(0.5), p99: at(0.99) };
  }

  close(): void {
    for (const cursor of this.#cursors) cursor.close();
  }
}

import type { Decision, Variant } from "./topologies.ts";

// What an application must have written, from its inputs and its recorded choices alone: one thread, plain arrays, no
// clock. Written after docs/architecture.md ("One order", "Choices") and the documentation of windows, not after the
// engine, with which it shares no code.

/** A record of an input: what it says, or null where it is none that can be read. */
export interface InputRecord<Value> {
  readonly offset: number;
  readonly value: Value | null;
}

export interface PaymentValue {
  readonly id: number;
  readonly customer: string;
  readonly terminal: string;
  readonly ts: number;
  readonly amount: number;
}

export interface CardValue {
  readonly customer: string;
  readonly ts: number;
  readonly level: number;
}

/** `count` rows of a source from `sequence` on were taken out of order, the first after the row that is named. */
export interface RecordedChoice {
  readonly source: number;
  readonly sequence: number;
  readonly count: number;
  readonly afterSource: number;
  readonly afterSequence: number;
}

export interface OracleInput {
  readonly variant: Variant;
  readonly partitions: number;
  /** By partition. */
  readonly payments: readonly (readonly InputRecord<PaymentValue>[])[];
  readonly cards: readonly (readonly InputRecord<CardValue>[])[];
  /** By stage, then task, in the order they were written. */
  readonly choices: readonly (readonly (readonly RecordedChoice[])[])[];
  readonly unluckyAmount: number;
  readonly scoreOf: (amount: number, count: number) => number;
}

export interface DeadRecord {
  readonly partition: number;
  readonly offset: number;
  readonly reason: "decode" | "processing";
}

/** What a features store shows for each of its keys as of the time that its stage has reached. */
export interface StoreView {
  readonly asOfMs: number;
  readonly features: ReadonlyMap<string, { readonly count: number; readonly sum: number }>;
}

export interface Expected {
  /** By partition, in the order they stand there. */
  readonly decisions: readonly (readonly Decision[])[];
  readonly dead: readonly DeadRecord[];
  /** By task. */
  readonly customers: readonly StoreView[];
  readonly terminals: readonly StoreView[];
}

interface Row<Value> {
  readonly source: number;
  readonly sequence: number;
  readonly rank: number;
  readonly timeMs: number;
  /** Highest time of its source so far; where it was taken late, the time that the order had reached. */
  readonly orderTimeMs: number;
  readonly late: boolean;
  readonly value: Value;
}

const [tableRank, eventRank] = [1, 2];

export function expectedOf(input: OracleInput): Expected {
  const sent: Row<Enriched>[][] = [];
  const dead: DeadRecord[] = [];
  const customers: StoreView[] = [];
  for (let task = 0; task < input.partitions; task++) {
    const first = firstStage(task, input);
    sent.push(first.sent);
    dead.push(...first.dead);
    customers.push(first.view);
  }
  const decisions: Decision[][] = [];
  const terminals: StoreView[] = [];
  for (let task = 0; task < input.partitions; task++) {
    const mine = sent.map((rows) => rows.filter(({ value }) => partitionOf(value.terminal, input.partitions) === task));
    const second = secondStage(ordered(mine, input.choices[1]?.[task] ?? []), input);
    decisions.push(second.decisions);
    terminals.push(second.view);
  }
  return { decisions, dead, customers, terminals };
}

type Enriched = Omit<Decision, "terminal_count" | "terminal_sum" | "score">;

function firstStage(task: number, { variant, payments, cards, choices, unluckyAmount }: OracleInput) {
  const dead: DeadRecord[] = [];
  const readable = <Value extends { readonly ts: number }>(
    records: readonly InputRecord<Value>[],
    source: number,
    rank: number,
  ): Row<Value>[] => {
    let orderTimeMs = Number.NEGATIVE_INFINITY;
    return records.flatMap(({ offset, value }) => {
      if (value === null) {
        dead.push({ partition: task, offset, reason: "decode" });
        return [];
      }
      orderTimeMs = Math.max(orderTimeMs, value.ts);
      return [{ source, sequence: offset, rank, timeMs: value.ts, orderTimeMs, late: false, value }];
    });
  };
  const sources: Row<PaymentValue | CardValue>[][] = [readable(payments[task] ?? [], 0, eventRank)];
  if (variant.counted) sources.push(readable(cards[task] ?? [], 1, tableRank));

  const seenMs = new Map<number, number>();
  const levels = new Map<string, CardValue[]>();
  const store = new EventList(variant.graceMs, variant.customerWindowMs);
  const sent: Row<Enriched>[] = [];
  for (const row of ordered(sources, choices[0]?.[task] ?? [])) {
    const { value, timeMs, orderTimeMs } = row;
    if ("level" in value) {
      levels.set(value.customer, [...(levels.get(value.customer) ?? []), value]);
      continue;
    }
    // Also by rows that never come to the store: a restore brings back what may matter from then on.
    store.reach(orderTimeMs);
    const nowMs = Math.max(timeMs, orderTimeMs);
    const firstMs = seenMs.get(value.id);
    if (firstMs !== undefined && nowMs - firstMs < variant.dedupMs) continue;
    seenMs.set(value.id, nowMs);
    if (value.amount === unluckyAmount) {
      dead.push({ partition: task, offset: row.sequence, reason: "processing" });
      continue;
    }
    const level = variant.counted ? levelAt(levels.get(value.customer) ?? [], timeMs) : -1;
    const late = timeMs < orderTimeMs - variant.graceMs;
    const { count, sum } = store.take(value.customer, timeMs, orderTimeMs, late, value.amount);
    const enriched = { ...value, level, customer_count: count, customer_sum: sum };
    sent.push({ ...row, source: task, sequence: sent.length, rank: eventRank, late, value: enriched });
  }
  return { sent, dead, view: store.view(variant.customerWindowMs) };
}

/** The newest version at or before a time; of two of one time the one that was read last. */
function levelAt(versions: readonly CardValue[], timeMs: number): number {
  let newest: CardValue | undefined;
  for (const version of versions)
    if (version.ts <= timeMs && (newest === undefined || version.ts >= newest.ts)) newest = version;
  return newest?.level ?? -1;
}

function secondStage(rows: readonly Row<Enriched>[], { variant, scoreOf }: OracleInput) {
  const store = new EventList(variant.graceMs, variant.terminalWindowMs);
  const ever = new Map<string, number>();
  const decisions = rows.map(({ value, timeMs, orderTimeMs, late: before }): Decision => {
    const { terminal, amount } = value;
    const late = before || timeMs < orderTimeMs - variant.graceMs;
    const { count, sum } = store.take(terminal, timeMs, orderTimeMs, late, amount);
    // The very number of the payment at its terminal, were it in order; of the instant it asks for, where it is not.
    ever.set(terminal, (ever.get(terminal) ?? 0) + 1);
    const terminalCount = variant.counted ? store.until(terminal, timeMs) : count;
    return {
      ...value,
      terminal_count: terminalCount,
      terminal_sum: sum,
      score: scoreOf(amount, terminalCount),
    };
  });
  const window = store.view(variant.terminalWindowMs);
  const counted = [...window.features].map(([key, { sum }]) => [key, { count: ever.get(key) ?? 0, sum }] as const);
  return { decisions, view: variant.counted ? { ...window, features: new Map(counted) } : window };
}

/** Hashes of the terminals, as kafkajs and a murmur2 in Python have them. */
const terminalHashes: Readonly<Record<string, number>> = {
  t0: 387_453_494,
  t1: 866_162_179,
  t2: 311_256_748,
  t3: 1_664_383_212,
  t4: 1_668_203_950,
  t5: 589_939_474,
  t6: 61_805_389,
  t7: 565_643_096,
};

function partitionOf(terminal: string, partitions: number): number {
  const hash = terminalHashes[terminal];
  if (hash === undefined) throw new Error(`the oracle does not know where ${terminal} belongs`);
  return hash % partitions;
}

/** The events of each key, as a features store holds them. */
class EventList {
  readonly #graceMs: number;
  readonly #windowMs: number;
  readonly #events = new Map<string, { readonly timeMs: number; readonly amount: number }[]>();
  #orderTimeMs = Number.NEGATIVE_INFINITY;

  constructor(graceMs: number, windowMs: number) {
    this.#graceMs = graceMs;
    this.#windowMs = windowMs;
  }

  /** The stage has come to a time. */
  reach(orderTimeMs: number): void {
    this.#orderTimeMs = Math.max(this.#orderTimeMs, orderTimeMs);
  }

  /** The event with those in (t - window, t], itself included; a late one sees what is held still, and is not kept. */
  take(key: string, timeMs: number, orderTimeMs: number, late: boolean, amount: number) {
    this.reach(orderTimeMs);
    const events = this.#events.get(key) ?? [];
    this.#events.set(key, events);
    const floorMs = late ? orderTimeMs - this.#graceMs - this.#windowMs : Number.NEGATIVE_INFINITY;
    const within = this.#within(key, timeMs, this.#windowMs).filter((event) => event.timeMs > floorMs);
    if (!late) events.push({ timeMs, amount });
    return { count: within.length + 1, sum: within.reduce((sum, event) => sum + event.amount, amount) };
  }

  #within(key: string, timeMs: number, windowMs: number) {
    const events = this.#events.get(key) ?? [];
    return events.filter((event) => event.timeMs <= timeMs && event.timeMs > timeMs - windowMs);
  }

  /** Events up to an instant. */
  until(key: string, timeMs: number): number {
    return this.#within(key, timeMs, Number.POSITIVE_INFINITY).length;
  }

  view(windowMs: number): StoreView {
    const features = [...this.#events.keys()].map((key) => {
      const within = this.#within(key, this.#orderTimeMs, windowMs);
      return [key, { count: within.length, sum: within.reduce((sum, { amount }) => sum + amount, 0) }] as const;
    });
    return { asOfMs: this.#orderTimeMs, features: new Map(features) };
  }
}

/**
 * Rows of several sources, each in its own order, in the one order of a stage: ascending by (order time, rank, source,
 * sequence), save the rows that the choices say were taken later, each directly after the row that is named.
 *
 * @throws when the choices do not fit the rows that there are
 */
function ordered<Value>(sources: readonly (readonly Row<Value>[])[], choices: readonly RecordedChoice[]): Row<Value>[] {
  const nameOf = (source: number, sequence: number): string => `${source} ${sequence}`;
  const chosenAfter = new Map<string, string>();
  for (const { source, sequence, count, afterSource, afterSequence } of choices) {
    chosenAfter.set(nameOf(afterSource, afterSequence), nameOf(source, sequence));
    for (let i = 1; i < count; i++) chosenAfter.set(nameOf(source, sequence + i - 1), nameOf(source, sequence + i));
  }
  const chosen = new Set(chosenAfter.values());
  const waiting = sources.map((rows) => ({ rows, next: 0 }));
  const taken: Row<Value>[] = [];
  let last = nameOf(-1, -1);
  let reached: Row<Value> | undefined;
  for (;;) {
    const wanted = chosenAfter.get(last);
    let first: { readonly row: Row<Value>; readonly name: string; readonly at: { next: number } } | undefined;
    for (const at of waiting) {
      const row = at.rows[at.next];
      if (row === undefined) continue;
      const name = nameOf(row.source, row.sequence);
      const open = wanted === undefined ? !chosen.has(name) : name === wanted;
      if (open && (first === undefined || compare(row, first.row) < 0)) first = { row, name, at };
    }
    if (first === undefined) break;
    const { row, name, at } = first;
    at.next++;
    const late = reached !== undefined && compare(row, reached) < 0;
    if (late !== (wanted !== undefined))
      throw new Error(
        `row ${placeOf(row)} after ${last} is ${late ? "late" : "in order"}: the order had reached ${placeOf(reached)}`,
      );
    if (!late) reached = row;
    taken.push(late ? { ...row, orderTimeMs: reached?.orderTimeMs ?? row.orderTimeMs } : row);
    last = name;
  }
  const left = waiting.filter(({ rows, next }) => next < rows.length).map(({ rows }) => rows[0]?.source);
  if (left.length > 0) throw new Error(`after ${last} no row follows, of sources ${left} some are left`);
  return taken;
}

function placeOf(row: Row<unknown> | undefined): string {
  return row === undefined ? "nothing" : `${row.source} ${row.sequence} (time ${row.orderTimeMs}, rank ${row.rank})`;
}

function compare(a: Row<unknown>, b: Row<unknown>): number {
  return a.orderTimeMs - b.orderTimeMs || a.rank - b.rank || a.source - b.source;
}

import type { Aggregate, EventWindow, KeyWindow } from "../../src/index.ts";
import { exactSum, exactVariance } from "./exact.ts";

/**
 * What features must be, from the documentation of windows and aggregates alone: plain arrays, one pass over everything
 * for each question, exact arithmetic. It shares neither code nor a way of thinking with the store it judges.
 */

export type Scalar = number | string | boolean;

/** An event as the oracle holds it: what it was, and in which place it was read. */
export interface HeldEvent {
  readonly id: number;
  readonly timeMs: number;
  readonly values: Readonly<Record<string, Scalar | null>>;
  /** Names of its marks. */
  readonly marks: ReadonlySet<string>;
}

/** The event that asks, or none: a look at the state from outside. */
export type Asker = HeldEvent | null;

/**
 * The events of a window as of an instant, oldest first, those of one instant in the order they were read.
 *
 * @param read the events that were read and are held, in the order they were read, the asker among them
 */
export function eventsIn(window: EventWindow, read: readonly HeldEvent[], asOfMs: number, asker: Asker): HeldEvent[] {
  const known = read.filter((event) => event.timeMs <= asOfMs);
  // Stable: events of one instant stay in the order they were read.
  known.sort((a, b) => a.timeMs - b.timeMs);
  const others = window.excludeCurrent ? known.filter((event) => event !== asker) : known;
  switch (window.kind) {
    case "unbounded":
      return others;
    case "count":
      return others.slice(Math.max(0, others.length - window.size));
    case "sliding": {
      const end = asOfMs - window.delayMs;
      const start = end - window.sizeMs;
      const after = (timeMs: number): boolean => (window.closed === "both" ? timeMs >= start : timeMs > start);
      return others.filter((event) => after(event.timeMs) && event.timeMs <= end);
    }
    default:
      return window satisfies never;
  }
}

/**
 * The events of a window for an event past its grace, which is not inserted. What counts for it is what every run still
 * holds: in sliding windows the events after (the begin of the grace - the longest reach of the store), in count windows
 * the last ones before the begin of the grace.
 *
 * @param windows all of the store
 * @returns null where nothing is promised: an unbounded window no longer knows what it was so long ago
 */
export function eventsForLate(
  window: EventWindow,
  windows: readonly EventWindow[],
  read: readonly HeldEvent[],
  asker: HeldEvent,
  graceFromMs: number,
): HeldEvent[] | null {
  const reach = Math.max(
    0,
    ...windows.map((each) =>
      each.kind === "sliding" ? each.delayMs + each.sizeMs + (each.closed === "both" ? 1 : 0) : 0,
    ),
  );
  const floorMs = graceFromMs - reach;
  const unbounded = windows.some(({ kind }) => kind === "unbounded");
  if (unbounded && asker.timeMs <= floorMs) return null;
  switch (window.kind) {
    case "unbounded":
      return eventsIn(window, read, asker.timeMs, asker);
    case "sliding": {
      const events = eventsIn(window, read, asker.timeMs, asker);
      const held = events.filter((event) => event === asker || event.timeMs > floorMs);
      return unbounded && held.length < events.length ? null : held;
    }
    case "count": {
      const others = read.filter((event) => event !== asker);
      const last = eventsIn({ ...window, excludeCurrent: false }, others, graceFromMs, null);
      return eventsIn(window, [...last, asker], asker.timeMs, asker);
    }
    default:
      return window satisfies never;
  }
}

/** A window of a key with what fell into it. */
export interface KeyWindowContent {
  readonly startMs: number;
  /** Exclusive. */
  readonly endMs: number;
  /** Oldest first, those of one instant in the order they were read. */
  readonly events: readonly HeldEvent[];
}

/** The windows that the events of one key fall into, by start. */
export function keyWindowsOf(window: KeyWindow, read: readonly HeldEvent[]): KeyWindowContent[] {
  const sorted = [...read].sort((a, b) => a.timeMs - b.timeMs);
  if (window.kind === "session") return sessionsOf(window.gapMs, sorted);
  const { sizeMs } = window;
  const advanceMs = window.kind === "hopping" ? window.advanceMs : sizeMs;
  const starts = new Set<number>();
  for (const { timeMs } of sorted) {
    for (let startMs = Math.floor(timeMs / advanceMs) * advanceMs; startMs > timeMs - sizeMs; startMs -= advanceMs)
      starts.add(startMs);
  }
  return [...starts]
    .sort((a, b) => a - b)
    .map((startMs) => {
      const endMs = startMs + sizeMs;
      return { startMs, endMs, events: sorted.filter(({ timeMs }) => timeMs >= startMs && timeMs < endMs) };
    });
}

/** Each event spans [t, t + gap); spans that overlap are one session. */
function sessionsOf(gapMs: number, sorted: readonly HeldEvent[]): KeyWindowContent[] {
  const groups: HeldEvent[][] = [];
  for (const event of sorted) {
    const last = groups.at(-1)?.at(-1);
    if (last !== undefined && event.timeMs < last.timeMs + gapMs) groups.at(-1)?.push(event);
    else groups.push([event]);
  }
  return groups.map((events) => ({
    startMs: events[0]?.timeMs as number,
    endMs: (events.at(-1)?.timeMs as number) + gapMs,
    events,
  }));
}

/** The value of an aggregate over events, oldest first. */
export function aggregateOf(aggregate: Aggregate, events: readonly HeldEvent[], markNames: readonly string[]): unknown {
  const { kind } = aggregate;
  if (kind === "count" && aggregate.column === undefined) return events.length;
  const column = aggregate.column as string;
  const all = events.map((event) =>
    markNames.includes(column) ? Number(event.marks.has(column)) : event.values[column],
  );
  const values = all.filter((value): value is Scalar => value !== null && value !== undefined);
  const numbers = values.map(Number);
  switch (kind) {
    case "count":
      return values.length;
    case "sum":
      return exactSum(numbers);
    case "mean":
      return numbers.length === 0 ? null : exactSum(numbers) / numbers.length / aggregate.per;
    case "variance":
      return numbers.length < 2 ? null : exactVariance(numbers);
    case "sd":
      return numbers.length < 2 ? null : Math.sqrt(exactVariance(numbers));
    case "min":
      return numbers.length === 0 ? null : numbers.reduce((a, b) => Math.min(b, a));
    case "max":
      return numbers.length === 0 ? null : numbers.reduce((a, b) => Math.max(b, a));
    case "distinct":
      return values.filter((value, i) => values.indexOf(value) === i).length;
    case "first":
      return values.slice(0, aggregate.size);
    case "last":
      return [...values].reverse().slice(0, aggregate.size);
    case "latest":
      return values.at(-1) ?? null;
    case "top":
      return mostFrequent(values).slice(0, aggregate.size);
    case "percentile":
      return nearestRank(numbers, aggregate.fraction);
    case "ratio":
      return events.length === 0 ? 0 : exactSum(numbers) / events.length;
    default:
      return aggregate satisfies never;
  }
}

function mostFrequent(values: readonly Scalar[]): Scalar[] {
  const different = values.filter((value, i) => values.indexOf(value) === i);
  const times = (value: Scalar): number => values.filter((other) => other === value).length;
  return different.sort((a, b) => times(b) - times(a) || (a < b ? -1 : 1));
}

/** The smallest value with at least `fraction` of the values at or below it. */
function nearestRank(numbers: readonly number[], fraction: number): number | null {
  const enough = numbers.filter(
    (number) => numbers.filter((other) => other <= number).length / numbers.length >= fraction,
  );
  return enough.length === 0 ? null : enough.reduce((a, b) => Math.min(b, a));
}

/** Where a row stands before anything is merged: what its own source knows of it. */
export interface SourceRow {
  readonly id: number;
  readonly kind: "event" | "label";
  readonly timeMs: number;
  readonly partition: number;
}

/** A row with its place in the order of its stage. */
export interface OrderedRow extends SourceRow {
  /** Highest event time of the row's source so far, this row included. */
  readonly orderTimeMs: number;
}

const rankOf = (row: SourceRow): number => (row.kind === "label" ? 1 : 2);

/**
 * The one order of a first stage: ascending by (order time, rank), rows of one source in their own order.
 *
 * @param sources of one task, each in the order of its log
 */
export function firstStageOrder(sources: readonly (readonly SourceRow[])[]): OrderedRow[] {
  const rows = sources.flatMap((source) => {
    let orderTimeMs = Number.NEGATIVE_INFINITY;
    return source.map((row) => {
      orderTimeMs = Math.max(orderTimeMs, row.timeMs);
      return { ...row, orderTimeMs };
    });
  });
  return rows.sort((a, b) => a.orderTimeMs - b.orderTimeMs || rankOf(a) - rankOf(b));
}

/** The one order of a second stage: ascending by (order time, rank, upstream task), rows of one task as it sent them. */
export function secondStageOrder(tasks: readonly (readonly OrderedRow[])[]): OrderedRow[] {
  return tasks
    .flat()
    .sort((a, b) => a.orderTimeMs - b.orderTimeMs || rankOf(a) - rankOf(b) || a.partition - b.partition);
}

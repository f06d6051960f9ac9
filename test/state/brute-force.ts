// What a reservoir must answer, computed from the plain list of events and nothing else. It shares no code with it: sums
// are big integers, windows are filters.

import type { Aggregate } from "../../src/state/aggregate.ts";
import type { EventWindow } from "../../src/state/window.ts";

export interface PlainEvent {
  readonly timeMs: number;
  /** By column name; null is absent. */
  readonly values: Record<string, number | string | boolean | null>;
}

export interface PlainFeature {
  readonly window: EventWindow;
  readonly aggregate: Aggregate;
}

/** What may count for a row. `null`: no bound. */
export interface Horizon {
  readonly floorMs: number;
  readonly boundaryMs: number;
}

/** @param events in event-time order, the asking one (if any) at index `own` */
export function bruteForce(
  events: readonly PlainEvent[],
  own: number | null,
  asOfMs: number,
  feature: PlainFeature,
  late: Horizon | null,
): unknown {
  return aggregated(windowed(events, own, asOfMs, feature.window, late), feature.aggregate);
}

function windowed(
  events: readonly PlainEvent[],
  own: number | null,
  asOfMs: number,
  window: EventWindow,
  late: Horizon | null,
): PlainEvent[] {
  const others = events.map((event, i) => ({ event, own: i === own, i }));
  const before = others.filter((each) => each.event.timeMs <= asOfMs && (own === null || each.i <= own));
  if (window.kind === "sliding") {
    const newest = asOfMs - window.delayMs;
    const oldest = asOfMs - window.delayMs - window.sizeMs;
    return before
      .filter(({ event }) => event.timeMs <= newest)
      .filter(({ event }) => (window.closed === "both" ? event.timeMs >= oldest : event.timeMs > oldest))
      .filter((each) => each.own || late === null || each.event.timeMs > late.floorMs)
      .filter((each) => !(each.own && window.excludeCurrent))
      .map(({ event }) => event);
  }
  if (window.kind === "count") {
    let countable = others.filter((each) => !each.own);
    if (late !== null) {
      const upTo = countable.filter(({ event }) => event.timeMs <= late.boundaryMs);
      countable = [
        ...upTo.slice(Math.max(0, upTo.length - window.size)),
        ...countable.filter(({ event }) => event.timeMs > late.boundaryMs),
      ];
    }
    const mine = before.filter((each) => countable.includes(each) || (each.own && !window.excludeCurrent));
    return mine.slice(Math.max(0, mine.length - window.size)).map(({ event }) => event);
  }
  return before.filter((each) => !(each.own && window.excludeCurrent)).map(({ event }) => event);
}

function aggregated(events: readonly PlainEvent[], aggregate: Aggregate): unknown {
  if (aggregate.kind === "count" && aggregate.column === undefined) return events.length;
  const column = aggregate.column as string;
  const values = events.map(({ values }) => values[column] ?? null).filter((value) => value !== null);
  const numbers = values.map(Number);
  switch (aggregate.kind) {
    case "count":
      return values.length;
    case "sum":
      return toDouble(exactSum(numbers), 1n);
    case "mean":
      return numbers.length === 0 ? null : toDouble(exactSum(numbers), 1n) / numbers.length / aggregate.per;
    case "ratio":
      return events.length === 0 ? 0 : toDouble(exactSum(numbers), 1n) / events.length;
    case "variance":
      return variance(numbers);
    case "sd": {
      const squared = variance(numbers);
      return squared === null ? null : Math.sqrt(squared);
    }
    case "min":
      return numbers.length === 0 ? null : Math.min(...numbers) + 0;
    case "max":
      return numbers.length === 0 ? null : Math.max(...numbers) + 0;
    case "distinct":
      return new Set(values).size;
    case "first":
      return values.slice(0, aggregate.size);
    case "last":
      return values.toReversed().slice(0, aggregate.size);
    case "latest":
      return values.at(-1) ?? null;
    case "top": {
      const unique = [...new Set(values)];
      const times = (value: unknown): number => values.filter((other) => other === value).length;
      return unique.sort((a, b) => times(b) - times(a) || (a < b ? -1 : 1)).slice(0, aggregate.size);
    }
    case "percentile": {
      const sorted = numbers.toSorted((a, b) => a - b);
      const found = sorted.find((_, i) => (i + 1) / sorted.length >= aggregate.fraction);
      return found === undefined ? null : found + 0;
    }
    default:
      return aggregate satisfies never;
  }
}

/** 2^-1074 is the unit: every double is a whole number of them. */
const unitBits = 1074n;

function exact(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
  return bits >> 63n ? -magnitude : magnitude;
}

function exactSum(values: readonly number[]): bigint {
  return values.reduce((sum, value) => sum + exact(value), 0n);
}

/** `units / divisor` times 2^-1074, rounded to the nearest double, ties to even. */
function toDouble(units: bigint, divisor: bigint): number {
  const magnitude = units < 0n ? -units : units;
  if (magnitude === 0n) return 0;
  let shift = 0n;
  const bitsOf = (n: bigint): bigint => BigInt(n.toString(2).length);
  const length = bitsOf(magnitude / divisor);
  if (length > 53n) shift = length - 53n;
  const scaled = divisor << shift;
  let mantissa = magnitude / scaled;
  const twice = 2n * (magnitude % scaled);
  if (twice > scaled || (twice === scaled && (mantissa & 1n) === 1n)) mantissa++;
  // Two exact steps: a power of two below the normal range would lose bits.
  let result = Number(mantissa);
  let power = Number(shift - unitBits);
  while (power < -1000) {
    result *= 2 ** -1000;
    power += 1000;
  }
  result *= 2 ** power;
  return units < 0n ? -result : result;
}

function variance(values: readonly number[]): number | null {
  const n = BigInt(values.length);
  if (n < 2n) return null;
  const sum = exactSum(values);
  const squares = values.reduce((total, value) => total + exact(value) ** 2n, 0n);
  // Squares have the unit 2^-2148: bring it back to 2^-1074 by dividing.
  const numerator = toDouble(n * squares - sum * sum, 1n << unitBits);
  return numerator / (values.length * (values.length - 1));
}

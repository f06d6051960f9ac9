import type { Column } from "../codec/column.ts";
import { assert } from "../core/assert.ts";
import type { Aggregate } from "./aggregate.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { addExact, addSquareExact, roundExact, sampleVariance, wideCells } from "./exact-sum.ts";

/** A value of an event as an accumulator is given it; absent is null. */
export type Scalar = number | string | null;

/**
 * What one aggregate keeps of the events of a window that only grows and may merge with its neighbour. The result is a
 * function of the events alone, not of the order in which they came; only events at one instant keep their order.
 */
export interface Accumulator {
  insert(timeMs: number, value: Scalar): void;
  /** Takes in what another one of the same aggregate has; its events are later where order matters at one instant. */
  merge(other: Accumulator): void;
  result(): unknown;
  write(writer: ByteWriter): void;
  read(reader: ByteReader): void;
  /** Resident bytes, about. */
  readonly bytes: number;
}

/** An empty accumulator for an aggregate over a column of this type (null for a count of events). */
export function accumulatorFor(aggregate: Aggregate, column: Column | null): Accumulator {
  switch (aggregate.kind) {
    case "count":
      return new CountAccumulator(column !== null);
    case "sum":
    case "mean":
    case "ratio":
    case "variance":
    case "sd":
      return new TotalAccumulator(aggregate, column?.type === "number");
    case "min":
    case "max":
      return new ExtremeAccumulator(aggregate.kind === "min" ? 1 : -1);
    case "distinct":
    case "top":
    case "percentile":
      return new FrequencyAccumulator(aggregate);
    case "first":
      return new OrderedAccumulator(aggregate.size, "oldest", false);
    case "last":
      return new OrderedAccumulator(aggregate.size, "newest", false);
    case "latest":
      return new OrderedAccumulator(1, "newest", true);
    default:
      return aggregate satisfies never;
  }
}

class CountAccumulator implements Accumulator {
  readonly bytes = 40;
  readonly #valuesOnly: boolean;
  #count = 0;

  constructor(valuesOnly: boolean) {
    this.#valuesOnly = valuesOnly;
  }

  insert(_timeMs: number, value: Scalar): void {
    if (!this.#valuesOnly || value !== null) this.#count++;
  }
  merge(other: CountAccumulator): void {
    this.#count += other.#count;
  }
  result(): number {
    return this.#count;
  }
  write(writer: ByteWriter): void {
    writer.f64(this.#count);
  }
  read(reader: ByteReader): void {
    this.#count = reader.f64();
  }
}

/** Sums, exact: integers as integers, doubles as expansions that are rounded once, when read. */
class TotalAccumulator implements Accumulator {
  readonly #aggregate: Aggregate;
  readonly #cells: Float64Array | null;
  readonly #squares: Float64Array | null;
  #integerSum = 0;
  #values = 0;
  #events = 0;

  constructor(aggregate: Aggregate, doubles: boolean) {
    const spread = aggregate.kind === "variance" || aggregate.kind === "sd";
    this.#aggregate = aggregate;
    this.#cells = doubles || spread ? new Float64Array(wideCells) : null;
    this.#squares = spread ? new Float64Array(wideCells) : null;
  }

  get bytes(): number {
    return 100 + ((this.#cells?.byteLength ?? 0) + (this.#squares?.byteLength ?? 0));
  }

  insert(_timeMs: number, value: Scalar): void {
    this.#events++;
    if (typeof value !== "number") return;
    this.#values++;
    if (this.#cells === null) this.#integerSum += value;
    else addExact(this.#cells, 0, wideCells, value);
    if (this.#squares !== null) addSquareExact(this.#squares, 0, wideCells, value, 1);
  }

  merge(other: TotalAccumulator): void {
    this.#events += other.#events;
    this.#values += other.#values;
    this.#integerSum += other.#integerSum;
    addAll(this.#cells, other.#cells);
    addAll(this.#squares, other.#squares);
  }

  #sum(): number {
    assert(Number.isSafeInteger(this.#integerSum), () => `an integer sum reached ${this.#integerSum}`);
    return this.#cells === null ? this.#integerSum : roundExact(this.#cells, 0, wideCells);
  }

  result(): number | null {
    const aggregate = this.#aggregate;
    switch (aggregate.kind) {
      case "sum":
        return this.#sum();
      case "mean":
        return this.#values === 0 ? null : this.#sum() / (this.#values * aggregate.per);
      case "ratio":
        return this.#events === 0 ? 0 : this.#sum() / this.#events;
      default: {
        if (this.#values < 2 || this.#cells === null || this.#squares === null) return null;
        const variance = sampleVariance(this.#values, this.#cells, 0, wideCells, this.#squares, 0, wideCells);
        return aggregate.kind === "sd" ? Math.sqrt(variance) : variance;
      }
    }
  }

  write(writer: ByteWriter): void {
    writer.f64(this.#events);
    writer.f64(this.#values);
    writer.f64(this.#integerSum);
    writeCells(this.#cells, writer);
    writeCells(this.#squares, writer);
  }

  read(reader: ByteReader): void {
    this.#events = reader.f64();
    this.#values = reader.f64();
    this.#integerSum = reader.f64();
    readCells(this.#cells, reader);
    readCells(this.#squares, reader);
  }
}

function addAll(into: Float64Array | null, from: Float64Array | null): void {
  if (into === null || from === null) return;
  for (const component of from) if (component !== 0) addExact(into, 0, wideCells, component);
}

function writeCells(cells: Float64Array | null, writer: ByteWriter): void {
  if (cells === null) return;
  let used = cells.length;
  while (used > 0 && cells[used - 1] === 0) used--;
  writer.u8(used);
  for (let i = 0; i < used; i++) writer.f64(cells[i] as number);
}

function readCells(cells: Float64Array | null, reader: ByteReader): void {
  if (cells === null) return;
  cells.fill(0);
  const used = reader.u8();
  for (let i = 0; i < used; i++) cells[i] = reader.f64();
}

class ExtremeAccumulator implements Accumulator {
  readonly bytes = 40;
  /** 1 looks for the smallest, -1 for the largest. */
  readonly #sign: 1 | -1;
  #extreme: number | null = null;

  constructor(sign: 1 | -1) {
    this.#sign = sign;
  }

  insert(_timeMs: number, value: Scalar): void {
    if (typeof value !== "number") return;
    if (this.#extreme === null || value * this.#sign < this.#extreme * this.#sign) this.#extreme = value;
  }
  merge(other: ExtremeAccumulator): void {
    if (other.#extreme !== null) this.insert(0, other.#extreme);
  }
  result(): number | null {
    return this.#extreme;
  }
  write(writer: ByteWriter): void {
    writer.u8(this.#extreme === null ? 0 : 1);
    writer.f64(this.#extreme ?? 0);
  }
  read(reader: ByteReader): void {
    const present = reader.u8() === 1;
    const extreme = reader.f64();
    this.#extreme = present ? extreme : null;
  }
}

/** How often each value came. */
class FrequencyAccumulator implements Accumulator {
  readonly #aggregate: Aggregate;
  readonly #counts = new Map<number | string, number>();
  #values = 0;

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate;
  }

  get bytes(): number {
    return 100 + this.#counts.size * 64;
  }

  insert(_timeMs: number, value: Scalar): void {
    if (value !== null) this.#add(value, 1);
  }

  #add(value: number | string, count: number): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + count);
    this.#values += count;
  }

  merge(other: FrequencyAccumulator): void {
    for (const [value, count] of other.#counts) this.#add(value, count);
  }

  result(): unknown {
    const aggregate = this.#aggregate;
    switch (aggregate.kind) {
      case "top":
        return [...this.#counts]
          .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
          .slice(0, aggregate.size)
          .map(([value]) => value);
      case "percentile": {
        if (this.#values === 0) return null;
        const rank = Math.max(1, Math.ceil(aggregate.fraction * this.#values));
        let seen = 0;
        for (const [value, count] of [...this.#counts].sort(([a], [b]) => Number(a) - Number(b))) {
          seen += count;
          if (seen >= rank) return value;
        }
        return null;
      }
      default:
        return this.#counts.size;
    }
  }

  write(writer: ByteWriter): void {
    writer.u32(this.#counts.size);
    for (const [value, count] of this.#counts) {
      writeScalar(value, writer);
      writer.f64(count);
    }
  }

  read(reader: ByteReader): void {
    this.#counts.clear();
    this.#values = 0;
    for (let size = reader.u32(); size > 0; size--) {
      const value = readScalar(reader);
      this.#add(value, reader.f64());
    }
  }
}

/** The oldest or newest values, by event time. */
class OrderedAccumulator implements Accumulator {
  readonly #size: number;
  readonly #end: "oldest" | "newest";
  readonly #single: boolean;
  /** Oldest first; events at one instant in the order they came. */
  readonly #held: { readonly timeMs: number; readonly value: number | string }[] = [];

  constructor(size: number, end: "oldest" | "newest", single: boolean) {
    this.#size = size;
    this.#end = end;
    this.#single = single;
  }

  get bytes(): number {
    return 80 + this.#held.length * 56;
  }

  insert(timeMs: number, value: Scalar): void {
    if (value === null) return;
    const held = this.#held;
    let at = held.length;
    while (at > 0 && (held[at - 1] as { timeMs: number }).timeMs > timeMs) at--;
    held.splice(at, 0, { timeMs, value });
    if (held.length <= this.#size) return;
    if (this.#end === "oldest") held.pop();
    else held.shift();
  }

  merge(other: OrderedAccumulator): void {
    for (const { timeMs, value } of other.#held) this.insert(timeMs, value);
  }

  result(): unknown {
    const values = this.#held.map(({ value }) => value);
    if (this.#end === "newest") values.reverse();
    return this.#single ? (values[0] ?? null) : values;
  }

  write(writer: ByteWriter): void {
    writer.u32(this.#held.length);
    for (const { timeMs, value } of this.#held) {
      writer.f64(timeMs);
      writeScalar(value, writer);
    }
  }

  read(reader: ByteReader): void {
    this.#held.length = 0;
    for (let length = reader.u32(); length > 0; length--) {
      const timeMs = reader.f64();
      this.#held.push({ timeMs, value: readScalar(reader) });
    }
  }
}

function writeScalar(value: number | string, writer: ByteWriter): void {
  writer.u8(typeof value === "number" ? 0 : 1);
  if (typeof value === "number") writer.f64(value);
  else writer.text(value);
}

function readScalar(reader: ByteReader): number | string {
  return reader.u8() === 0 ? reader.f64() : (reader.text() ?? "");
}

import type { Column } from "../codec/column.ts";
import type { Aggregate } from "./aggregate.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CountedValues } from "./counted-values.ts";
import { sampleVariance, wideCells } from "./exact-sum.ts";
import { ExactTotal } from "./exact-total.ts";

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
  /** Reads what `write` wrote; it is empty before. */
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
      return new TotalAccumulator(aggregate);
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

/** Sums, and what is computed of them. Exact, and rounded once, when read. */
class TotalAccumulator implements Accumulator {
  readonly #aggregate: Aggregate;
  readonly #sum = new ExactTotal();
  readonly #squares: ExactTotal | null;
  #values = 0;
  #events = 0;

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate;
    this.#squares = aggregate.kind === "variance" || aggregate.kind === "sd" ? new ExactTotal() : null;
  }

  get bytes(): number {
    return 72 + this.#sum.bytes + (this.#squares?.bytes ?? 0);
  }

  insert(_timeMs: number, value: Scalar): void {
    this.#events++;
    if (typeof value !== "number") return;
    this.#values++;
    this.#sum.add(value);
    this.#squares?.addSquare(value);
  }

  merge(other: TotalAccumulator): void {
    this.#events += other.#events;
    this.#values += other.#values;
    this.#sum.addAll(other.#sum);
    if (other.#squares !== null) this.#squares?.addAll(other.#squares);
  }

  result(): number | null {
    const aggregate = this.#aggregate;
    switch (aggregate.kind) {
      case "mean":
        return this.#values === 0 ? null : this.#sum.value / this.#values / aggregate.per;
      case "ratio":
        return this.#events === 0 ? 0 : this.#sum.value / this.#events;
      case "variance":
        return this.#variance();
      case "sd": {
        const variance = this.#variance();
        return variance === null ? null : Math.sqrt(variance);
      }
      default:
        return this.#sum.value;
    }
  }

  #variance(): number | null {
    if (this.#squares === null || this.#values < 2) return null;
    const sum = this.#sum.expansion();
    const squares = this.#squares.expansion();
    return sampleVariance(this.#values, sum, 0, wideCells, squares, 0, wideCells);
  }

  write(writer: ByteWriter): void {
    writer.f64(this.#events);
    writer.f64(this.#values);
    this.#sum.write(writer);
    this.#squares?.write(writer);
  }

  read(reader: ByteReader): void {
    this.#events = reader.f64();
    this.#values = reader.f64();
    this.#sum.read(reader);
    this.#squares?.read(reader);
  }
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
    if (this.#extreme === null || value * this.#sign < this.#extreme * this.#sign) this.#extreme = value + 0; // never -0
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

/** How often each value came. A percentile sorts the different values whenever it is read. */
class FrequencyAccumulator implements Accumulator {
  readonly #aggregate: Aggregate;
  readonly #counted = new CountedValues();
  #values = 0;

  constructor(aggregate: Aggregate) {
    this.#aggregate = aggregate;
  }

  get bytes(): number {
    return 40 + this.#counted.bytes;
  }

  insert(_timeMs: number, value: Scalar): void {
    if (value !== null) this.#add(value, 1);
  }

  #add(value: number | string, times: number): void {
    this.#counted.add(value, times);
    this.#values += times;
  }

  merge(other: FrequencyAccumulator): void {
    for (const [value, times] of other.#counted.entries()) this.#add(value, times);
  }

  result(): unknown {
    const aggregate = this.#aggregate;
    switch (aggregate.kind) {
      case "top":
        return this.#counted.top(aggregate.size);
      case "percentile":
        return this.#percentile(aggregate.fraction);
      default:
        return this.#counted.distinct;
    }
  }

  #percentile(fraction: number): number | string | null {
    const count = this.#values;
    // fraction * count may round up to past a whole number: the comparison decides, as the definition has it.
    let rank = Math.min(count, Math.max(1, Math.ceil(fraction * count)));
    while (rank > 1 && (rank - 1) / count >= fraction) rank--;
    const sorted = [...this.#counted.entries()].sort(([a], [b]) => Number(a) - Number(b));
    let seen = 0;
    for (const [value, times] of sorted) {
      seen += times;
      if (seen >= rank) return value;
    }
    return null;
  }

  write(writer: ByteWriter): void {
    writer.u32(this.#counted.distinct);
    for (const [value, times] of this.#counted.entries()) {
      writeScalar(value, writer);
      writer.f64(times);
    }
  }

  read(reader: ByteReader): void {
    for (let left = reader.u32(); left > 0; left--) {
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
  #textBytes = 0;

  constructor(size: number, end: "oldest" | "newest", single: boolean) {
    this.#size = size;
    this.#end = end;
    this.#single = single;
  }

  get bytes(): number {
    return 80 + this.#held.length * 56 + this.#textBytes;
  }

  insert(timeMs: number, value: Scalar): void {
    if (value === null) return;
    const held = this.#held;
    let at = held.length;
    while (at > 0 && (held[at - 1] as { timeMs: number }).timeMs > timeMs) at--;
    const full = held.length === this.#size;
    if (full && at === (this.#end === "oldest" ? held.length : 0)) return;
    held.splice(at, 0, { timeMs, value });
    this.#textBytes += textBytes(value);
    if (!full) return;
    const out = this.#end === "oldest" ? held.pop() : held.shift();
    if (out !== undefined) this.#textBytes -= textBytes(out.value);
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
    for (let left = reader.u32(); left > 0; left--) {
      const timeMs = reader.f64();
      this.insert(timeMs, readScalar(reader));
    }
  }
}

function textBytes(value: number | string): number {
  return typeof value === "string" ? 24 + value.length : 0;
}

function writeScalar(value: number | string, writer: ByteWriter): void {
  writer.u8(typeof value === "number" ? 0 : 1);
  if (typeof value === "number") writer.f64(value);
  else writer.text(value);
}

function readScalar(reader: ByteReader): number | string {
  return reader.u8() === 0 ? reader.f64() : (reader.text() ?? "");
}

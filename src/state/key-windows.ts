import type { Column } from "../codec/column.ts";
import { assert } from "../core/assert.ts";
import { type Accumulator, accumulatorFor, type Scalar } from "./accumulator.ts";
import type { Aggregate, AggregateKind } from "./aggregate.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import type { Entity, EntityKind } from "./entity.ts";
import { magnitudeLimit } from "./exact-sum.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";
import type { KeyWindow } from "./window.ts";

export interface NamedAggregate {
  readonly name: string;
  readonly aggregate: Aggregate;
}

export interface WindowStoreOptions {
  /** Of the store. */
  readonly name: string;
  /** Columns of an event that the aggregates read: numbers and booleans in their order, texts in theirs. */
  readonly columns: readonly Column[];
  readonly window: KeyWindow;
  readonly aggregates: readonly NamedAggregate[];
}

/** A window of a key that is not closed. */
export class OpenWindow {
  /** Of a session its first event. */
  startMs: number;
  /** Exclusive; of a session its last event plus the gap. */
  endMs: number;
  /** Order time at which it closes: its end plus grace, or later when it was opened again for late events. */
  closeMs: number;
  readonly accumulators: Accumulator[];

  constructor(startMs: number, endMs: number, closeMs: number, accumulators: Accumulator[]) {
    this.startMs = startMs;
    this.endMs = endMs;
    this.closeMs = closeMs;
    this.accumulators = accumulators;
  }
}

/** The open windows of a key, by start. Sessions do not touch, so they are by end as well, like windows of one size. */
export class KeyWindows implements Entity {
  readonly key: StateKey;
  flags = 0;
  bytes = 0;
  readonly windows: OpenWindow[] = [];
  /** When the due index brings the key up; entries for other times are stale. Infinity when it does not. */
  watchedMs = Number.POSITIVE_INFINITY;
  /** Order time of the changelog's last whole value of it, and bytes of the events logged since. */
  loggedMs: number;
  loggedBytes = 0;
  /** Whether the changelog of this commit gets the whole value instead of the events. */
  whole = false;

  constructor(key: StateKey, loggedMs: number) {
    this.key = key;
    this.loggedMs = loggedMs;
  }
}

/** Aggregates that take the same memory whatever they are given; sums do too, but only of whole numbers. */
const fixedKinds: ReadonlySet<AggregateKind> = new Set(["count", "min", "max"]);

/** Which value of an event an aggregate takes. */
interface Reading {
  readonly aggregate: Aggregate;
  readonly column: Column | null;
  readonly from: "event" | "number" | "text";
  /** Among the numbers or the texts. */
  readonly place: number;
}

/**
 * Payload:
 *
 *     | watched, ms f64 | logged, ms f64 | logged bytes f64 | windows u32 |
 *     window: | start, ms f64 | end, ms f64 | close, ms f64 | accumulators as they write themselves |
 */
export class KeyWindowsKind implements EntityKind<KeyWindows> {
  readonly layout: StoreLayout;
  /** All windows of a key closed: nothing is left of it. */
  readonly retentionMs = 0;
  readonly changesReachMs: number;
  /** How long after an event its window closes, at most: of a session if nothing more comes. */
  readonly reachMs: number;
  readonly numberCount: number;
  readonly textCount: number;
  /** Whether a window takes more memory as it takes events. */
  readonly growing: boolean;
  readonly #readings: readonly Reading[];

  constructor({ name, columns, window, aggregates }: WindowStoreOptions) {
    this.growing = aggregates.some(({ aggregate }) => !fixedKinds.has(aggregate.kind));
    this.reachMs = (window.kind === "session" ? window.gapMs : window.sizeMs) + window.graceMs;
    // What is changed is written whole at least once a reach, and is closed a reach after it was changed last.
    this.changesReachMs = 2 * this.reachMs;
    const numbers = columns.filter(({ type }) => type !== "text");
    const texts = columns.filter(({ type }) => type === "text");
    this.numberCount = numbers.length;
    this.textCount = texts.length;
    this.#readings = aggregates.map(({ aggregate }) => {
      const column = columns.find((each) => each.name === aggregate.column) ?? null;
      assert((column === null) === (aggregate.column === undefined), () => `column ${aggregate.column} is not held`);
      if (column === null) return { aggregate, column, from: "event", place: -1 };
      const from = column.type === "text" ? "text" : "number";
      return { aggregate, column, from, place: (from === "text" ? texts : numbers).indexOf(column) };
    });
    this.layout = {
      store: name,
      kind: "window",
      version: 1,
      columns: columns.map((column) => `${column.name}: ${column.type}${column.nullable ? "?" : ""}`),
      features: [
        JSON.stringify(window),
        ...aggregates.map(({ name, aggregate }) => `${name}: ${JSON.stringify(aggregate)}`),
      ],
      reachMs: this.reachMs,
      heldCount: 0,
      folded: true,
    };
  }

  open(startMs: number, endMs: number, closeMs: number): OpenWindow {
    return new OpenWindow(
      startMs,
      endMs,
      closeMs,
      this.#readings.map(({ aggregate, column }) => accumulatorFor(aggregate, column)),
    );
  }

  /** Adds an event to a window. */
  insert({ accumulators }: OpenWindow, timeMs: number, numbers: Float64Array, texts: readonly (string | null)[]): void {
    const readings = this.#readings;
    for (let i = 0; i < readings.length; i++) {
      const { from, place } = readings[i] as Reading;
      let value: Scalar = null;
      if (from === "text") value = texts[place] as string | null;
      else if (from === "number") {
        const number = numbers[place] as number;
        value = Math.abs(number) <= magnitudeLimit ? number : null;
      }
      (accumulators[i] as Accumulator).insert(timeMs, value);
    }
  }

  /** Adds all of `other`, whose events count as later where they are at one instant. */
  merge(into: OpenWindow, other: OpenWindow): void {
    for (let i = 0; i < into.accumulators.length; i++) {
      (into.accumulators[i] as Accumulator).merge(other.accumulators[i] as Accumulator);
    }
  }

  /** The results of a window, in the order of the aggregates. */
  results({ accumulators }: OpenWindow, into: unknown[]): void {
    for (let i = 0; i < accumulators.length; i++) {
      const result = (accumulators[i] as Accumulator).result();
      into[i] =
        (this.#readings[i] as Reading).column?.type === "boolean"
          ? booleans(this.#readings[i] as Reading, result)
          : result;
    }
  }

  newestMs({ windows }: KeyWindows): number {
    let newest = Number.NEGATIVE_INFINITY;
    for (const { closeMs } of windows) if (closeMs > newest) newest = closeMs;
    return newest;
  }

  encode(entity: KeyWindows, writer: ByteWriter): void {
    writer.f64(entity.watchedMs);
    writer.f64(entity.loggedMs);
    writer.f64(entity.loggedBytes);
    writer.u32(entity.windows.length);
    for (const { startMs, endMs, closeMs, accumulators } of entity.windows) {
      writer.f64(startMs);
      writer.f64(endMs);
      writer.f64(closeMs);
      for (const accumulator of accumulators) accumulator.write(writer);
    }
  }

  decode(key: StateKey, reader: ByteReader): KeyWindows {
    const entity = new KeyWindows(key, 0);
    entity.watchedMs = reader.f64();
    entity.loggedMs = reader.f64();
    entity.loggedBytes = reader.f64();
    for (let left = reader.u32(); left > 0; left--) {
      const startMs = reader.f64();
      const endMs = reader.f64();
      const window = this.open(startMs, endMs, reader.f64());
      for (const accumulator of window.accumulators) accumulator.read(reader);
      entity.windows.push(window);
    }
    return entity;
  }

  contentBytes({ windows }: KeyWindows): number {
    let bytes = 100;
    for (const window of windows) bytes += windowBytes(window);
    return bytes;
  }

  release(): void {}
}

/** Resident bytes of a window. */
export function windowBytes({ accumulators }: OpenWindow): number {
  let bytes = 80;
  for (const accumulator of accumulators) bytes += 8 + accumulator.bytes;
  return bytes;
}

/** Booleans are kept as 0 and 1: where the result is a value of the column, it is made one again. */
function booleans({ aggregate }: Reading, result: unknown): unknown {
  switch (aggregate.kind) {
    case "latest":
      return result === null ? null : result !== 0;
    case "first":
    case "last":
    case "top":
      return (result as readonly unknown[]).map((value) => value !== 0);
    default:
      return result;
  }
}

import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import type { RecordBatchReader } from "../log/record-batch.ts";
import type { StreamSourceNode, TableSourceNode, Value } from "../topology/graph.ts";
import { type DeadReason, deadReasonOf } from "./dead-letter.ts";

/** Event times that are believed: the same bounds in every replay, so that a dead letter stays one. */
export interface TimeBounds {
  readonly earliestMs: number;
  /** Exclusive. */
  readonly latestMs: number;
}

/** Longest key, in bytes: of a record, and of the field that rows are keyed by. */
export const keyBytesMax = 1024;

/**
 * Makes values of the records of one input topic, or says why a record is none. Everything a topology may rely on is
 * checked here, once: the key, the event time, and that numbers are numbers. One serves all records of a source; its
 * fields tell of the last one.
 */
export class InputDecoder {
  readonly #node: StreamSourceNode | TableSourceNode;
  readonly #serde: Serde<Value>;
  readonly #bounds: TimeBounds;
  readonly #timeOf: ((value: Value) => string | number | null) | null;
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #numeric: readonly string[];
  readonly #numbersOf: ((value: Value, into: Float64Array, at: number) => void) | null;
  readonly #numbers: Float64Array;
  readonly #nested: readonly string[];
  /** Event time, epoch ms; of a deletion, the record's timestamp. */
  timeMs = 0;
  /** The value of the field that rows are keyed by. */
  key: string | number = "";
  /** Whether the record deletes its key from a table; the value then holds the key alone. */
  tombstone = false;
  /** After a null: whether the record cannot be judged yet, since a schema registry has not answered. `message` says more. */
  pending = false;
  /** After another null: why. */
  reason: DeadReason = "decode";
  message = "";

  constructor(node: StreamSourceNode | TableSourceNode, serde: Serde<Value>, bounds: TimeBounds) {
    this.#node = node;
    this.#serde = serde;
    this.#bounds = bounds;
    const { shape } = node.schema;
    this.#timeOf = node.time === null ? null : shape.keyReader(node.time);
    this.#keyOf = shape.keyReader(node.key);
    const named = (type: string) => node.columns.filter((column) => column.type === type).map(({ name }) => name);
    this.#numeric = named("number");
    this.#numbersOf = this.#numeric.length === 0 ? null : shape.numberReader(this.#numeric);
    this.#numbers = new Float64Array(this.#numeric.length);
    this.#nested = named("json");
  }

  /** The value of the record that a reader stands on; null when it is none, or not to be known yet. */
  decode(reader: RecordBatchReader): Value | null {
    this.pending = false;
    if (reader.keyAt < 0) return this.#refuse("null_key", "the record has no key");
    const keyBytes = reader.keyEnd - reader.keyAt;
    if (keyBytes > keyBytesMax) return this.#refuse("limits", `the key has ${keyBytes} bytes, limit ${keyBytesMax}`);
    if (reader.valueAt < 0) return this.#deletion(reader);
    let value: Value;
    try {
      value = this.#serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
    } catch (error) {
      if (!(error instanceof KappaError)) throw error;
      if (error.code === "KAPPA_SCHEMA_PENDING") return this.#await(error.message);
      if (error.recovery !== "dead-letter") throw error;
      return this.#refuse(deadReasonOf(error, "decode"), error.message);
    }
    this.tombstone = false;
    return this.#keyed(value) && this.#finite(value) && this.#timed(this.#timeOf, value, reader) ? value : null;
  }

  #keyed(value: Value): boolean {
    const { key: field } = this.#node;
    const key = this.#keyOf(value);
    if (key === null) {
      this.#refuse("null_key", `field ${field} is null`);
      return false;
    }
    if (typeof key === "string" && key.length * 3 > keyBytesMax && Buffer.byteLength(key) > keyBytesMax) {
      this.#refuse("limits", `field ${field} has ${Buffer.byteLength(key)} bytes and is a key, limit ${keyBytesMax}`);
      return false;
    }
    this.key = key;
    return true;
  }

  #finite(value: Value): boolean {
    if (this.#numbersOf !== null) {
      const numbers = this.#numbers;
      this.#numbersOf(value, numbers, 0);
      for (let i = 0; i < numbers.length; i++) {
        const number = numbers[i] as number;
        // A number reader shows null as NaN; only then is the value itself asked.
        if (number - number !== 0 && fieldOf(value, this.#numeric[i] as string) !== null)
          return this.#notFinite(this.#numeric[i] as string, String(number));
      }
    }
    for (const name of this.#nested)
      if (!finiteWithin(fieldOf(value, name))) return this.#notFinite(name, "holding a number that is not finite");
    return true;
  }

  #notFinite(field: string, what: string): false {
    this.#refuse("not_finite", `field ${field} is ${what}`);
    return false;
  }

  #timed(timeOf: ((value: Value) => unknown) | null, value: Value, reader: RecordBatchReader): boolean {
    const time = timeOf === null ? reader.timestamp : timeOf(value);
    const { earliestMs, latestMs } = this.#bounds;
    if (Number.isInteger(time) && (time as number) >= earliestMs && (time as number) < latestMs) {
      this.timeMs = time as number;
      return true;
    }
    const what = typeof time === "string" ? "a text" : String(time);
    this.#refuse(
      "timestamp",
      `event time is ${what}, allowed are whole milliseconds from ${earliestMs} to ${latestMs}`,
    );
    return false;
  }

  /** A null value deletes a table's key; in a stream it says nothing. */
  #deletion(reader: RecordBatchReader): Value | null {
    const { kind, columns, key: field } = this.#node;
    if (kind !== "table") return this.#refuse("null_value", "the record has no value");
    const text = reader.buffer.toString("utf8", reader.keyAt, reader.keyEnd);
    const key = columns.find(({ name }) => name === field)?.type === "text" ? text : Number(text);
    if (String(key) !== text) return this.#refuse("decode", `the key of a deletion is not the text of a number`);
    this.key = key;
    this.tombstone = true;
    const value = { [field]: key };
    return this.#timed(null, value, reader) ? value : null;
  }

  #await(message: string): null {
    this.pending = true;
    this.message = message;
    return null;
  }

  #refuse(reason: DeadReason, message: string): null {
    this.reason = reason;
    this.message = message;
    return null;
  }
}

function fieldOf(value: Value, name: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[name];
}

/**
 * Arrays, maps and records travel between stages as JSON, which turns NaN into null without a word. No deeper than the
 * codec lets a value be.
 */
function finiteWithin(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(finiteWithin);
  for (const name in value) if (!finiteWithin(fieldOf(value, name))) return false;
  return true;
}

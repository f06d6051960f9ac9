import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import type { Cursor } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { StreamSourceNode, TableSourceNode, Value } from "../topology/graph.ts";
import type { DeadLetters, DeadReason } from "./dead-letter.ts";
import type { RowSource } from "./partition-group.ts";
import { Row } from "./row.ts";

/** Event times that are believed: the same bounds in every replay, so that a dead letter stays one. */
export interface TimeBounds {
  readonly earliestMs: number;
  readonly latestMs: number;
}

/** Longest record key, in bytes. */
const keyBytesMax = 1024;
const emptyValue: Value = Object.freeze({});

/**
 * One partition of an input topic as rows in offset order. Its order time is the highest event time read so far, so it
 * never falls. A record that cannot become a row is a dead letter of the same transaction as the rows around it.
 */
export class InputSource implements RowSource {
  readonly node: StreamSourceNode | TableSourceNode;
  readonly rank: number;
  readonly #cursor: Cursor;
  readonly #serde: Serde<Value>;
  readonly #dead: DeadLetters;
  readonly #bounds: TimeBounds;
  readonly #endOffset: number;
  readonly #visibleEnd: () => number;
  readonly #reader = new RecordBatchReader();
  readonly #timeOf: ((value: Value) => number | null) | null;
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #numbersOf: ((value: Value, into: Float64Array, at: number) => void) | null;
  readonly #numbers: Float64Array;
  /** Offset of the next record that the reader gives. */
  #next: number;
  #head: Row | null = null;
  #headOffset = -1;
  #taken = beginningOfTimeMs;
  spoken = 0;

  /**
   * @param endOffset where the run ends; Infinity for a run that goes on
   * @param from offset and order time to continue at
   */
  constructor(
    node: StreamSourceNode | TableSourceNode,
    cursor: Cursor,
    serde: Serde<Value>,
    dead: DeadLetters,
    bounds: TimeBounds,
    endOffset: number,
    visibleEnd: () => number,
    from: { readonly offset: number; readonly orderTimeMs: number },
  ) {
    this.node = node;
    this.rank = node.kind === "table" ? 1 : node.rank;
    this.#cursor = cursor;
    this.#serde = serde;
    this.#dead = dead;
    this.#bounds = bounds;
    this.#endOffset = endOffset;
    this.#visibleEnd = visibleEnd;
    this.#next = from.offset;
    this.#taken = from.orderTimeMs;
    const { shape } = node.schema;
    const time = node.time === null ? null : shape.keyReader(node.time);
    this.#timeOf = time as ((value: Value) => number | null) | null;
    this.#keyOf = shape.keyReader(node.key);
    const numbers = node.columns.filter((column) => column.type === "number").map((column) => column.name);
    this.#numbersOf = numbers.length === 0 ? null : shape.numberReader(numbers);
    this.#numbers = new Float64Array(numbers.length);
  }

  get ready(): boolean {
    return this.#head !== null;
  }

  get orderTimeMs(): number {
    return this.#head === null ? this.#taken : this.#head.orderTimeMs;
  }

  get sequence(): number {
    return this.#headOffset;
  }

  get caughtUp(): boolean {
    if (this.#head !== null) return false;
    return this.#next >= this.#endOffset || (this.#endOffset === Number.POSITIVE_INFINITY && this.#cursor.caughtUp());
  }

  /** Offset up to which every record is a taken row or a dead letter. */
  get position(): number {
    return this.#head === null ? this.#next : this.#headOffset;
  }

  /** Order time of what was taken, as a commit record keeps it. */
  get takenOrderTimeMs(): number {
    return this.#taken;
  }

  /** Records that are visible and not taken. */
  get lag(): number {
    return Math.max(0, Math.min(this.#visibleEnd(), this.#endOffset) - this.position);
  }

  take(): Row {
    const row = this.#head as Row;
    this.#taken = row.orderTimeMs;
    this.#head = null;
    this.#advance();
    return row;
  }

  refresh(): void {
    if (this.#head === null) this.#advance();
  }

  #advance(): void {
    while (this.#next < this.#endOffset) {
      while (!this.#reader.next()) {
        const batch = this.#cursor.next();
        if (batch === undefined) return;
        this.#reader.reset(batch.bytes);
        this.#next = Number(batch.baseOffset);
        if (this.#next >= this.#endOffset) return;
      }
      const offset = this.#next++;
      const row = this.#decode(offset);
      if (row === null) continue;
      this.#head = row;
      this.#headOffset = offset;
      this.spoken++;
      return;
    }
  }

  /** The row of the reader's current record, or null when it became a dead letter. */
  #decode(offset: number): Row | null {
    const reader = this.#reader;
    if (reader.keyAt < 0) return this.#bury(offset, "null_key", "the record has no key");
    if (reader.keyEnd - reader.keyAt > keyBytesMax) {
      return this.#bury(offset, "limits", `the key has ${reader.keyEnd - reader.keyAt} bytes, limit ${keyBytesMax}`);
    }
    if (reader.valueAt < 0) return this.#tombstone(offset);
    let value: Value;
    try {
      value = this.#serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
    } catch (error) {
      if (!(error instanceof KappaError) || error.recovery !== "dead-letter") throw error;
      return this.#bury(offset, reasonOf(error), error.message);
    }
    return this.#check(offset, value);
  }

  #check(offset: number, value: Value): Row | null {
    if (this.#keyOf(value) === null) return this.#bury(offset, "null_key", `field "${this.node.key}" is null`);
    if (this.#numbersOf !== null) {
      this.#numbersOf(value, this.#numbers, 0);
      for (let i = 0; i < this.#numbers.length; i++) {
        const number = this.#numbers[i] as number;
        if (number - number !== 0 && !this.#isNull(value, i)) {
          return this.#bury(offset, "not_finite", `a number of the value is ${number}`);
        }
      }
    }
    const timeMs = this.#timeOf === null ? this.#reader.timestamp : this.#timeOf(value);
    if (timeMs === null || !(timeMs >= this.#bounds.earliestMs && timeMs < this.#bounds.latestMs)) {
      return this.#bury(
        offset,
        "timestamp",
        `event time ${timeMs} is outside ${this.#bounds.earliestMs}..${this.#bounds.latestMs}`,
      );
    }
    return this.#row(value, timeMs, offset);
  }

  /** A number reader shows null as NaN; only then is the value itself asked. */
  #isNull(value: Value, index: number): boolean {
    const column = this.node.columns.filter(({ type }) => type === "number")[index];
    return column !== undefined && (value as Record<string, unknown>)[column.name] === null;
  }

  /** A null value deletes a table's key; in a stream it says nothing. */
  #tombstone(offset: number): Row | null {
    if (this.node.kind !== "table") return this.#bury(offset, "null_value", "the record has no value");
    const reader = this.#reader;
    const row = this.#row(emptyValue, reader.timestamp, offset);
    const text = reader.buffer.toString("utf8", reader.keyAt, reader.keyEnd);
    const column = this.node.columns.find(({ name }) => name === this.node.key);
    row.value = { [this.node.key]: column?.type === "text" ? text : Number(text) };
    row.tombstone = true;
    return row;
  }

  #row(value: Value, timeMs: number, offset: number): Row {
    const orderTimeMs = Math.max(timeMs, this.#taken);
    return new Row(value, timeMs, orderTimeMs, this.rank, this.node.id, offset);
  }

  #bury(offset: number, reason: DeadReason, message: string): null {
    this.#dead.bury(this.#reader, {
      topic: this.node.topic,
      partition: this.#cursor.partition,
      offset,
      stage: this.node.name,
      reason,
      message,
    });
    return null;
  }

  close(): void {
    this.#cursor.close();
  }
}

function reasonOf(error: KappaError): DeadReason {
  const { reason } = error.context;
  switch (reason) {
    case "schema_unknown":
    case "schema_incompatible":
    case "limits":
      return reason;
    default:
      return error.code === "KAPPA_SCHEMA_UNKNOWN" ? "schema_unknown" : "decode";
  }
}

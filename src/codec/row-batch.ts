import { InvariantError } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import type { EventTimeMs } from "../core/time.ts";
import type { Column } from "./column.ts";
import { headerLength, type RowDecode, type RowEncode, RowLayout, rowHeaderLength, version } from "./row-layout.ts";
import { TextSink, TextSource } from "./text-bytes.ts";

/** What the writer of a batch says about its source, beside the rows. */
export interface RowBatchHeader {
  /** The task that wrote the rows: an int32. */
  readonly source: number;
  /** Nothing that sorts before (frontierTimeMs, frontierRank) follows. */
  readonly frontierTimeMs: EventTimeMs;
  /** 0 to 2. */
  readonly frontierRank: number;
  /** Whether the source had read everything there was. */
  readonly caughtUp: boolean;
}

const lateBit = 4;

/** Encodes rows of one layout, batch after batch, into one buffer that grows to the largest of them. */
export class RowBatchWriter {
  readonly #layout: RowLayout;
  readonly #encode: RowEncode;
  readonly #sink = new TextSink(16_384, headerLength);
  #count = 0;
  #lastSequence = Number.NEGATIVE_INFINITY;

  /** @throws KAPPA_SCHEMA_INVALID as `checkColumns` */
  constructor(columns: readonly Column[]) {
    this.#layout = new RowLayout(columns);
    this.#encode = this.#layout.encoder();
  }

  /** Rows added since the last `take`. */
  get count(): number {
    return this.#count;
  }

  /** Bytes the batch takes so far, its header included: what a caller bounds a record by. */
  get byteLength(): number {
    return this.#sink.at;
  }

  /**
   * @param value has every column by name; absent is null
   * @param rank 0 to 2
   * @param sequence a safe integer, above that of the row before
   * @param timeMs the event's own time, which is at most `orderTimeMs`
   * @throws KAPPA_RECORD_INVALID naming the column when a value has another type; the batch stays as it was
   */
  add(
    value: object,
    orderTimeMs: EventTimeMs,
    rank: number,
    sequence: number,
    timeMs: EventTimeMs,
    late: boolean,
  ): void {
    if (!(sequence > this.#lastSequence)) outOfOrder(sequence, this.#lastSequence);
    const sink = this.#sink;
    const at = sink.at;
    sink.reserve(this.#layout.fixedLength);
    sink.at = at + this.#layout.fixedLength;
    try {
      this.#encode(value, sink, at);
    } catch (error) {
      sink.at = at;
      throw error;
    }
    const view = sink.view;
    view.setUint32(at, sink.at - at, true);
    view.setUint8(at + 4, late ? rank | lateBit : rank);
    view.setFloat64(at + 5, orderTimeMs, true);
    view.setFloat64(at + 13, sequence, true);
    view.setFloat64(at + 21, timeMs, true);
    this.#lastSequence = sequence;
    this.#count++;
  }

  /** The batch, possibly of 0 rows. The bytes are overwritten by the next `add`: copy them, or write them out, first. */
  take(header: RowBatchHeader): Buffer {
    const { view, bytes, at } = this.#sink;
    view.setUint8(0, version);
    view.setUint8(1, header.caughtUp ? 1 : 0);
    view.setUint8(2, header.frontierRank);
    view.setUint8(3, 0);
    view.setUint32(4, this.#layout.hash, true);
    view.setUint32(8, this.#count, true);
    view.setInt32(12, header.source, true);
    view.setFloat64(16, header.frontierTimeMs, true);
    this.#sink.at = headerLength;
    this.#count = 0;
    this.#lastSequence = Number.NEGATIVE_INFINITY;
    return bytes.subarray(0, at);
  }
}

/** Walks a batch: after `next()` returned true the fields tell of the current row. Serves any number of batches. */
export class RowBatchReader {
  readonly #layout: RowLayout;
  readonly #decode: RowDecode;
  readonly #texts = new TextSource();
  #left = 0;
  #at = 0;
  #next = 0;

  /** Rows in the batch. */
  count = 0;
  source = 0;
  frontierTimeMs: EventTimeMs = 0;
  frontierRank = 0;
  caughtUp = false;

  orderTimeMs: EventTimeMs = 0;
  rank = 0;
  sequence = 0;
  timeMs: EventTimeMs = 0;
  late = false;

  /** @throws KAPPA_SCHEMA_INVALID as `checkColumns` */
  constructor(columns: readonly Column[]) {
    this.#layout = new RowLayout(columns);
    this.#decode = this.#layout.decoder();
  }

  /**
   * Reads the header and stands before the first row. `bytes` are read from until the next `reset`.
   * @throws KAPPA_STATE_INCOMPATIBLE for rows of other columns, KAPPA_LOG_CORRUPT for bytes that are no batch
   */
  reset(bytes: Buffer): void {
    if (bytes.length < headerLength) corrupt(`is ${bytes.length} bytes, its header alone takes ${headerLength}`);
    if (bytes[0] !== version) corrupt(`has version ${bytes[0]}, this release reads ${version}`);
    this.#texts.reset(bytes);
    const view = this.#texts.view;
    const hash = view.getUint32(4, true);
    if (hash !== this.#layout.hash) {
      const message = `rows of other columns (hash ${hash}, declared ${this.#layout.hash}): run the new topology under a new application id`;
      throw new KappaError("KAPPA_STATE_INCOMPATIBLE", message, { found: hash, declared: this.#layout.hash });
    }
    this.caughtUp = bytes[1] === 1;
    this.frontierRank = view.getUint8(2);
    this.count = view.getUint32(8, true);
    this.source = view.getInt32(12, true);
    this.frontierTimeMs = view.getFloat64(16, true);
    this.#left = this.count;
    this.#next = headerLength;
  }

  next(): boolean {
    const view = this.#texts.view;
    const at = this.#next;
    if (this.#left === 0) {
      if (at !== view.byteLength) corrupt(`ends at byte ${at} of ${view.byteLength}`);
      return false;
    }
    if (at + this.#layout.fixedLength > view.byteLength) corrupt(`is cut at byte ${view.byteLength}`);
    const length = view.getUint32(at, true);
    if (length < this.#layout.fixedLength || at + length > view.byteLength)
      corrupt(`has a row of ${length} bytes at ${at}`);
    const bits = view.getUint8(at + 4);
    this.late = (bits & lateBit) !== 0;
    this.rank = bits & 3;
    this.orderTimeMs = view.getFloat64(at + 5, true);
    this.sequence = view.getFloat64(at + 13, true);
    this.timeMs = view.getFloat64(at + 21, true);
    this.#at = at + rowHeaderLength;
    this.#next = at + length;
    this.#left--;
    return true;
  }

  /** Bytes of the current row. */
  get rowBytes(): number {
    return this.#next - this.#at + rowHeaderLength;
  }

  /** The current row's value: a new object of the columns' hidden class at every call. */
  value(): object {
    return this.#decode(this.#texts, this.#at);
  }
}

function outOfOrder(sequence: number, last: number): never {
  throw new InvariantError(`invariant broken: row ${sequence} added after row ${last}`);
}

function corrupt(what: string): never {
  throw new KappaError("KAPPA_LOG_CORRUPT", `row batch ${what}`);
}

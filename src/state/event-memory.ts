import { assert } from "../core/assert.ts";
import { Arena } from "./arena.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { EventChunk, type EventRows, ReservoirEntity } from "./reservoir-entity.ts";
import type { ReservoirPlan } from "./reservoir-plan.ts";
import type { StateKey } from "./state-key.ts";

/** Rows that the newest chunk has room for, step by step: most keys have few events. */
const capacities = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96];

/** Hears of memory that an entity took or gave back. */
export type Resized = (entity: ReservoirEntity, byBytes: number) => void;

/** Resident bytes of a chunk's object and its place in the map of those in memory. */
const chunkObjectBytes = 160;

/**
 * Where events lie in memory, and how they move there: rows in blocks of an arena, texts in arrays beside them. Knows
 * single chunks, not their order.
 */
export class EventMemory {
  readonly #arena: Arena;
  readonly #plan: ReservoirPlan;
  readonly #resized: Resized;

  constructor(arena: Arena, plan: ReservoirPlan, resized: Resized) {
    this.#arena = arena;
    this.#plan = plan;
    this.#resized = resized;
  }

  /** A new entity without events; its cells are zero. */
  create(key: StateKey, capacity = 1): ReservoirEntity {
    const { cellCount, stride, textCount } = this.#plan;
    const block = this.#arena.allocate(cellCount + capacity * stride);
    const page = this.page(block);
    const at = block & Arena.pageMask;
    page.fill(0, at, at + cellCount);
    return new ReservoirEntity(key, block + cellCount, textCount > 0 ? [] : null);
  }

  /** A new entity with the rows that `writeRows` wrote; its cells are undefined. */
  createFrom(key: StateKey, reader: ByteReader): ReservoirEntity {
    const count = reader.buffer.readUInt16LE(reader.at);
    const entity = this.create(key, this.#capacity(count));
    this.readRows(entity, reader);
    return entity;
  }

  /** Rows to make room for when `count` are needed. */
  #capacity(count: number): number {
    const { chunkRows } = this.#plan;
    return capacities.find((rows) => rows >= count && rows < chunkRows) ?? chunkRows;
  }

  bytesAt(address: number): Buffer {
    return this.#arena.bytes[address >>> Arena.pageShift] as Buffer;
  }

  /** The doubles that an entity's cells and rows lie in. */
  cells(entity: ReservoirEntity): Float64Array {
    return this.page(entity.rowsAt);
  }

  /** Index of an entity's first cell in `cells`. */
  cellsAt(entity: ReservoirEntity): number {
    return (entity.rowsAt & Arena.pageMask) - this.#plan.cellCount;
  }

  page(address: number): Float64Array {
    return this.#arena.pages[address >>> Arena.pageShift] as Float64Array;
  }

  timeAt(rows: EventRows, offset: number): number {
    const address = rows.rowsAt + offset * this.#plan.stride;
    return this.page(address)[address & Arena.pageMask] as number;
  }

  newChunk(id: number, previous: number, next: number): EventChunk {
    const { chunkRows, stride, textCount } = this.#plan;
    return new EventChunk(id, previous, next, this.#arena.allocate(chunkRows * stride), textCount > 0 ? [] : null);
  }

  /** Resident bytes of a chunk without its texts. */
  chunkBytes(chunk: EventChunk): number {
    return chunkObjectBytes + this.#arena.sizeOf(chunk.rowsAt) * 8;
  }

  releaseChunk(chunk: EventChunk): void {
    this.#arena.release(chunk.rowsAt);
  }

  releaseEntity(entity: ReservoirEntity): void {
    this.#arena.release(entity.rowsAt - this.#plan.cellCount);
  }

  /** | rows u16 | rows as in memory | texts | */
  writeRows(rows: EventRows, writer: ByteWriter): void {
    const index = (rows.rowsAt & Arena.pageMask) * 8;
    writer.u16(rows.count);
    writer.raw(this.bytesAt(rows.rowsAt), index, index + rows.count * this.#plan.stride * 8);
    if (rows.texts === null) return;
    for (const text of rows.texts) writer.text(text);
  }

  readRows(rows: EventRows, reader: ByteReader): void {
    const { stride, textCount, chunkRows } = this.#plan;
    rows.count = reader.u16();
    assert(rows.count <= chunkRows, () => `a chunk of ${rows.count} events was stored, limit ${chunkRows}`);
    const bytes = rows.count * stride * 8;
    reader.buffer.copy(this.bytesAt(rows.rowsAt), (rows.rowsAt & Arena.pageMask) * 8, reader.at, reader.at + bytes);
    reader.at += bytes;
    if (rows.texts === null) return;
    for (let i = 0; i < rows.count * textCount; i++) rows.texts.push(reader.text());
  }

  /** Resident bytes of the entity's block and texts; of its chunks `resized` tells. */
  blockBytes(entity: ReservoirEntity): number {
    return this.#arena.sizeOf(entity.rowsAt - this.#plan.cellCount) * 8 + textBytes(entity.texts);
  }

  /** Puts an event among rows that have room for it; its numbers are the caller's to write. */
  insertRow(
    entity: ReservoirEntity,
    rows: EventRows,
    offset: number,
    timeMs: number,
    texts: readonly (string | null)[],
  ): void {
    const { stride, textCount } = this.#plan;
    const address = rows.rowsAt + offset * stride;
    const page = this.page(address);
    const index = address & Arena.pageMask;
    if (offset < rows.count) page.copyWithin(index + stride, index, index + (rows.count - offset) * stride);
    page[index] = timeMs;
    if (rows.texts !== null) this.#insertTexts(entity, rows.texts, offset * textCount, texts);
    rows.count++;
  }

  #insertTexts(entity: ReservoirEntity, into: (string | null)[], at: number, texts: readonly (string | null)[]): void {
    const count = this.#plan.textCount;
    let bytes = 0;
    for (let i = into.length - 1; i >= at; i--) into[i + count] = into[i] as string | null;
    for (let i = 0; i < count; i++) {
      const text = texts[i] as string | null;
      into[at + i] = text;
      bytes += text === null ? 8 : 32 + text.length;
    }
    this.#resized(entity, bytes);
  }

  /** Takes rows [from, to) out; those behind them move up. */
  eraseRows(entity: ReservoirEntity, rows: EventRows, from: number, to: number): void {
    const { stride, textCount } = this.#plan;
    const index = rows.rowsAt & Arena.pageMask;
    this.page(rows.rowsAt).copyWithin(index + from * stride, index + to * stride, index + rows.count * stride);
    if (rows.texts !== null) {
      const gone = rows.texts.splice(from * textCount, (to - from) * textCount);
      this.#resized(entity, -textBytes(gone));
    }
    rows.count -= to - from;
  }

  /** Whether the entity's own rows have no room for one more. */
  full(entity: ReservoirEntity): boolean {
    const { cellCount, stride } = this.#plan;
    return cellCount + (entity.count + 1) * stride > this.#arena.sizeOf(entity.rowsAt - cellCount);
  }

  /** Gives the entity's own rows room for one more, and a little. */
  grow(entity: ReservoirEntity): void {
    const { cellCount, stride } = this.#plan;
    const from = entity.rowsAt - cellCount;
    const to = this.#arena.allocate(cellCount + this.#capacity(entity.count + 1) * stride);
    const source = from & Arena.pageMask;
    const used = cellCount + entity.count * stride;
    this.page(to).set(this.page(from).subarray(source, source + used), to & Arena.pageMask);
    this.#resized(entity, (this.#arena.sizeOf(to) - this.#arena.sizeOf(from)) * 8);
    this.#arena.release(from);
    entity.rowsAt = to + cellCount;
  }

  /** Moves the rows from `from` on to the start of `target`, which is empty or the source itself. */
  moveEnd(source: EventRows, from: number, target: EventRows): void {
    this.#copyRows(source, from, source.count, target);
    const count = source.count - from;
    const texts = source.texts?.slice(from * this.#plan.textCount) ?? null;
    if (source.texts !== null) source.texts.length = from * this.#plan.textCount;
    source.count = from;
    target.texts = texts;
    target.count = count;
  }

  /** Moves the rows before `to` to `target`, which is empty; those behind them move to the front. */
  moveStart(source: EventRows, to: number, target: EventRows): void {
    this.#copyRows(source, 0, to, target);
    target.texts = source.texts?.slice(0, to * this.#plan.textCount) ?? null;
    target.count = to;
    this.moveEnd(source, to, source);
  }

  #copyRows(source: EventRows, from: number, to: number, target: EventRows): void {
    const { stride } = this.#plan;
    const index = (source.rowsAt & Arena.pageMask) + from * stride;
    const rows = this.page(source.rowsAt).subarray(index, index + (to - from) * stride);
    this.page(target.rowsAt).set(rows, target.rowsAt & Arena.pageMask);
  }
}

/** Resident bytes of texts: a place in an array each, and of those that are not null a header and their characters. */
export function textBytes(texts: (string | null)[] | null): number {
  if (texts === null) return 0;
  let bytes = 0;
  for (const text of texts) bytes += text === null ? 8 : 32 + text.length;
  return bytes;
}

import { assert } from "../core/assert.ts";
import { Arena } from "./arena.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { entityFlags } from "./entity-store.ts";
import { type Chain, EventChunk, type EventRows, extraOf, noChunk, ReservoirEntity } from "./reservoir-entity.ts";
import type { ReservoirPlan } from "./reservoir-plan.ts";

/** Rows that the newest chunk has room for, step by step: most keys have few events. */
const capacities = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96];

/** A position is `chunk id * 256 + offset`, so that one double says it. */
const positionBase = 256;

/** Chunks an entity keeps in memory beyond those its windows stand in. */
const idleChunks = 2;

/** Reads an entity's chunk from disk, and hears of memory that was taken or given back. */
export interface ChunkSource {
  readChunk(entity: ReservoirEntity, id: number): ByteReader;
  resized(entity: ReservoirEntity, byBytes: number): void;
  /** The events in front of `offset` are about to leave memory for good. */
  leaving(entity: ReservoirEntity, rows: EventRows, offset: number): void;
}

/**
 * The events of an entity as one sequence in event-time order, wherever they lie: in the entity's own rows, in chunks
 * in memory, or in chunks on disk, which are read when a window's end enters them.
 *
 * Positions lie between events. The one behind a chunk's last event is written as the start of the next chunk, so that
 * equal positions are equal numbers.
 */
export class EventSequence {
  readonly #arena: Arena;
  readonly #plan: ReservoirPlan;
  readonly #source: ChunkSource;

  constructor(arena: Arena, plan: ReservoirPlan, source: ChunkSource) {
    this.#arena = arena;
    this.#plan = plan;
    this.#source = source;
  }

  /** A new entity without events; its cells are zero. */
  create(key: string | number, capacity = 1): ReservoirEntity {
    const { cellCount, stride, textCount } = this.#plan;
    const block = this.#arena.allocate(cellCount + capacity * stride);
    const page = this.page(block);
    const at = block & Arena.pageMask;
    page.fill(0, at, at + cellCount);
    return new ReservoirEntity(key, block + cellCount, textCount > 0 ? [] : null);
  }

  /** A new entity with the rows that `writeRows` wrote; its cells are undefined. */
  createFrom(key: string | number, reader: ByteReader): ReservoirEntity {
    const count = reader.buffer.readUInt16LE(reader.at);
    const entity = this.create(key, this.#capacity(count));
    this.#readRows(entity, reader);
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

  page(address: number): Float64Array {
    return this.#arena.pages[address >>> Arena.pageShift] as Float64Array;
  }

  idOf(entity: ReservoirEntity, rows: EventRows): number {
    if (rows !== entity) return (rows as EventChunk).id;
    const chain = entity.extra === null ? null : entity.extra.chain;
    return chain === null ? 0 : chain.headId;
  }

  /** The chunk a position is in. */
  rowsAt(entity: ReservoirEntity, position: number): EventRows {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null) return entity;
    return this.#chunk(entity, chain, Math.floor(position / positionBase));
  }

  offsetAt(position: number): number {
    return position % positionBase;
  }

  /** The position before the event at `offset`, or behind the last one. */
  position(entity: ReservoirEntity, rows: EventRows, offset: number): number {
    if (rows !== entity && offset === rows.count) return (rows as EventChunk).next * positionBase;
    return this.idOf(entity, rows) * positionBase + offset;
  }

  /** The position before every event that is held. */
  start(entity: ReservoirEntity): number {
    const chain = entity.extra === null ? null : entity.extra.chain;
    return chain === null ? 0 : chain.oldestId * positionBase;
  }

  after(entity: ReservoirEntity, rows: EventRows): EventRows | null {
    if (rows === entity) return null;
    const chain = (entity.extra as { chain: Chain }).chain;
    return this.#chunk(entity, chain, (rows as EventChunk).next);
  }

  before(entity: ReservoirEntity, rows: EventRows): EventRows | null {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null || this.idOf(entity, rows) === chain.oldestId) return null;
    return this.#chunk(entity, chain, rows === entity ? chain.previousId : (rows as EventChunk).previous);
  }

  timeAt(rows: EventRows, offset: number): number {
    const address = rows.rowsAt + offset * this.#plan.stride;
    return this.page(address)[address & Arena.pageMask] as number;
  }

  /** Ids of all chunks but the newest, oldest first. Reads them all. */
  *chunkIds(entity: ReservoirEntity): Generator<number> {
    let rows = this.rowsAt(entity, this.start(entity));
    while (rows !== entity) {
      yield (rows as EventChunk).id;
      rows = this.after(entity, rows) as EventRows;
      this.unloadIdle(entity, rows);
    }
  }

  /** The position of the first event at or after `timeMs`, or behind the last one. */
  find(entity: ReservoirEntity, timeMs: number): number {
    let rows = this.#nearest(entity, timeMs);
    for (;;) {
      const before: EventRows | null =
        rows.count > 0 && this.timeAt(rows, 0) < timeMs ? null : this.before(entity, rows);
      if (before === null) break;
      rows = before;
      this.unloadIdle(entity, rows);
    }
    while (rows !== entity && this.timeAt(rows, rows.count - 1) < timeMs) {
      rows = this.after(entity, rows) as EventRows;
      this.unloadIdle(entity, rows);
    }
    let low = 0;
    let high = rows.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.timeAt(rows, middle) < timeMs) low = middle + 1;
      else high = middle;
    }
    return this.position(entity, rows, low);
  }

  /** The chunk in memory whose beginning is nearest to a time: windows stand where labels usually point. */
  #nearest(entity: ReservoirEntity, timeMs: number): EventRows {
    let nearest: EventRows = entity;
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null) return nearest;
    let distance = entity.count > 0 ? Math.abs(this.timeAt(entity, 0) - timeMs) : Number.POSITIVE_INFINITY;
    for (const chunk of chain.loaded.values()) {
      const other = Math.abs(this.timeAt(chunk, 0) - timeMs);
      if (other < distance) {
        distance = other;
        nearest = chunk;
      }
    }
    return nearest;
  }

  /** Notes that an event changed in place. */
  touched(entity: ReservoirEntity, rows: EventRows): void {
    if (rows !== entity) (rows as EventChunk).dirty = true;
  }

  /** Event time of the newest event. */
  newestMs(entity: ReservoirEntity): number {
    if (entity.count > 0) return this.timeAt(entity, entity.count - 1);
    const rows = this.before(entity, entity);
    assert(rows !== null, () => "an entity without events has no newest one");
    return this.timeAt(rows, rows.count - 1);
  }

  #chunk(entity: ReservoirEntity, chain: Chain, id: number): EventRows {
    if (id === chain.headId) return entity;
    return chain.loaded.get(id) ?? this.#load(entity, chain, id);
  }

  /** Chunk on disk: | previous u32 | next u32 | rows u16 | rows as in memory | texts |. */
  #load(entity: ReservoirEntity, chain: Chain, id: number): EventChunk {
    const reader = this.#source.readChunk(entity, id);
    const chunk = this.#newChunk(id, reader.u32(), reader.u32());
    this.#readRows(chunk, reader);
    chunk.dirty = false;
    chain.loaded.set(id, chunk);
    this.#source.resized(entity, this.#chunkBytes(chunk) + textBytes(chunk.texts));
    return chunk;
  }

  #newChunk(id: number, previous: number, next: number): EventChunk {
    const { chunkRows, stride, textCount } = this.#plan;
    return new EventChunk(id, previous, next, this.#arena.allocate(chunkRows * stride), textCount > 0 ? [] : null);
  }

  /** | rows u16 | rows as in memory | texts | */
  writeRows(rows: EventRows, writer: ByteWriter): void {
    const index = (rows.rowsAt & Arena.pageMask) * 8;
    writer.u16(rows.count);
    writer.raw(this.bytesAt(rows.rowsAt), index, index + rows.count * this.#plan.stride * 8);
    if (rows.texts === null) return;
    for (const text of rows.texts) writer.text(text);
  }

  #readRows(rows: EventRows, reader: ByteReader): void {
    const { stride, textCount } = this.#plan;
    rows.count = reader.u16();
    const bytes = rows.count * stride * 8;
    reader.buffer.copy(this.bytesAt(rows.rowsAt), (rows.rowsAt & Arena.pageMask) * 8, reader.at, reader.at + bytes);
    reader.at += bytes;
    if (rows.texts === null) return;
    for (let i = 0; i < rows.count * textCount; i++) rows.texts.push(reader.text());
  }

  #chunkBytes(chunk: EventChunk): number {
    return 112 + this.#arena.sizeOf(chunk.rowsAt) * 8;
  }

  /** Resident bytes of the entity's block and texts; of its chunks `resized` tells. */
  blockBytes(entity: ReservoirEntity): number {
    return this.#arena.sizeOf(entity.rowsAt - this.#plan.cellCount) * 8 + textBytes(entity.texts);
  }

  /**
   * Makes room for an event at a position, moving those behind it; its numbers are the caller's to write.
   * @param texts of the event
   * @returns the position it now has
   */
  insert(entity: ReservoirEntity, position: number, timeMs: number, texts: readonly (string | null)[]): number {
    let at = position;
    let rows = this.rowsAt(entity, at);
    const { chunkRows, stride, textCount } = this.#plan;
    if (rows.count === chunkRows) {
      at = this.#split(entity, rows, at);
      rows = this.rowsAt(entity, at);
    } else if (rows === entity) {
      this.#reserve(entity);
    }
    const offset = at % positionBase;
    const address = rows.rowsAt + offset * stride;
    const page = this.page(address);
    const index = address & Arena.pageMask;
    if (offset < rows.count) page.copyWithin(index + stride, index, index + (rows.count - offset) * stride);
    page[index] = timeMs;
    if (rows.texts !== null) this.#insertTexts(entity, rows.texts, offset * textCount, texts);
    rows.count++;
    if (rows !== entity) (rows as EventChunk).dirty = true;
    return at;
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
    this.#source.resized(entity, bytes);
  }

  /**
   * Takes out the event that was inserted last. No position may be behind it in its chunk; as positions are never at the
   * end of a chunk but the newest, it was not put at one, and its chunk does not end with it.
   */
  erase(entity: ReservoirEntity, position: number): void {
    const rows = this.rowsAt(entity, position);
    const offset = position % positionBase;
    const { stride, textCount } = this.#plan;
    const address = rows.rowsAt + offset * stride;
    const index = address & Arena.pageMask;
    this.page(address).copyWithin(index, index + stride, index + (rows.count - offset) * stride);
    this.#dropTexts(entity, rows, offset * textCount, textCount);
    rows.count--;
    this.touched(entity, rows);
  }

  /** Lets the entity's own rows grow by one step if they are full. */
  #reserve(entity: ReservoirEntity): void {
    const { cellCount, stride } = this.#plan;
    const block = entity.rowsAt - cellCount;
    const size = this.#arena.sizeOf(block);
    if (cellCount + (entity.count + 1) * stride <= size) return;
    this.#moveBlock(entity, this.#capacity(entity.count + 1));
  }

  #moveBlock(entity: ReservoirEntity, capacity: number): void {
    const { cellCount, stride } = this.#plan;
    const from = entity.rowsAt - cellCount;
    const to = this.#arena.allocate(cellCount + capacity * stride);
    const source = from & Arena.pageMask;
    const used = cellCount + entity.count * stride;
    this.page(to).set(this.page(from).subarray(source, source + used), to & Arena.pageMask);
    this.#source.resized(entity, (this.#arena.sizeOf(to) - this.#arena.sizeOf(from)) * 8);
    this.#arena.release(from);
    entity.rowsAt = to + cellCount;
  }

  /**
   * Cuts a full chunk in two: at its end when the event comes behind everything, so that chunks of a key that only
   * moves forward are full; in the middle otherwise.
   * @returns the position after the cut
   */
  #split(entity: ReservoirEntity, rows: EventRows, position: number): number {
    const chain = this.#chainOf(entity);
    const id = this.idOf(entity, rows);
    const offset = position % positionBase;
    const at = rows === entity && offset === rows.count ? rows.count : rows.count >> 1;
    const newId = chain.nextId++;
    assert(newId < noChunk, () => "an entity has had 2^32 chunks");
    if (rows === entity) {
      const older = this.#newChunk(id, chain.previousId, newId);
      this.#moveRows(entity, 0, at, older);
      this.#moveRows(entity, at, entity.count, entity);
      entity.count -= at;
      chain.loaded.set(id, older);
      chain.headId = newId;
      chain.previousId = id;
      if (chain.oldestId === id) chain.oldestNewestMs = this.timeAt(older, older.count - 1);
      this.#source.resized(entity, this.#chunkBytes(older));
    } else {
      const older = rows as EventChunk;
      const newer = this.#newChunk(newId, id, older.next);
      this.#moveRows(older, at, older.count, newer);
      older.count = at;
      older.dirty = true;
      const next = this.after(entity, older) as EventRows;
      if (next === entity) chain.previousId = newId;
      else this.#relink(next as EventChunk, newId);
      older.next = newId;
      chain.loaded.set(newId, newer);
      if (chain.oldestId === id) chain.oldestNewestMs = this.timeAt(older, older.count - 1);
      this.#source.resized(entity, this.#chunkBytes(newer));
    }
    return this.#movePositions(entity, id, at, newId, position);
  }

  #relink(chunk: EventChunk, previous: number): void {
    chunk.previous = previous;
    chunk.dirty = true;
  }

  #chainOf(entity: ReservoirEntity): Chain {
    const extra = extraOf(entity);
    if (extra.chain === null) {
      const ids = { headId: 0, previousId: noChunk, oldestId: 0, nextId: 1 };
      extra.chain = { ...ids, oldestNewestMs: Number.POSITIVE_INFINITY, loaded: new Map(), deleted: [] };
      this.#source.resized(entity, 400);
    }
    return extra.chain;
  }

  /** Moves rows [from, to) to the start of `target`; counts of the source are the caller's. */
  #moveRows(source: EventRows, from: number, to: number, target: EventRows): void {
    const { stride, textCount } = this.#plan;
    const start = source.rowsAt + from * stride;
    const index = start & Arena.pageMask;
    const moved = this.page(start).subarray(index, index + (to - from) * stride);
    this.page(target.rowsAt).set(moved, target.rowsAt & Arena.pageMask);
    if (target !== source) target.count = to - from;
    if (source.texts === null) return;
    const texts = source.texts.slice(from * textCount, to * textCount);
    if (target !== source) source.texts.length = from === 0 ? source.texts.length : from * textCount;
    target.texts = texts;
  }

  /** Positions at or behind `at` in chunk `id` are in chunk `newId` now. @returns where `position` is */
  #movePositions(entity: ReservoirEntity, id: number, at: number, newId: number, position: number): number {
    const cells = this.page(entity.rowsAt);
    const base = (entity.rowsAt & Arena.pageMask) - this.#plan.cellCount;
    const first = id * positionBase + at;
    const end = (id + 1) * positionBase;
    const by = newId * positionBase - first;
    for (const cell of this.#plan.positionCells) {
      const old = cells[base + cell] as number;
      if (old >= first && old < end) cells[base + cell] = old + by;
    }
    return position >= first && position < end ? position + by : position;
  }

  /**
   * Drops events from the front that are at or before `floorMs` and behind which every window stands: whole chunks,
   * and, when the entity's own rows are full, single ones.
   */
  dropUntil(entity: ReservoirEntity, floorMs: number): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain !== null) {
      while (chain.oldestId !== chain.headId && chain.oldestNewestMs <= floorMs) {
        if (this.#occupied(entity, chain.oldestId)) return;
        this.#dropOldest(entity, chain);
      }
      if (chain.oldestId !== chain.headId) return;
    }
    const size = this.#arena.sizeOf(entity.rowsAt - this.#plan.cellCount);
    if (this.#plan.cellCount + (entity.count + 1) * this.#plan.stride > size) this.#dropRows(entity, floorMs);
  }

  #dropRows(entity: ReservoirEntity, floorMs: number): void {
    const { stride, textCount, cellCount, positionCells } = this.#plan;
    const page = this.page(entity.rowsAt);
    const index = entity.rowsAt & Arena.pageMask;
    const headBase = this.idOf(entity, entity) * positionBase;
    let dropped = 0;
    while (dropped < entity.count && (page[index + dropped * stride] as number) <= floorMs) dropped++;
    for (const cell of positionCells)
      dropped = Math.min(dropped, (page[index - cellCount + cell] as number) - headBase);
    if (dropped <= 0 || dropped === entity.count) return;
    this.#source.leaving(entity, entity, dropped);
    page.copyWithin(index, index + dropped * stride, index + entity.count * stride);
    for (const cell of positionCells)
      page[index - cellCount + cell] = (page[index - cellCount + cell] as number) - dropped;
    this.#dropTexts(entity, entity, 0, dropped * textCount);
    entity.count -= dropped;
  }

  #dropTexts(entity: ReservoirEntity, rows: EventRows, at: number, count: number): void {
    if (rows.texts !== null) this.#source.resized(entity, -textBytes(rows.texts.splice(at, count)));
  }

  #dropOldest(entity: ReservoirEntity, chain: Chain): void {
    const chunk = this.#chunk(entity, chain, chain.oldestId) as EventChunk;
    this.#source.leaving(entity, chunk, chunk.count);
    chain.deleted.push(chunk.id);
    chain.oldestId = chunk.next;
    this.#unload(entity, chain, chunk);
    const next = this.#chunk(entity, chain, chain.oldestId);
    chain.oldestNewestMs = next === entity ? Number.POSITIVE_INFINITY : this.timeAt(next, next.count - 1);
  }

  #unload(entity: ReservoirEntity, chain: Chain, chunk: EventChunk): void {
    this.#source.resized(entity, -this.#chunkBytes(chunk) - textBytes(chunk.texts));
    chain.loaded.delete(chunk.id);
    this.#arena.release(chunk.rowsAt);
  }

  /** Whether a window stands in a chunk. */
  #occupied(entity: ReservoirEntity, id: number): boolean {
    const cells = this.page(entity.rowsAt);
    const base = (entity.rowsAt & Arena.pageMask) - this.#plan.cellCount;
    for (const cell of this.#plan.positionCells) {
      if (Math.floor((cells[base + cell] as number) / positionBase) === id) return true;
    }
    return false;
  }

  /** Lets go of chunks that are on disk and that no window stands in, keeping `current`. */
  unloadIdle(entity: ReservoirEntity, current: EventRows | null): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if ((entity.flags & entityFlags.flushing) !== 0) return; // what was handed over is not readable yet
    if (chain === null || chain.loaded.size <= this.#plan.positionCells.length + idleChunks) return;
    for (const chunk of chain.loaded.values()) {
      if (chunk === current || chunk.dirty || this.#occupied(entity, chunk.id)) continue;
      this.#unload(entity, chain, chunk);
    }
  }

  /** Gives all memory of an entity back. */
  release(entity: ReservoirEntity): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain !== null) {
      for (const chunk of chain.loaded.values()) this.#arena.release(chunk.rowsAt);
      chain.loaded.clear();
    }
    this.#arena.release(entity.rowsAt - this.#plan.cellCount);
  }
}

/** Resident bytes of texts: a place in an array each, and of those that are not null a header and their characters. */
export function textBytes(texts: (string | null)[] | null): number {
  if (texts === null) return 0;
  let bytes = 0;
  for (const text of texts) bytes += text === null ? 8 : 32 + text.length;
  return bytes;
}

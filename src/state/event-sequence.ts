import { assert } from "../core/assert.ts";
import type { ByteReader } from "./bytes.ts";
import { type EventMemory, textBytes } from "./event-memory.ts";
import {
  type Chain,
  chunkStates,
  type EventChunk,
  type EventRows,
  extraOf,
  noChunk,
  type ReservoirEntity,
} from "./reservoir-entity.ts";
import type { ReservoirPlan } from "./reservoir-plan.ts";

/** A position is `chunk id * 256 + offset`, so that one double says it. */
const positionBase = 256;

/** Chunks an entity keeps in memory beyond those its windows stand in. */
const idleChunks = 2;

/** Resident bytes of a chain without its chunks. */
export const chainBytes = 400;

/** What a sequence needs of the store around it. */
export interface ChunkSource {
  /** A chunk's value on disk. */
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
  readonly #memory: EventMemory;
  readonly #plan: ReservoirPlan;
  readonly #source: ChunkSource;

  constructor(memory: EventMemory, plan: ReservoirPlan, source: ChunkSource) {
    this.#memory = memory;
    this.#plan = plan;
    this.#source = source;
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

  /** The index of a position in its chunk. Not by `%`, which is a call for doubles. */
  offsetAt(position: number): number {
    return position - Math.floor(position / positionBase) * positionBase;
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
        rows.count > 0 && this.#memory.timeAt(rows, 0) < timeMs ? null : this.before(entity, rows);
      if (before === null) break;
      rows = before;
      this.unloadIdle(entity, rows);
    }
    while (rows !== entity && this.#memory.timeAt(rows, rows.count - 1) < timeMs) {
      rows = this.after(entity, rows) as EventRows;
      this.unloadIdle(entity, rows);
    }
    let low = 0;
    let high = rows.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#memory.timeAt(rows, middle) < timeMs) low = middle + 1;
      else high = middle;
    }
    return this.position(entity, rows, low);
  }

  /** The chunk in memory whose beginning is nearest to a time: windows stand where labels usually point. */
  #nearest(entity: ReservoirEntity, timeMs: number): EventRows {
    let nearest: EventRows = entity;
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null) return nearest;
    let distance = entity.count > 0 ? Math.abs(this.#memory.timeAt(entity, 0) - timeMs) : Number.POSITIVE_INFINITY;
    for (const chunk of chain.loaded.values()) {
      const other = Math.abs(this.#memory.timeAt(chunk, 0) - timeMs);
      if (other < distance) {
        distance = other;
        nearest = chunk;
      }
    }
    return nearest;
  }

  /** Event time of the newest event. */
  newestMs(entity: ReservoirEntity): number {
    if (entity.count > 0) return this.#memory.timeAt(entity, entity.count - 1);
    const rows = this.before(entity, entity);
    assert(rows !== null, () => "an entity without events has no newest one");
    return this.#memory.timeAt(rows, rows.count - 1);
  }

  #chunk(entity: ReservoirEntity, chain: Chain, id: number): EventRows {
    if (id === chain.headId) return entity;
    return chain.loaded.get(id) ?? this.#load(entity, chain, id);
  }

  /** Chunk on disk: | previous u32 | next u32 | rows u16 | rows as in memory | texts |. */
  #load(entity: ReservoirEntity, chain: Chain, id: number): EventChunk {
    const reader = this.#source.readChunk(entity, id);
    const chunk = this.#memory.newChunk(id, reader.u32(), reader.u32());
    this.#memory.readRows(chunk, reader);
    chain.loaded.set(id, chunk);
    this.#source.resized(entity, this.#memory.chunkBytes(chunk) + textBytes(chunk.texts));
    return chunk;
  }

  /** Notes that events of a chunk changed. */
  touched(entity: ReservoirEntity, rows: EventRows): void {
    if (rows !== entity) this.#touch((entity.extra as { chain: Chain }).chain, rows as EventChunk);
  }

  #touch(chain: Chain, chunk: EventChunk): void {
    if (chunk.state === chunkStates.clean) chain.unwritten++;
    chunk.state = chunkStates.dirty;
  }

  /** The chunks that changed since the last call; they stay in memory until `written`. */
  *takeDirty(chain: Chain): Generator<EventChunk> {
    for (const chunk of chain.loaded.values()) {
      if (chunk.state !== chunkStates.dirty) continue;
      chunk.state = chunkStates.flushing;
      yield chunk;
    }
  }

  /** What `takeDirty` gave is on disk. */
  written(entity: ReservoirEntity): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null) return;
    for (const chunk of chain.loaded.values()) {
      if (chunk.state !== chunkStates.flushing) continue;
      chunk.state = chunkStates.clean;
      chain.unwritten--;
    }
    this.unloadIdle(entity, null);
  }

  /**
   * Makes room for an event at a position, moving those behind it; its numbers are the caller's to write.
   * @param texts of the event
   * @returns the position it now has
   */
  insert(entity: ReservoirEntity, position: number, timeMs: number, texts: readonly (string | null)[]): number {
    let at = position;
    let rows = this.rowsAt(entity, at);
    if (rows.count === this.#plan.chunkRows) {
      at = this.#split(entity, rows, at);
      rows = this.rowsAt(entity, at);
    } else if (rows === entity && this.#memory.full(entity)) {
      this.#memory.grow(entity);
    }
    this.#memory.insertRow(entity, rows, this.offsetAt(at), timeMs, texts);
    this.touched(entity, rows);
    return at;
  }

  /**
   * Takes out the event that was inserted last. No position may be behind it in its chunk; as positions are never at the
   * end of a chunk but the newest, it was not put at one, and its chunk does not end with it.
   */
  erase(entity: ReservoirEntity, position: number): void {
    const rows = this.rowsAt(entity, position);
    const offset = this.offsetAt(position);
    this.#memory.eraseRows(entity, rows, offset, offset + 1);
    this.touched(entity, rows);
  }

  /**
   * Cuts a full chunk in two: at its end when the event comes behind everything, so that chunks of a key that only
   * moves forward are full; in the middle otherwise.
   * @returns the position after the cut
   */
  #split(entity: ReservoirEntity, rows: EventRows, position: number): number {
    const chain = this.#chainOf(entity);
    const id = this.idOf(entity, rows);
    const atEnd = rows === entity && this.offsetAt(position) === rows.count;
    const at = atEnd ? rows.count : rows.count >> 1;
    const newId = chain.nextId++;
    assert(newId < noChunk, () => "an entity has had 2^32 chunks");
    const added =
      rows === entity
        ? this.#splitNewest(entity, chain, at, newId)
        : this.#splitOlder(entity, chain, rows as EventChunk, at, newId);
    chain.loaded.set(added.id, added);
    this.#touch(chain, added);
    this.#source.resized(entity, this.#memory.chunkBytes(added));
    if (chain.oldestId === id) {
      const oldest = this.#chunk(entity, chain, id);
      chain.oldestNewestMs = this.#memory.timeAt(oldest, oldest.count - 1);
    }
    return this.#movePositions(entity, id, at, newId, position);
  }

  /** The rows before `at` leave the entity for a chunk that takes its id; the entity goes on under the new one. */
  #splitNewest(entity: ReservoirEntity, chain: Chain, at: number, newId: number): EventChunk {
    const older = this.#memory.newChunk(chain.headId, chain.previousId, newId);
    this.#memory.moveStart(entity, at, older);
    chain.previousId = chain.headId;
    chain.headId = newId;
    return older;
  }

  /** The rows from `at` on leave the chunk for a new one behind it. */
  #splitOlder(entity: ReservoirEntity, chain: Chain, older: EventChunk, at: number, newId: number): EventChunk {
    const newer = this.#memory.newChunk(newId, older.id, older.next);
    this.#memory.moveEnd(older, at, newer);
    const next = this.after(entity, older) as EventRows;
    if (next === entity) {
      chain.previousId = newId;
    } else {
      (next as EventChunk).previous = newId;
      this.#touch(chain, next as EventChunk);
    }
    older.next = newId;
    this.#touch(chain, older);
    return newer;
  }

  #chainOf(entity: ReservoirEntity): Chain {
    const extra = extraOf(entity);
    if (extra.chain === null) {
      const ids = { headId: 0, previousId: noChunk, oldestId: 0, nextId: 1 };
      const oldestNewestMs = Number.POSITIVE_INFINITY;
      extra.chain = { ...ids, oldestNewestMs, loaded: new Map(), unwritten: 0, deleted: [] };
      this.#source.resized(entity, chainBytes);
    }
    return extra.chain;
  }

  /** Positions at or behind `at` in chunk `id` are in chunk `newId` now. @returns where `position` is */
  #movePositions(entity: ReservoirEntity, id: number, at: number, newId: number, position: number): number {
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
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
    if (this.#memory.full(entity)) this.#dropRows(entity, floorMs);
  }

  #dropRows(entity: ReservoirEntity, floorMs: number): void {
    const { positionCells } = this.#plan;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const first = this.idOf(entity, entity) * positionBase;
    let dropped = 0;
    while (dropped < entity.count && this.#memory.timeAt(entity, dropped) <= floorMs) dropped++;
    for (const cell of positionCells) dropped = Math.min(dropped, (cells[base + cell] as number) - first);
    if (dropped <= 0 || dropped === entity.count) return;
    this.#source.leaving(entity, entity, dropped);
    this.#memory.eraseRows(entity, entity, 0, dropped);
    for (const cell of positionCells) cells[base + cell] = (cells[base + cell] as number) - dropped;
  }

  #dropOldest(entity: ReservoirEntity, chain: Chain): void {
    const chunk = this.#chunk(entity, chain, chain.oldestId) as EventChunk;
    this.#source.leaving(entity, chunk, chunk.count);
    chain.deleted.push(chunk.id);
    chain.oldestId = chunk.next;
    this.#unload(entity, chain, chunk);
    const next = this.#chunk(entity, chain, chain.oldestId);
    chain.oldestNewestMs = next === entity ? Number.POSITIVE_INFINITY : this.#memory.timeAt(next, next.count - 1);
  }

  #unload(entity: ReservoirEntity, chain: Chain, chunk: EventChunk): void {
    this.#source.resized(entity, -this.#memory.chunkBytes(chunk) - textBytes(chunk.texts));
    if (chunk.state !== chunkStates.clean) chain.unwritten--;
    chain.loaded.delete(chunk.id);
    this.#memory.releaseChunk(chunk);
  }

  /** Whether a window stands in a chunk. */
  #occupied(entity: ReservoirEntity, id: number): boolean {
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    for (const cell of this.#plan.positionCells) {
      if (Math.floor((cells[base + cell] as number) / positionBase) === id) return true;
    }
    return false;
  }

  /** Lets go of chunks that are on disk and that no window stands in, keeping `current`. */
  unloadIdle(entity: ReservoirEntity, current: EventRows | null): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null) return;
    if (chain.loaded.size - chain.unwritten <= this.#plan.positionCells.length + idleChunks) return;
    for (const chunk of chain.loaded.values()) {
      if (chunk === current || chunk.state !== chunkStates.clean || this.#occupied(entity, chunk.id)) continue;
      this.#unload(entity, chain, chunk);
    }
  }

  /** Gives all memory of an entity back. */
  release(entity: ReservoirEntity): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain !== null) {
      for (const chunk of chain.loaded.values()) this.#memory.releaseChunk(chunk);
      chain.loaded.clear();
    }
    this.#memory.releaseEntity(entity);
  }
}

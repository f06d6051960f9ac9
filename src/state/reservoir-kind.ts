import type { ByteReader, ByteWriter } from "./bytes.ts";
import { type EntityKind, entityFlags, type PartSink } from "./entity.ts";
import type { EventMemory } from "./event-memory.ts";
import { chainBytes, type EventSequence } from "./event-sequence.ts";
import { wideCells } from "./exact-sum.ts";
import { extraOf, type ReservoirEntity } from "./reservoir-entity.ts";
import type { ReservoirPlan } from "./reservoir-plan.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";
import type { WindowState } from "./window-state.ts";

const withChain = 1;
const withWides = 2;
const withoutCells = 4;

/**
 * Bytes of a reservoir's entities. Cells and rows are as in memory (all platforms Node runs on here are little-endian).
 *
 *     | plan u32 | bits u8 | chain, if bit 0 | rows u16 | rows | texts | cell count u16, cells: unless bit 2 | wides, if bit 1 |
 *     chain:  | head, previous, oldest, next id: u32 each | newest event of the oldest chunk, ms f64 |
 *     wides:  | count u16 | and for each: cell u16, components u8, components f64 |
 *     part:   | previous u32 | next u32 | rows u16 | rows | texts |
 *
 * `plan` says which windows and features the cells are for. When it is not the reader's, the cells are left aside and
 * computed anew from the events. So they are where the events take no more room than the cells would: most keys have few,
 * and what a flush, a compaction and a restore cost goes by bytes.
 */
export class ReservoirKind implements EntityKind<ReservoirEntity> {
  readonly layout: StoreLayout;
  readonly retentionMs: number;
  readonly #plan: ReservoirPlan;
  readonly #memory: EventMemory;
  readonly #sequence: EventSequence;
  readonly #windows: WindowState;

  constructor(plan: ReservoirPlan, memory: EventMemory, sequence: EventSequence, windows: WindowState) {
    this.#plan = plan;
    this.#memory = memory;
    this.#sequence = sequence;
    this.#windows = windows;
    this.layout = plan.layout;
    const forEver = plan.heldCount > 0 || plan.folds;
    this.retentionMs = forEver ? Number.POSITIVE_INFINITY : plan.graceMs + plan.reachMs;
  }

  newestMs(entity: ReservoirEntity): number {
    return this.#sequence.newestMs(entity);
  }

  contentBytes(entity: ReservoirEntity): number {
    return this.#memory.blockBytes(entity) + (entity.extra === null ? 0 : chainBytes);
  }

  encode(entity: ReservoirEntity, writer: ByteWriter): void {
    const { fingerprint, cellCount, stride, folds } = this.#plan;
    const chain = entity.extra === null ? null : entity.extra.chain;
    const wides = entity.extra === null ? null : entity.extra.wides;
    // Of events that were folded only the cells know.
    const bare = !folds && chain === null && wides === null && entity.count * stride <= cellCount;
    writer.u32(fingerprint);
    writer.u8((chain === null ? 0 : withChain) | (wides === null ? 0 : withWides) | (bare ? withoutCells : 0));
    if (chain !== null) {
      writer.u32(chain.headId);
      writer.u32(chain.previousId);
      writer.u32(chain.oldestId);
      writer.u32(chain.nextId);
      writer.f64(chain.oldestNewestMs);
    }
    this.#memory.writeRows(entity, writer);
    if (bare) return;
    writer.u16(cellCount);
    writer.raw(this.#memory.bytesAt(entity.rowsAt), this.#cellsAt(entity), this.#cellsAt(entity) + cellCount * 8);
    if (wides !== null) writeWides(wides, writer);
  }

  /** Byte offset of the cells in their page. */
  #cellsAt(entity: ReservoirEntity): number {
    return this.#memory.cellsAt(entity) * 8;
  }

  decode(key: StateKey, reader: ByteReader): ReservoirEntity {
    const { fingerprint, cellCount } = this.#plan;
    const known = reader.u32() === fingerprint;
    const bits = reader.u8();
    const chain =
      (bits & withChain) === 0
        ? null
        : {
            headId: reader.u32(),
            previousId: reader.u32(),
            oldestId: reader.u32(),
            nextId: reader.u32(),
            oldestNewestMs: reader.f64(),
            loaded: new Map(),
            unwritten: 0,
            deleted: [],
          };
    const entity = this.#memory.createFrom(key, reader);
    if (chain !== null) extraOf(entity).chain = chain;
    if ((bits & withoutCells) !== 0) {
      this.#windows.reset(entity);
      return entity;
    }
    const cellBytes = reader.u16() * 8;
    if (known) {
      const target = this.#memory.bytesAt(entity.rowsAt);
      reader.buffer.copy(target, this.#cellsAt(entity), reader.at, reader.at + cellCount * 8);
    } else {
      this.#windows.reset(entity);
    }
    reader.at += cellBytes;
    if (known && (bits & withWides) !== 0) extraOf(entity).wides = readWides(reader);
    return entity;
  }

  encodeParts(entity: ReservoirEntity, parts: PartSink): void {
    const chain = entity.extra === null ? null : entity.extra.chain;
    if (chain === null) return;
    for (const id of chain.deleted) parts.delete(entity.key, id);
    chain.deleted = [];
    if ((entity.flags & entityFlags.deleted) !== 0) {
      for (const id of this.#sequence.chunkIds(entity)) parts.delete(entity.key, id);
      return;
    }
    for (const chunk of this.#sequence.takeDirty(chain)) {
      const writer = parts.begin();
      writer.u32(chunk.previous);
      writer.u32(chunk.next);
      this.#memory.writeRows(chunk, writer);
      parts.put(entity.key, chunk.id);
    }
  }

  partsWritten(entity: ReservoirEntity): void {
    this.#sequence.written(entity);
  }

  release(entity: ReservoirEntity): void {
    this.#sequence.release(entity);
  }
}

function writeWides(wides: ReadonlyMap<number, Float64Array>, writer: ByteWriter): void {
  writer.u16(wides.size);
  for (const [cell, components] of wides) {
    let used = 0;
    while (used < wideCells && components[used] !== 0) used++;
    writer.u16(cell);
    writer.u8(used);
    for (let i = 0; i < used; i++) writer.f64(components[i] as number);
  }
}

function readWides(reader: ByteReader): Map<number, Float64Array> {
  const wides = new Map<number, Float64Array>();
  for (let left = reader.u16(); left > 0; left--) {
    const cell = reader.u16();
    const components = new Float64Array(wideCells);
    const used = reader.u8();
    for (let i = 0; i < used; i++) components[i] = reader.f64();
    wides.set(cell, components);
  }
  return wides;
}

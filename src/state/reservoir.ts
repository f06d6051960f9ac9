import { assert } from "../core/assert.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import { Arena } from "./arena.ts";
import { type ByteReader, ByteWriter } from "./bytes.ts";
import { type ChangelogSection, fingerprintOf } from "./changelog.ts";
import type { EntityStore } from "./entity-store.ts";
import { EventMemory } from "./event-memory.ts";
import { type ChunkSource, EventSequence } from "./event-sequence.ts";
import { magnitudeLimit } from "./exact-sum.ts";
import { FeatureValues } from "./feature-values.ts";
import { MonotoneQueue } from "./monotone-queue.ts";
import type { EventRows, ReservoirEntity } from "./reservoir-entity.ts";
import { ReservoirKind } from "./reservoir-kind.ts";
import type { HeadPlan, ReservoirOptions, ReservoirPlan, StoredColumn } from "./reservoir-plan.ts";
import { planReservoir } from "./reservoir-planner.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import { WindowIndexes } from "./window-indexes.ts";
import { asOfCell, WindowState } from "./window-state.ts";

/** Changes of a key in the changelog. */
const insertChange = 1;
const markChange = 2;

/**
 * The events of each key of a stream for as long as a window needs them, in event-time order, and every feature over
 * every window of them. All windows share the events; an event costs a constant amount for each aggregate, however long
 * the window. Features are exact: they equal those computed from the plain list of events, to the bit.
 *
 * Event times are whole milliseconds. Numbers above 2^450 in magnitude, NaN and infinities are absent, as null is.
 */
export class Reservoir implements ChangelogSection {
  readonly store: string;
  readonly fingerprint: number;
  readonly #plan: ReservoirPlan;
  readonly #entities: EntityStore<ReservoirEntity>;
  readonly #memory: EventMemory;
  readonly #sequence: EventSequence;
  readonly #indexes: WindowIndexes;
  readonly #windows: WindowState;
  readonly #values: FeatureValues;
  readonly #changes = new ByteWriter(65_536);
  /** Entity without events: what a key that is not held looks like. */
  readonly #nothing: ReservoirEntity;
  readonly #numbers: Float64Array;
  readonly #texts: (string | null)[];

  /**
   * @throws KAPPA_TOPOLOGY_INVALID when an aggregate cannot be computed over its column; KAPPA_STATE_INCOMPATIBLE when
   *   the database holds a store of this name that does not answer for these features
   */
  constructor(database: StateDatabase, options: ReservoirOptions) {
    const plan = planReservoir(options);
    this.#plan = plan;
    this.store = options.name;
    this.fingerprint = fingerprintOf("reservoir", ...plan.layout.columns);
    const source: ChunkSource = {
      readChunk: (entity, id) => this.#entities.findPart(entity.key, id),
      resized: (entity, byBytes) => this.#resized(entity, byBytes),
      leaving: (entity, rows, offset) => this.#fold(entity, rows, offset),
    };
    this.#memory = new EventMemory(database.arena, plan, source.resized);
    this.#sequence = new EventSequence(this.#memory, plan, source);
    this.#indexes = new WindowIndexes(plan, this.#memory, this.#sequence);
    this.#windows = new WindowState(plan, this.#memory, this.#sequence, this.#indexes);
    this.#values = new FeatureValues(this.#memory, this.#sequence, this.#indexes);
    this.#nothing = this.#newEntity("");
    this.#entities = database.store(new ReservoirKind(plan, this.#memory, this.#sequence, this.#windows));
    this.#numbers = new Float64Array(plan.numberCount);
    this.#texts = Array.from({ length: plan.textCount }, () => null);
    database.log(this);
  }

  /** Names of the features, in the order of `out`. */
  get featureNames(): string[] {
    return this.#plan.features.map(({ name }) => name);
  }

  /** Order time of the newest row the store has seen. */
  get orderTimeMs(): number {
    return this.#entities.orderTimeMs;
  }
  set orderTimeMs(orderTimeMs: number) {
    this.#entities.orderTimeMs = Math.max(this.#entities.orderTimeMs, orderTimeMs);
  }

  /**
   * Inserts an event, after those of the same time, and writes every feature as of its time into `out`. An event that
   * is older than newer ones of its key gets the features that in-order arrival would have given it, and later ones
   * count it.
   *
   * A `late` event, older than order time - grace, gets features that include it and is not inserted. What counts for
   * it is what every honest run still holds: events after order time - grace - the longest reach, and for count windows
   * the last ones before the grace. With an unbounded window in the store it is treated as no older than that.
   *
   * @param orderTimeMs never falls from call to call
   * @param numbers values of the columns that are not text, in their order; booleans as 0 and 1, absent as NaN
   * @param texts values of the text columns, in their order
   */
  observe(
    key: StateKey,
    timeMs: number,
    orderTimeMs: number,
    late: boolean,
    numbers: Float64Array,
    texts: readonly (string | null)[],
    out: unknown[],
  ): void {
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    const found = this.#entities.find(key);
    if (late) {
      this.#observeLate(found ?? this.#nothing, timeMs, orderTimeMs, numbers, texts, out);
      return;
    }
    const entity = found ?? this.#addEntity(key);
    this.#windows.moveTo(entity, timeMs);
    this.#values.write(entity, this.#plan.featuresBefore, out);
    this.#insertHere(entity, timeMs, numbers, texts);
    this.#values.write(entity, this.#plan.featuresAfter, out);
    this.#logInsert(key, timeMs, numbers, texts);
    this.#inserted(entity, orderTimeMs);
  }

  /** As `observe` of an event within grace, for which no features are wanted. */
  insert(
    key: StateKey,
    timeMs: number,
    orderTimeMs: number,
    numbers: Float64Array,
    texts: readonly (string | null)[],
  ): void {
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    const entity = this.#entities.find(key) ?? this.#addEntity(key);
    this.#windows.moveTo(entity, timeMs);
    this.#insertHere(entity, timeMs, numbers, texts);
    this.#logInsert(key, timeMs, numbers, texts);
    this.#inserted(entity, orderTimeMs);
  }

  #inserted(entity: ReservoirEntity, orderTimeMs: number): void {
    this.#sequence.dropUntil(entity, this.#floorMs(orderTimeMs));
    this.#settle(entity);
    this.#entities.changed(entity);
  }

  #observeLate(
    entity: ReservoirEntity,
    timeMs: number,
    orderTimeMs: number,
    numbers: Float64Array,
    texts: readonly (string | null)[],
    out: unknown[],
  ): void {
    const floorMs = this.#floorMs(orderTimeMs);
    const asOfMs = this.#plan.folds ? Math.max(timeMs, floorMs) : timeMs;
    this.#windows.moveToLate(entity, asOfMs, floorMs, orderTimeMs - this.#plan.graceMs);
    this.#values.write(entity, this.#plan.featuresBefore, out);
    this.#insertHere(entity, asOfMs, numbers, texts);
    this.#values.write(entity, this.#plan.featuresAfter, out);
    this.#sequence.erase(entity, this.#windows.exclude(entity));
    this.#settle(entity);
  }

  /** Inserts at the as-of time, where the windows stand. */
  #insertHere(entity: ReservoirEntity, timeMs: number, numbers: Float64Array, texts: readonly (string | null)[]): void {
    const { heads } = this.#plan;
    const cells = this.#memory.cells(entity);
    const head = cells[this.#memory.cellsAt(entity) + (heads[0] as HeadPlan).headCell] as number;
    const position = this.#sequence.insert(entity, head, timeMs, texts);
    this.#writeNumbers(entity, position, numbers);
    this.#windows.include(entity, position);
  }

  #writeNumbers(entity: ReservoirEntity, position: number, numbers: Float64Array): void {
    const { numberCount, stride } = this.#plan;
    const rows = this.#sequence.rowsAt(entity, position);
    const address = rows.rowsAt + this.#sequence.offsetAt(position) * stride;
    const page = this.#memory.page(address);
    const row = address & Arena.pageMask;
    for (let i = 0; i < numberCount; i++) {
      const value = numbers[i] as number;
      page[row + 1 + i] = Math.abs(value) <= magnitudeLimit ? value : Number.NaN;
    }
    for (let i = numberCount + 1; i < stride; i++) page[row + i] = 0; // marks
  }

  /**
   * The features of a key as of a time, without an event: for events of another stream, and for queries from outside.
   * @param orderTimeMs of the task, or `reservoir.orderTimeMs`; a time before its grace is treated as a late event's
   */
  read(key: StateKey, asOfMs: number, orderTimeMs: number, out: unknown[]): void {
    const entity = this.#entities.find(key) ?? this.#nothing;
    const boundaryMs = orderTimeMs - this.#plan.graceMs;
    if (asOfMs >= boundaryMs) {
      this.#windows.moveTo(entity, asOfMs);
    } else {
      const floorMs = this.#floorMs(orderTimeMs);
      this.#windows.moveToLate(entity, this.#plan.folds ? Math.max(asOfMs, floorMs) : asOfMs, floorMs, boundaryMs);
    }
    this.#values.write(entity, this.#plan.features, out);
    this.#settle(entity);
  }

  /**
   * Marks the events of a time and id: windows that hold them count the mark from now on. Marking twice is marking once.
   * @returns false when no such event counts any more, or ever did
   */
  mark(key: StateKey, timeMs: number, id: string | number, mark: string, orderTimeMs: number): boolean {
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    const entity = this.#entities.find(key);
    const column = this.#markColumn(mark);
    if (entity === undefined || !this.#markHere(entity, timeMs, id, column, orderTimeMs)) return false;
    const changes = this.#changes;
    changes.u8(markChange);
    changes.key(key);
    changes.f64(timeMs);
    changes.u8(typeof id === "string" ? 1 : 0);
    if (typeof id === "string") changes.text(id);
    else changes.f64(id);
    changes.text(mark);
    this.#settle(entity);
    this.#entities.changed(entity);
    return true;
  }

  #markColumn(mark: string): StoredColumn {
    const column = this.#plan.columns.find(({ name, type }) => name === mark && type === "mark");
    assert(column !== undefined, () => `store ${this.store} has no mark ${mark}`);
    return column;
  }

  #markHere(
    entity: ReservoirEntity,
    timeMs: number,
    id: string | number,
    mark: StoredColumn,
    orderTimeMs: number,
  ): boolean {
    const boundaryMs = orderTimeMs - this.#plan.graceMs;
    const asOfMs = Math.max(boundaryMs, this.#memory.cells(entity)[this.#memory.cellsAt(entity) + asOfCell] as number);
    this.#windows.moveTo(entity, asOfMs);
    let position = this.#sequence.find(entity, timeMs);
    let found = false;
    for (;;) {
      const rows = this.#sequence.rowsAt(entity, position);
      const offset = this.#sequence.offsetAt(position);
      if (offset === rows.count || this.#memory.timeAt(rows, offset) !== timeMs) return found;
      if (this.#indexes.value(rows, offset, this.#plan.id as StoredColumn) === id) {
        const counts = timeMs > this.#floorMs(orderTimeMs) || this.#windows.countsAt(entity, rows, offset, boundaryMs);
        if (counts) {
          this.#setMark(entity, rows, offset, mark, asOfMs);
          found = true;
        }
      }
      position = this.#sequence.position(entity, rows, offset + 1);
    }
  }

  #setMark(entity: ReservoirEntity, rows: EventRows, offset: number, mark: StoredColumn, asOfMs: number): void {
    const address = rows.rowsAt + offset * this.#plan.stride;
    const at = (address & Arena.pageMask) + mark.index;
    const page = this.#memory.page(address);
    if (page[at] === 1) return;
    this.#windows.totalsAround(entity, rows, offset, asOfMs, -1);
    page[at] = 1;
    this.#windows.totalsAround(entity, rows, offset, asOfMs, 1);
    this.#sequence.touched(entity, rows);
  }

  get changed(): boolean {
    return this.#changes.at > 0;
  }

  writeChanges(writer: ByteWriter): void {
    writer.raw(this.#changes.buffer, 0, this.#changes.at);
    this.#changes.clear();
  }

  #logInsert(key: StateKey, timeMs: number, numbers: Float64Array, texts: readonly (string | null)[]): void {
    const changes = this.#changes;
    changes.u8(insertChange);
    changes.key(key);
    changes.f64(timeMs);
    for (let i = 0; i < this.#plan.numberCount; i++) changes.f64(numbers[i] as number);
    for (let i = 0; i < this.#plan.textCount; i++) changes.text(texts[i] as string | null);
  }

  applyChanges(reader: ByteReader): void {
    while (reader.at < reader.end) {
      const change = reader.u8();
      const key = reader.key();
      const timeMs = reader.f64();
      if (change === insertChange) this.#applyInsert(reader, key, timeMs);
      else this.#applyMark(reader, key, timeMs);
    }
  }

  #applyInsert(reader: ByteReader, key: StateKey, timeMs: number): void {
    for (let i = 0; i < this.#plan.numberCount; i++) this.#numbers[i] = reader.f64();
    for (let i = 0; i < this.#plan.textCount; i++) this.#texts[i] = reader.text();
    const entity = this.#entities.find(key) ?? this.#addEntity(key);
    this.#windows.moveTo(entity, timeMs);
    this.#insertHere(entity, timeMs, this.#numbers, this.#texts);
    this.#inserted(entity, this.#entities.orderTimeMs);
  }

  #applyMark(reader: ByteReader, key: StateKey, timeMs: number): void {
    const id = reader.u8() === 1 ? (reader.text() as string) : reader.f64();
    const mark = reader.text() as string;
    const entity = this.#entities.find(key);
    // Judged when it was logged. By the end of the commit the event may not count any more, and be gone.
    if (entity === undefined) return;
    this.#markHere(entity, timeMs, id, this.#markColumn(mark), beginningOfTimeMs);
    this.#settle(entity);
    this.#entities.changed(entity);
  }

  /** Events at or before this never count in a sliding window again. */
  #floorMs(orderTimeMs: number): number {
    return orderTimeMs - this.#plan.graceMs - this.#plan.reachMs;
  }

  #addEntity(key: StateKey): ReservoirEntity {
    const entity = this.#newEntity(key);
    this.#entities.add(entity);
    return entity;
  }

  #newEntity(key: StateKey): ReservoirEntity {
    const entity = this.#memory.create(key);
    this.#windows.reset(entity);
    return entity;
  }

  /** Accounts for what an operation has built, and lets go of chunks that nothing stands in. */
  #settle(entity: ReservoirEntity): void {
    if (entity.extra === null) return;
    this.#sequence.unloadIdle(entity, null);
    const bytes = this.#indexes.bytes(entity);
    this.#resized(entity, bytes - entity.extra.accountedBytes);
    entity.extra.accountedBytes = bytes;
  }

  #resized(entity: ReservoirEntity, byBytes: number): void {
    if (entity !== this.#nothing && entity.bytes > 0) this.#entities.resized(entity, byBytes);
  }

  /** Takes the extremes of events that leave memory into the entity's cells. */
  #fold(entity: ReservoirEntity, rows: EventRows, end: number): void {
    if (!this.#plan.folds) return;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    for (const head of this.#plan.heads) {
      for (const window of head.windows) {
        for (const plan of window.indexes) {
          if (plan.foldedCell < 0) continue;
          const index = entity.extra?.indexes?.[plan.slot];
          for (let offset = 0; offset < end; offset++) {
            const value = this.#indexes.value(rows, offset, plan.column) as number | null;
            if (value === null) continue;
            const old = cells[base + plan.foldedCell] as number;
            const better = plan.kind === "min" ? Math.min(old, value) : Math.max(old, value);
            cells[base + plan.foldedCell] = Number.isNaN(old) ? value : better;
            if (index instanceof MonotoneQueue) index.removeOldest();
          }
        }
      }
    }
  }
}

import { Arena } from "./arena.ts";
import { CountedValues } from "./counted-values.ts";
import type { EventMemory } from "./event-memory.ts";
import type { EventSequence } from "./event-sequence.ts";
import { MonotoneQueue } from "./monotone-queue.ts";
import { type EventRows, extraOf, type ReservoirEntity, type WindowIndex } from "./reservoir-entity.ts";
import type { FeaturePlan, HeadPlan, IndexPlan, ReservoirPlan, StoredColumn, WindowPlan } from "./reservoir-plan.ts";
import { SortedNumbers } from "./sorted-numbers.ts";

/**
 * The structures that windows keep beside their totals: queues for extremes, counted values, sorted values. One is
 * built from the window's events when a feature first asks for it, follows the window from then on, and is gone when
 * the entity leaves memory.
 */
export class WindowIndexes {
  readonly #plan: ReservoirPlan;
  readonly #memory: EventMemory;
  readonly #sequence: EventSequence;

  constructor(plan: ReservoirPlan, memory: EventMemory, sequence: EventSequence) {
    this.#plan = plan;
    this.#memory = memory;
    this.#sequence = sequence;
  }

  /** The index of a feature, up to date. */
  of(entity: ReservoirEntity, feature: FeaturePlan): WindowIndex {
    const plan = feature.index as IndexPlan;
    const extra = extraOf(entity);
    extra.indexes ??= Array.from({ length: this.#plan.indexCount }, () => null);
    const built = extra.indexes[plan.slot];
    if (built !== null && built !== undefined) return built;
    const index = emptyIndex(plan);
    this.#build(entity, feature, plan, index);
    extra.indexes[plan.slot] = index;
    return index;
  }

  #build(entity: ReservoirEntity, feature: FeaturePlan, plan: IndexPlan, index: WindowIndex): void {
    const sequence = this.#sequence;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const { tailCell } = feature.window;
    const from = tailCell < 0 ? sequence.start(entity) : (cells[base + tailCell] as number);
    const to = cells[base + feature.head.headCell] as number;
    let rows = sequence.rowsAt(entity, from);
    let offset = sequence.offsetAt(from);
    while (sequence.position(entity, rows, offset) !== to) {
      if (offset === rows.count) {
        rows = sequence.after(entity, rows) as EventRows;
        offset = 0;
        sequence.unloadIdle(entity, rows);
        continue;
      }
      const value = this.value(rows, offset, plan.column);
      if (value !== null) addNewest(index, value);
      offset++;
    }
  }

  /** The value of a column; null when it is absent. */
  value(rows: EventRows, offset: number, column: StoredColumn): number | string | null {
    const { stride, textCount } = this.#plan;
    if (column.type === "text")
      return (rows.texts as (string | null)[])[offset * textCount + column.index] as string | null;
    const address = rows.rowsAt + offset * stride + column.index;
    const value = this.#memory.page(rows.rowsAt)[address & Arena.pageMask] as number;
    return Number.isNaN(value) ? null : value;
  }

  /** An event has come under the head: all its windows have it. */
  addNewest(entity: ReservoirEntity, head: HeadPlan, rows: EventRows, offset: number): void {
    const indexes = entity.extra === null ? null : entity.extra.indexes;
    if (indexes === null) return;
    for (const window of head.windows) {
      for (const plan of window.indexes) {
        const index = indexes[plan.slot];
        const value = index ? this.value(rows, offset, plan.column) : null;
        if (index && value !== null) addNewest(index, value);
      }
    }
  }

  removeOldest(entity: ReservoirEntity, window: WindowPlan, rows: EventRows, offset: number): void {
    const indexes = entity.extra === null ? null : entity.extra.indexes;
    if (indexes === null) return;
    for (const plan of window.indexes) {
      const index = indexes[plan.slot];
      const value = index ? this.value(rows, offset, plan.column) : null;
      if (!index || value === null) continue;
      if (index instanceof MonotoneQueue) index.removeOldest();
      else removeValue(index, value);
    }
  }

  addOldest(entity: ReservoirEntity, window: WindowPlan, rows: EventRows, offset: number): void {
    const indexes = entity.extra === null ? null : entity.extra.indexes;
    if (indexes === null) return;
    for (const plan of window.indexes) {
      const index = indexes[plan.slot];
      const value = index ? this.value(rows, offset, plan.column) : null;
      if (!index || value === null) continue;
      if (index instanceof MonotoneQueue) index.addOldest(value as number);
      else addNewest(index, value);
    }
  }

  removeNewest(entity: ReservoirEntity, window: WindowPlan, rows: EventRows, offset: number): void {
    const indexes = entity.extra === null ? null : entity.extra.indexes;
    if (indexes === null) return;
    for (const plan of window.indexes) {
      const index = indexes[plan.slot];
      const value = index ? this.value(rows, offset, plan.column) : null;
      if (!index || value === null) continue;
      if (index instanceof MonotoneQueue) index.removeNewest();
      else removeValue(index, value);
    }
  }

  /** A head has moved back to `offset`: extremes that the removed events had beaten are looked up again. */
  fillGaps(entity: ReservoirEntity, head: HeadPlan, rows: EventRows, offset: number): void {
    const indexes = entity.extra === null ? null : entity.extra.indexes;
    if (indexes === null) return;
    for (const window of head.windows) {
      for (const plan of window.indexes) {
        const index = indexes[plan.slot];
        if (index instanceof MonotoneQueue && index.gap > 0) {
          index.fill(this.#newestFirst(entity, rows, offset, plan.column, index.gap));
        }
      }
    }
  }

  #newestFirst(entity: ReservoirEntity, head: EventRows, end: number, column: StoredColumn, count: number): number[] {
    const values: number[] = [];
    let rows = head;
    let offset = end;
    while (values.length < count) {
      if (offset === 0) {
        rows = this.#sequence.before(entity, rows) as EventRows;
        offset = rows.count;
      }
      const value = this.value(rows, --offset, column);
      if (value !== null) values.push(value as number);
    }
    return values;
  }

  /** Resident bytes of an entity's indexes and wide sums. */
  bytes(entity: ReservoirEntity): number {
    const { extra } = entity;
    if (extra === null) return 0;
    let bytes = 80 + (extra.wides === null ? 0 : extra.wides.size * 700);
    if (extra.indexes !== null) {
      for (const index of extra.indexes) if (index !== null) bytes += index.bytes;
    }
    return bytes;
  }
}

function emptyIndex(plan: IndexPlan): WindowIndex {
  switch (plan.kind) {
    case "min":
      return new MonotoneQueue(-1);
    case "max":
      return new MonotoneQueue(1);
    case "counts":
      return new CountedValues();
    case "order":
      return new SortedNumbers();
    default:
      return plan.kind satisfies never;
  }
}

function addNewest(index: WindowIndex, value: number | string): void {
  if (index instanceof MonotoneQueue) index.addNewest(value as number);
  else if (index instanceof SortedNumbers) index.add(value as number);
  else index.add(value);
}

function removeValue(index: CountedValues | SortedNumbers, value: number | string): void {
  if (index instanceof SortedNumbers) index.remove(value as number);
  else index.remove(value);
}

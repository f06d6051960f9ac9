import type { CountedValues } from "./counted-values.ts";
import type { EventMemory } from "./event-memory.ts";
import type { EventSequence } from "./event-sequence.ts";
import { roundExact, sampleVariance, wideCells } from "./exact-sum.ts";
import type { MonotoneQueue } from "./monotone-queue.ts";
import type { EventRows, ReservoirEntity } from "./reservoir-entity.ts";
import { type FeaturePlan, type IndexPlan, type StoredColumn, totalWidths } from "./reservoir-plan.ts";
import type { SortedNumbers } from "./sorted-numbers.ts";
import type { WindowIndexes } from "./window-indexes.ts";

/** Reads features off the state of an entity's windows, as it stands. */
export class FeatureValues {
  readonly #memory: EventMemory;
  readonly #sequence: EventSequence;
  readonly #indexes: WindowIndexes;

  constructor(memory: EventMemory, sequence: EventSequence, indexes: WindowIndexes) {
    this.#memory = memory;
    this.#sequence = sequence;
    this.#indexes = indexes;
  }

  /** Writes features into `out`, each at its place. */
  write(entity: ReservoirEntity, features: readonly FeaturePlan[], out: unknown[]): void {
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    for (let i = 0; i < features.length; i++) {
      const feature = features[i] as FeaturePlan;
      // Counts need no more than a look.
      const counts = feature.kind === "count";
      out[feature.place] = counts ? cells[base + feature.countCell] : this.#value(entity, feature);
    }
  }

  #value(entity: ReservoirEntity, feature: FeaturePlan): unknown {
    switch (feature.kind) {
      case "count":
        return this.#cell(entity, feature.countCell);
      case "sum":
        return this.#sum(entity, feature);
      case "mean": {
        const count = this.#cell(entity, feature.countCell);
        return count === 0 ? null : this.#sum(entity, feature) / count / feature.per;
      }
      case "ratio": {
        const count = this.#cell(entity, feature.countCell);
        return count === 0 ? 0 : this.#sum(entity, feature) / count;
      }
      case "variance":
        return this.#variance(entity, feature);
      case "sd": {
        const variance = this.#variance(entity, feature);
        return variance === null ? null : Math.sqrt(variance);
      }
      case "min":
      case "max":
        return this.#extreme(entity, feature);
      case "distinct":
        return (this.#indexes.of(entity, feature) as CountedValues).distinct;
      case "top":
        return this.#top(entity, feature);
      case "percentile":
        return percentile(this.#indexes.of(entity, feature) as SortedNumbers, feature.fraction);
      case "first":
        return this.#first(entity, feature, feature.column as StoredColumn);
      case "last":
        return this.#last(entity, feature, feature.column as StoredColumn, feature.size);
      case "latest":
        return this.#last(entity, feature, feature.column as StoredColumn, 1)[0] ?? null;
      default:
        return feature.kind satisfies never;
    }
  }

  #cell(entity: ReservoirEntity, cell: number): number {
    return this.#memory.cells(entity)[this.#memory.cellsAt(entity) + cell] as number;
  }

  #sum(entity: ReservoirEntity, feature: FeaturePlan): number {
    const cells = this.#memory.cells(entity);
    const at = this.#memory.cellsAt(entity) + feature.sumCell;
    const first = cells[at] as number;
    if (Number.isNaN(first)) return roundExact(wideSum(entity, feature.sumCell), 0, wideCells);
    return feature.sumWidth === 1 ? first : roundExact(cells, at, feature.sumWidth);
  }

  #variance(entity: ReservoirEntity, feature: FeaturePlan): number | null {
    const count = this.#cell(entity, feature.countCell);
    if (count < 2) return null;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const wide = Number.isNaN(cells[base + feature.sumCell]);
    const squaresWide = Number.isNaN(cells[base + feature.squareCell]);
    return sampleVariance(
      count,
      wide ? wideSum(entity, feature.sumCell) : cells,
      wide ? 0 : base + feature.sumCell,
      wide ? wideCells : feature.sumWidth,
      squaresWide ? wideSum(entity, feature.squareCell) : cells,
      squaresWide ? 0 : base + feature.squareCell,
      squaresWide ? wideCells : totalWidths[4],
    );
  }

  #extreme(entity: ReservoirEntity, feature: FeaturePlan): number | null {
    const plan = feature.index as IndexPlan;
    const held = (this.#indexes.of(entity, feature) as MonotoneQueue).extreme;
    const folded = plan.foldedCell < 0 ? Number.NaN : this.#cell(entity, plan.foldedCell);
    if (Number.isNaN(folded)) return held === undefined ? null : unsigned(held);
    if (held === undefined) return unsigned(folded);
    return unsigned(feature.kind === "min" ? Math.min(held, folded) : Math.max(held, folded));
  }

  #top(entity: ReservoirEntity, feature: FeaturePlan): unknown[] {
    const values = (this.#indexes.of(entity, feature) as CountedValues).top(feature.size);
    const { type } = feature.column as StoredColumn;
    return type === "boolean" ? values.map((value) => value !== 0) : values;
  }

  #first(entity: ReservoirEntity, feature: FeaturePlan, column: StoredColumn): unknown[] {
    const { tailCell, countCell } = feature.window;
    const from = tailCell < 0 ? this.#sequence.start(entity) : this.#cell(entity, tailCell);
    let rows = this.#sequence.rowsAt(entity, from);
    let offset = this.#sequence.offsetAt(from);
    const found: unknown[] = [];
    for (let left = this.#cell(entity, countCell); left > 0 && found.length < feature.size; left--) {
      if (offset === rows.count) {
        rows = this.#sequence.after(entity, rows) as EventRows;
        offset = 0;
      }
      const value = this.#output(rows, offset++, column);
      if (value !== null) found.push(value);
    }
    return found;
  }

  #last(entity: ReservoirEntity, feature: FeaturePlan, column: StoredColumn, size: number): unknown[] {
    const to = this.#cell(entity, feature.head.headCell);
    let rows = this.#sequence.rowsAt(entity, to);
    let offset = this.#sequence.offsetAt(to);
    const found: unknown[] = [];
    for (let left = this.#cell(entity, feature.window.countCell); left > 0 && found.length < size; left--) {
      if (offset === 0) {
        rows = this.#sequence.before(entity, rows) as EventRows;
        offset = rows.count;
      }
      const value = this.#output(rows, --offset, column);
      if (value !== null) found.push(value);
    }
    return found;
  }

  #output(rows: EventRows, offset: number, column: StoredColumn): unknown {
    const value = this.#indexes.value(rows, offset, column);
    return column.type === "boolean" && value !== null ? value !== 0 : value;
  }
}

function wideSum(entity: ReservoirEntity, cell: number): Float64Array {
  return entity.extra?.wides?.get(cell) as Float64Array;
}

/** The smallest value with at least `fraction` of the values at or below it. */
function percentile(values: SortedNumbers, fraction: number): number | null {
  const count = values.length;
  if (count === 0) return null;
  // fraction * count may round up to past a whole number: the comparison decides, as the definition has it.
  let rank = Math.min(count, Math.max(1, Math.ceil(fraction * count)));
  while (rank > 1 && (rank - 1) / count >= fraction) rank--;
  const value = values.at(rank - 1);
  return value === undefined ? null : unsigned(value);
}

/** Zeros of both signs are equal: which of them an index holds at a place depends on the order in which they came. */
function unsigned(value: number): number {
  return value + 0;
}

import { crc32 } from "node:zlib";
import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import type { Aggregate } from "./aggregate.ts";
import { blockDoublesMax } from "./arena.ts";
import {
  type FeaturePlan,
  type HeadPlan,
  type IndexKind,
  type IndexPlan,
  type ReservoirFeature,
  type ReservoirOptions,
  type ReservoirPlan,
  type StoredColumn,
  totalKinds,
  totalWidths,
  type WindowPlan,
} from "./reservoir-plan.ts";
import type { EventWindow } from "./window.ts";

/** Events of a full chunk, unless they are so wide that half a block does not hold them: the other half is for state. */
const chunkRowsMax = 128;

/** Version of the bytes that `ReservoirKind` writes. */
const layoutVersion = 1;

/** @throws KAPPA_TOPOLOGY_INVALID when an aggregate cannot be computed over its column */
export function planReservoir(options: ReservoirOptions): ReservoirPlan {
  const columns = storeColumns(options);
  const folds =
    options.windows.some(({ kind }) => kind === "unbounded") &&
    options.features.every((each) => foldable(each, options));
  const planner = new Planner(options, columns, folds);
  const heads = planner.heads();
  const features = planner.features();
  const everything = options.windows.some(({ kind }) => kind === "unbounded") && !folds;
  const reachMs = everything ? Number.POSITIVE_INFINITY : Math.max(0, ...planner.windows.map(({ leaveMs }) => leaveMs));
  const heldCount = Math.max(0, ...options.windows.map((window) => (window.kind === "count" ? window.size : 0)));
  const numbers = columns.filter(({ type }) => type !== "text");
  const stride = 1 + numbers.length;
  const derived = [
    ...options.windows.map((window, i) => `window ${i} = ${JSON.stringify(window)}`),
    ...options.features.map(describe),
    ...(heldCount > 0 ? [`the last ${heldCount} events before a grace of ${options.graceMs} ms`] : []),
  ];
  const wanted = options.chunkRows ?? chunkRowsMax;
  assert(wanted >= 2 && wanted <= chunkRowsMax, () => `chunks of ${wanted} events, limits 2 and ${chunkRowsMax}`);
  const chunkRows = Math.min(wanted, Math.floor(blockDoublesMax / 2 / stride));
  if (chunkRows < 2 || planner.cellCount > blockDoublesMax / 2) {
    throw new KappaError(
      "KAPPA_TOPOLOGY_INVALID",
      `store ${options.name}: ${planner.cellCount} state cells (limit ${blockDoublesMax / 2}) and ${stride} numbers ` +
        `an event (limit ${blockDoublesMax / 4}): split its features over two stores`,
    );
  }
  return {
    columns,
    stride,
    numberCount: numbers.length - options.marks.length,
    textCount: columns.length - numbers.length,
    id: options.idColumn === null ? null : columnNamed(columns, options.idColumn, options.name),
    cellCount: planner.cellCount,
    heads,
    positionCells: planner.positionCells,
    features,
    featuresBefore: features.filter(({ window }) => window.excludeCurrent),
    featuresAfter: features.filter(({ window }) => !window.excludeCurrent),
    indexCount: planner.indexCount,
    extremeCells: planner.extremeCells,
    graceMs: options.graceMs,
    reachMs,
    heldCount,
    folds,
    chunkRows,
    fingerprint: crc32(JSON.stringify([columns, derived])),
    layout: {
      store: options.name,
      kind: "reservoir",
      version: layoutVersion,
      columns: columns.map(({ name, type, absent }) => `${name}: ${type}${absent ? "?" : ""}`),
      features: derived,
      reachMs: Number.isFinite(reachMs) ? reachMs + options.graceMs : null,
      heldCount,
      folded: folds,
    },
  };
}

function storeColumns(options: ReservoirOptions): StoredColumn[] {
  let numbers = 1;
  let texts = 0;
  const columns: StoredColumn[] = [];
  for (const { name, type, nullable } of options.columns) {
    if (type === "json") {
      throw new KappaError(
        "KAPPA_TOPOLOGY_INVALID",
        `store ${options.name}: column "${name}" is json, which cannot be held`,
      );
    }
    // A double can be NaN even where null is no value of it, and NaN is absent.
    const absent = nullable || type === "number";
    columns.push({ name, type, index: type === "text" ? texts++ : numbers++, absent });
  }
  for (const name of options.marks) columns.push({ name, type: "mark", index: numbers++, absent: false });
  if (options.marks.length > 0 && options.idColumn === null) {
    throw new KappaError(
      "KAPPA_TOPOLOGY_INVALID",
      `store ${options.name} has marks but no id column to name events by`,
    );
  }
  return columns;
}

function columnNamed(columns: readonly StoredColumn[], name: string, store: string): StoredColumn {
  const column = columns.find((candidate) => candidate.name === name);
  if (column === undefined) throw new KappaError("KAPPA_TOPOLOGY_INVALID", `store ${store} holds no column "${name}"`);
  return column;
}

/** Whether a feature of an unbounded window needs no event once it is counted in. A mark may come at any time later. */
function foldable({ window, aggregate }: ReservoirFeature, options: ReservoirOptions): boolean {
  if (options.windows[window]?.kind !== "unbounded") return true;
  if (aggregate.column !== undefined && options.marks.includes(aggregate.column)) return false;
  return ["count", "sum", "mean", "variance", "sd", "ratio", "min", "max"].includes(aggregate.kind);
}

function describe({ name, window, aggregate }: ReservoirFeature): string {
  const { kind, ...parameters } = aggregate;
  return `${name} = ${kind} ${JSON.stringify(parameters)} over window ${window}`;
}

interface WindowDraft extends Omit<WindowPlan, "totalKinds" | "totalColumns" | "totalCells" | "indexes"> {
  readonly totalKinds: number[];
  readonly totalColumns: number[];
  readonly totalCells: number[];
  readonly indexes: IndexPlan[];
}

/** Hands out cells: as-of time, one position a head, then for each window its position, count and totals. */
class Planner {
  readonly windows: WindowDraft[] = [];
  readonly positionCells: number[] = [];
  readonly extremeCells: number[] = [];
  cellCount = 1;
  indexCount = 0;
  readonly #options: ReservoirOptions;
  readonly #columns: readonly StoredColumn[];
  readonly #folds: boolean;
  #heads: HeadPlan[] = [];

  constructor(options: ReservoirOptions, columns: readonly StoredColumn[], folds: boolean) {
    this.#options = options;
    this.#columns = columns;
    this.#folds = folds;
  }

  heads(): HeadPlan[] {
    const { windows, graceMs } = this.#options;
    const delays = new Map<number, WindowDraft[]>([[0, []]]);
    const put = (delayMs: number, draft: WindowDraft): void => {
      delays.set(delayMs, [...(delays.get(delayMs) ?? []), draft]);
    };
    for (const window of windows) {
      const draft = this.#draft(window);
      this.windows.push(draft);
      put(window.kind === "sliding" ? window.delayMs : 0, draft);
    }
    // Events out of order need the last `size` events before the grace: a window without features keeps them.
    const heldCount = Math.max(0, ...windows.map((window) => (window.kind === "count" ? window.size : 0)));
    if (heldCount > 0) put(graceMs, this.#draft({ kind: "count", size: heldCount, excludeCurrent: false }));
    this.#heads = [...delays].map(([delayMs, drafts]) => {
      const headCell = this.cellCount++;
      this.positionCells.push(headCell);
      return { delayMs, headCell, windows: drafts };
    });
    return this.#heads;
  }

  #draft(window: EventWindow): WindowDraft {
    const draft = {
      totalKinds: [],
      totalColumns: [],
      totalCells: [],
      indexes: [],
      excludeCurrent: window.excludeCurrent,
    };
    if (window.kind === "unbounded") {
      return { ...draft, kind: "unbounded", leaveMs: 0, size: 0, tailCell: -1, countCell: this.cellCount++ };
    }
    const tailCell = this.cellCount++;
    const countCell = this.cellCount++;
    this.positionCells.push(tailCell);
    if (window.kind === "count") return { ...draft, kind: "count", leaveMs: 0, size: window.size, tailCell, countCell };
    // Times are whole milliseconds: closed at both ends is the same as one millisecond longer.
    const leaveMs = window.delayMs + window.sizeMs + (window.closed === "both" ? 1 : 0);
    return { ...draft, kind: "sliding", leaveMs, size: 0, tailCell, countCell };
  }

  features(): FeaturePlan[] {
    return this.#options.features.map((feature, place) => {
      const window = this.windows[feature.window];
      assert(
        window !== undefined,
        () => `feature ${feature.name} has window ${feature.window} of ${this.windows.length}`,
      );
      const head = this.#heads.find((candidate) => candidate.windows.includes(window));
      assert(head !== undefined, () => `feature ${feature.name} has no head`);
      return this.#feature(feature, place, window, head);
    });
  }

  #feature({ name, aggregate }: ReservoirFeature, place: number, window: WindowDraft, head: HeadPlan): FeaturePlan {
    const store = this.#options.name;
    const column = aggregate.column === undefined ? null : columnNamed(this.#columns, aggregate.column, store);
    if (column !== null) requireFit(name, aggregate, column);
    const plan = {
      name,
      place,
      kind: aggregate.kind,
      window,
      head,
      column,
      countCell: window.countCell,
      sumCell: -1,
      sumWidth: 0,
      squareCell: -1,
      index: null,
      per: aggregate.kind === "mean" ? aggregate.per : 1,
      size: "size" in aggregate ? aggregate.size : 0,
      fraction: aggregate.kind === "percentile" ? aggregate.fraction : 0,
    };
    if (column === null) return plan;
    switch (aggregate.kind) {
      case "count":
        return { ...plan, countCell: this.#valueCount(window, column) };
      case "sum":
      case "ratio":
        return { ...plan, ...this.#sum(window, column) };
      case "mean":
        return { ...plan, ...this.#sum(window, column), countCell: this.#valueCount(window, column) };
      case "variance":
      case "sd": {
        const squareCell = this.#total(window, totalKinds.squareSum, column);
        return { ...plan, ...this.#sum(window, column), countCell: this.#valueCount(window, column), squareCell };
      }
      case "min":
      case "max":
        return { ...plan, index: this.#index(window, aggregate.kind, column) };
      case "distinct":
      case "top":
        return { ...plan, index: this.#index(window, "counts", column) };
      case "percentile":
        return { ...plan, index: this.#index(window, "order", column) };
      case "first":
      case "last":
      case "latest":
        return plan;
      default:
        return aggregate satisfies never;
    }
  }

  #valueCount(window: WindowDraft, column: StoredColumn): number {
    if (!column.absent) return window.countCell;
    return this.#total(window, column.type === "text" ? totalKinds.texts : totalKinds.numbers, column);
  }

  #sum(window: WindowDraft, column: StoredColumn): { readonly sumCell: number; readonly sumWidth: number } {
    const kind = column.type === "number" ? totalKinds.numberSum : totalKinds.integerSum;
    return { sumCell: this.#total(window, kind, column), sumWidth: totalWidths[kind] };
  }

  /** The cell of a total; features of one window share it. */
  #total(window: WindowDraft, kind: number, column: StoredColumn): number {
    for (let i = 0; i < window.totalKinds.length; i++) {
      if (window.totalKinds[i] === kind && window.totalColumns[i] === column.index)
        return window.totalCells[i] as number;
    }
    const cell = this.cellCount;
    this.cellCount += totalWidths[kind] as number;
    window.totalKinds.push(kind);
    window.totalColumns.push(column.index);
    window.totalCells.push(cell);
    return cell;
  }

  #index(window: WindowDraft, kind: IndexKind, column: StoredColumn): IndexPlan {
    const shared = window.indexes.find((index) => index.kind === kind && index.column === column);
    if (shared !== undefined) return shared;
    const folded = this.#folds && window.kind === "unbounded";
    const index = { kind, column, slot: this.indexCount++, foldedCell: folded ? this.cellCount++ : -1 };
    if (folded) this.extremeCells.push(index.foldedCell);
    window.indexes.push(index);
    return index;
  }
}

function requireFit(feature: string, { kind }: Aggregate, { name, type }: StoredColumn): void {
  const arithmetic = ["sum", "mean", "variance", "sd", "min", "max", "percentile", "ratio"];
  const indexed = ["min", "max", "distinct", "top", "percentile"];
  if (type === "text" && arithmetic.includes(kind)) {
    throw new KappaError("KAPPA_TOPOLOGY_INVALID", `feature "${feature}": ${kind} of column "${name}", which is text`);
  }
  if (type === "mark" && indexed.includes(kind)) {
    throw new KappaError(
      "KAPPA_TOPOLOGY_INVALID",
      `feature "${feature}": ${kind} of mark "${name}"; use ratio, sum or mean`,
    );
  }
}

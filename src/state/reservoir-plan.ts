import { crc32 } from "node:zlib";
import type { Column } from "../codec/column.ts";
import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import type { DurationMs } from "../core/time.ts";
import type { Aggregate } from "./aggregate.ts";
import { blockDoublesMax } from "./arena.ts";
import type { StoreLayout } from "./store-layout.ts";
import type { EventWindow } from "./window.ts";

/** A value computed over a window of a key's events. */
export interface ReservoirFeature {
  readonly name: string;
  /** Index into the windows of the reservoir. */
  readonly window: number;
  readonly aggregate: Aggregate;
}

export interface ReservoirOptions {
  /** Of the store. */
  readonly name: string;
  /** What is held of each event, besides its time and marks. `json` cannot be held. */
  readonly columns: readonly Column[];
  /** Columns that an event gets later, by `mark`: 0 until then, 1 from then on. */
  readonly marks: readonly string[];
  /** The column by which, together with its time, a mark names an event. */
  readonly idColumn: string | null;
  readonly windows: readonly EventWindow[];
  readonly features: readonly ReservoirFeature[];
  /** How much older than order time an event may be and still be inserted. */
  readonly graceMs: DurationMs;
  /** Events of a chunk: what a key with many events has in memory for each window's end. 2 to 128, the default. */
  readonly chunkRows?: number;
}

/** Where a column lies in a stored event: in the doubles, or in the texts. */
export interface StoredColumn {
  readonly name: string;
  readonly type: "number" | "integer" | "boolean" | "text" | "mark";
  /** Index into the doubles of an event (0 is its time), or into its texts. */
  readonly index: number;
  /** Whether it can be absent: NaN, or a null text. */
  readonly absent: boolean;
}

/** Running totals a window keeps in its entity's state cells. Plain numbers: they are switched on for every event. */
export const totalKinds = { numbers: 0, texts: 1, integerSum: 2, numberSum: 3, squareSum: 4 } as const;

/** Cells of each kind of total. Sums that need more are kept wide, apart from the cells. */
export const totalWidths = [1, 1, 1, 3, 4] as const;

/** Structures a window keeps in memory only and builds from its events when first asked. */
export type IndexKind = "min" | "max" | "counts" | "order";

export interface IndexPlan {
  readonly kind: IndexKind;
  readonly column: StoredColumn;
  /** Place in the entity's list of indexes. */
  readonly slot: number;
  /** For min and max of an unbounded window that folds: the cell that holds the extreme of what was folded; else -1. */
  readonly foldedCell: number;
}

export interface WindowPlan {
  readonly kind: "sliding" | "count" | "unbounded";
  /** Sliding: an event leaves when its time <= as-of time - `leaveMs`. */
  readonly leaveMs: number;
  /** Count: events it holds at most. */
  readonly size: number;
  readonly excludeCurrent: boolean;
  /** Cell of the position of its oldest event; -1 for unbounded. */
  readonly tailCell: number;
  /** Cell of the number of events in it. */
  readonly countCell: number;
  /** Its totals, as parallel lists. */
  readonly totalKinds: readonly number[];
  readonly totalColumns: readonly number[];
  readonly totalCells: readonly number[];
  readonly indexes: readonly IndexPlan[];
}

/** Windows that end at the same distance behind the as-of time: they share the position of their newest event. */
export interface HeadPlan {
  readonly delayMs: number;
  /** Cell of the position behind the newest event that is at least `delayMs` old. */
  readonly headCell: number;
  readonly windows: readonly WindowPlan[];
}

export interface FeaturePlan {
  readonly name: string;
  /** Index in the features asked for. */
  readonly place: number;
  readonly kind: Aggregate["kind"];
  readonly window: WindowPlan;
  readonly head: HeadPlan;
  /** Null for a count of events. */
  readonly column: StoredColumn | null;
  /** Cell that counts the values: a total's, or the window's own. */
  readonly countCell: number;
  readonly sumCell: number;
  readonly sumWidth: number;
  readonly squareCell: number;
  readonly index: IndexPlan | null;
  /** Divisor of a mean. */
  readonly per: number;
  readonly size: number;
  readonly fraction: number;
}

/** A reservoir's options, worked out once: where everything lies. */
export interface ReservoirPlan {
  readonly columns: readonly StoredColumn[];
  /** Doubles of an event: time, number columns, marks. */
  readonly stride: number;
  /** Number columns an event comes with. */
  readonly numberCount: number;
  readonly textCount: number;
  readonly id: StoredColumn | null;
  /** State cells of an entity; cell 0 is its as-of time. */
  readonly cellCount: number;
  /** The first one has no delay. */
  readonly heads: readonly HeadPlan[];
  /** All cells that hold positions. */
  readonly positionCells: readonly number[];
  readonly features: readonly FeaturePlan[];
  /** Those read before the event is inserted, since they leave it out, and those read after. */
  readonly featuresBefore: readonly FeaturePlan[];
  readonly featuresAfter: readonly FeaturePlan[];
  readonly indexCount: number;
  /** Cells that hold the extreme of what was folded, to be NaN at first. */
  readonly extremeCells: readonly number[];
  readonly graceMs: number;
  /** How far before the grace an event can count in a sliding window. Infinity: everything counts for ever. */
  readonly reachMs: number;
  /** The largest count window; 0 without one. */
  readonly heldCount: number;
  /** Whether an unbounded window lives on totals alone, and events leave it only physically. */
  readonly folds: boolean;
  /** Events of a full chunk. */
  readonly chunkRows: number;
  /** Of what the state cells mean. */
  readonly fingerprint: number;
  readonly layout: StoreLayout;
}

/** Events of a full chunk, unless they are so wide that a block does not hold them. */
const chunkRowsMax = 128;

/** Version of the bytes that `ReservoirStorage` writes. */
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
  const chunkRows = Math.min(wanted, Math.floor((blockDoublesMax - planner.cellCount) / stride));
  if (chunkRows < 2) {
    throw new KappaError(
      "KAPPA_TOPOLOGY_INVALID",
      `store ${options.name}: ${planner.cellCount} state cells and ${stride} numbers an event exceed a block of ` +
        `${blockDoublesMax}: split its features over two stores`,
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

/** Whether a feature of an unbounded window needs no event once it is counted in. */
function foldable({ window, aggregate }: ReservoirFeature, options: ReservoirOptions): boolean {
  if (options.windows[window]?.kind !== "unbounded") return true;
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

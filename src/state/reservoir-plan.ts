import type { Column } from "../codec/column.ts";
import type { DurationMs } from "../core/time.ts";
import type { Aggregate } from "./aggregate.ts";
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

import { KappaError } from "../core/errors.ts";

/**
 * What a store holds, as written beside it. A store is opened only by a topology that can read it; every line that
 * differs is named to the person who has to decide.
 */
export interface StoreLayout {
  readonly store: string;
  /** Which kind of store: `reservoir`, `table`, `dedup`, `window`. */
  readonly kind: string;
  /** Version of the byte layout of its values. */
  readonly version: number;
  /** `name: type` of each column, in order. */
  readonly columns: readonly string[];
  /** What is derived from the columns: windows and aggregates, in words. */
  readonly features: readonly string[];
  /** How far back its content reaches, by event time in ms; null without end. */
  readonly reachMs: number | null;
  /** How many of the newest events of a key it keeps however old they are. */
  readonly heldCount: number;
  /** Whether part of the content exists only as totals (an unbounded window's), so that nothing can be computed anew. */
  readonly folded: boolean;
}

export function parseLayout(text: string): StoreLayout {
  return JSON.parse(text) as StoreLayout;
}

/**
 * @returns whether derived content must be computed anew from what is stored
 * @throws KAPPA_STATE_INCOMPATIBLE when what is stored does not answer for what is asked
 */
export function requireCompatible(stored: StoreLayout, asked: StoreLayout): boolean {
  const differences = [
    ...changed("kind", stored.kind, asked.kind),
    ...changed("layout version", stored.version, asked.version),
    ...columnDifferences(stored.columns, asked.columns),
  ];
  const same = sameList(stored.features, asked.features);
  if (!same) differences.push(...coverDifferences(stored, asked));
  if (differences.length > 0) {
    throw new KappaError(
      "KAPPA_STATE_INCOMPATIBLE",
      `store ${asked.store} differs from what is stored: ${differences.join("; ")}: ` +
        "restore the old definition, or give the store a new name",
      { store: asked.store, differences: differences.length },
    );
  }
  return !same;
}

function changed(what: string, stored: string | number, asked: string | number): string[] {
  return stored === asked ? [] : [`${what} was ${stored} and is ${asked}`];
}

function columnDifferences(stored: readonly string[], asked: readonly string[]): string[] {
  if (sameList(stored, asked)) return [];
  const gone = stored.filter((column) => !asked.includes(column)).map((column) => `column "${column}" is gone`);
  const added = asked.filter((column) => !stored.includes(column)).map((column) => `column "${column}" is new`);
  return gone.length + added.length > 0 ? [...gone, ...added] : ["the columns are in another order"];
}

/** Whether the events that are held suffice for the features that are asked for. */
function coverDifferences(stored: StoreLayout, asked: StoreLayout): string[] {
  const added = asked.features.filter((feature) => !stored.features.includes(feature));
  const removed = stored.features.filter((feature) => !asked.features.includes(feature));
  if (stored.folded || asked.folded) {
    const named = [
      ...added.map((feature) => `"${feature}" is new`),
      ...removed.map((feature) => `"${feature}" is gone`),
    ];
    return named.length > 0 ? named : ["the features are in another order"];
  }
  if (stored.reachMs === null) return [];
  const reachesFurther = asked.reachMs === null || asked.reachMs > stored.reachMs;
  if (!reachesFurther && asked.heldCount <= stored.heldCount) return [];
  return added.map((feature) => `"${feature}" is new and reaches further back than the events that are held`);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, i) => line === b[i]);
}

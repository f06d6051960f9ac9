import type { Column } from "../codec/column.ts";
import { KappaError } from "../core/errors.ts";
import type { DurationMs } from "../core/time.ts";
import type { Aggregate } from "../state/aggregate.ts";
import type { KeyWindow } from "../state/window.ts";
import type { TopologyBuilder } from "./builder.ts";
import { type FeatureMap, type FeatureValues, WindowFeatures } from "./feature.ts";
import type { LatePolicy } from "./graph.ts";
import type { Stream } from "./stream.ts";

/** The bounds of a window, on each of its results. */
export interface WindowBounds {
  /** Inclusive. */
  window_start: number;
  /** Exclusive; for a session its last event plus the gap. */
  window_end: number;
}

export interface WindowOptions {
  /** `onClose` (default): one final result a window. `onUpdate`: the result so far on each event. */
  readonly emit?: "onClose" | "onUpdate";
  /**
   * When a caught-up stream is silent for so long by the wall clock, its time moves on with it, so that windows close:
   * once their end and grace have passed, and within a second of that. Such a tick is recorded, so that a replay can close
   * them at the same place. Default: windows close by later events only. A run until the end of its input makes no ticks:
   * windows that are open then stay open, and a later run goes on with them.
   */
  readonly idleMs?: DurationMs;
  /**
   * What becomes of an event whose windows have all closed. Default `aside`: it goes to `<application id>-late`.
   * `include` opens its windows anew: a second result with the same bounds, of the late events alone, follows with the
   * next event.
   */
  readonly late?: LatePolicy;
}

/** Events of a key grouped into tumbling, hopping or session windows. */
export class WindowedStream<V extends object, Key extends keyof V & string> {
  readonly #builder: TopologyBuilder;
  readonly #parent: number;
  readonly #key: Key;
  readonly #window: KeyWindow;
  readonly #stream: <Out extends object>(id: number) => Stream<Out>;

  constructor(
    builder: TopologyBuilder,
    parent: number,
    key: Key,
    window: KeyWindow,
    stream: <Out extends object>(id: number) => Stream<Out>,
  ) {
    this.#builder = builder;
    this.#parent = parent;
    this.#key = key;
    this.#window = window;
    this.#stream = stream;
  }

  /**
   * @param name of the store
   * @returns a stream of results: the key field, the bounds of the window and the aggregates; its event time is the
   *   window's end - 1 on close, the event's own on update
   */
  aggregate<Features extends FeatureMap>(
    name: string,
    define: (events: WindowFeatures<V, never>) => Features,
    options: WindowOptions = {},
  ): Stream<Pick<V, Key> & WindowBounds & FeatureValues<Features>> {
    const columns = this.#builder.columnsOf(this.#parent);
    const defined = Object.entries(define(new WindowFeatures<V, never>({ kind: "unbounded", excludeCurrent: false })));
    const aggregates = defined.map(([feature, { aggregate }]) => ({ name: feature, aggregate }));
    const key = columns.find((column) => column.name === this.#key);
    if (key === undefined) {
      throw new KappaError(
        "KAPPA_TOPOLOGY_INVALID",
        `windows "${name}" are keyed by "${this.#key}", which the value no longer has`,
      );
    }
    const id = this.#builder.add((id) => ({
      kind: "window",
      id,
      name,
      parents: [this.#parent],
      columns: [
        key,
        { name: "window_start", type: "integer", nullable: false },
        { name: "window_end", type: "integer", nullable: false },
        ...aggregates.map(({ name, aggregate }) => columnOfAggregate(name, aggregate, columns)),
      ],
      key: this.#key,
      window: this.#window,
      held: heldColumns(
        columns,
        aggregates.map(({ aggregate }) => aggregate),
        new Set(),
        undefined,
      ),
      aggregates,
      emit: options.emit ?? "onClose",
      idleMs: options.idleMs ?? null,
      late: options.late ?? "aside",
    }));
    return this.#stream(id);
  }
}

/** The column that an aggregate gives. */
export function columnOfAggregate(name: string, aggregate: Aggregate, columns: readonly Column[]): Column {
  switch (aggregate.kind) {
    case "count":
    case "distinct":
      return { name, type: "integer", nullable: false };
    case "sum": {
      const of = columns.find((column) => column.name === aggregate.column);
      return { name, type: of?.type === "number" ? "number" : "integer", nullable: false };
    }
    case "ratio":
      return { name, type: "number", nullable: false };
    case "mean":
    case "variance":
    case "sd":
    case "percentile":
    case "min":
    case "max":
      return { name, type: "number", nullable: true };
    case "latest": {
      const of = columns.find((column) => column.name === aggregate.column);
      return { name, type: of?.type ?? "json", nullable: true };
    }
    case "first":
    case "last":
    case "top":
      return { name, type: "json", nullable: false };
    default:
      return aggregate satisfies never;
  }
}

/** The columns of an event that its store must hold for these aggregates, in the order of the event's columns. */
export function heldColumns(
  columns: readonly Column[],
  aggregates: readonly Aggregate[],
  marks: ReadonlySet<string>,
  idColumn: string | undefined,
): Column[] {
  const wanted = new Set<string>();
  if (idColumn !== undefined) wanted.add(idColumn);
  for (const aggregate of aggregates) {
    if (aggregate.column !== undefined && !marks.has(aggregate.column)) wanted.add(aggregate.column);
  }
  for (const name of wanted) {
    if (!columns.some((column) => column.name === name)) {
      throw new KappaError("KAPPA_TOPOLOGY_INVALID", `an aggregate reads "${name}", which the value does not have`);
    }
  }
  return columns.filter((column) => wanted.has(column.name));
}

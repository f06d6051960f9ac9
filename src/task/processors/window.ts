import type { RowShape } from "../../codec/row-shape.ts";
import type { WindowResult, WindowStore } from "../../state/window-store.ts";
import type { Value, WindowNode } from "../../topology/graph.ts";
import type { LateRecords } from "../late-records.ts";
import { Row } from "../row.ts";
import type { EventAccess } from "./features.ts";
import { Processor, requireKey } from "./processor.ts";
import type { IdleDriven, TimeDriven } from "./time-driven.ts";

/** Adds each event to the windows of its key, and forwards the results of windows as they close or change. */
export class WindowProcessor extends Processor implements TimeDriven {
  readonly #store: WindowStore;
  readonly #access: EventAccess;
  readonly #node: WindowNode;
  readonly #project: RowShape;
  readonly #late: LateRecords;
  readonly #numbers: Float64Array;
  readonly #texts: (string | null)[];
  readonly #closed: (result: WindowResult) => void;
  readonly #updated: (result: WindowResult) => void;
  readonly #bury: (row: Row, error: unknown) => void;
  #orderTimeMs = 0;
  #current: Row | null = null;

  constructor(options: {
    readonly store: WindowStore;
    readonly access: EventAccess;
    readonly node: WindowNode;
    /** Of the results. */
    readonly project: RowShape;
    readonly late: LateRecords;
    /** Takes a result whose way on from here threw. */
    readonly bury: (row: Row, error: unknown) => void;
  }) {
    super();
    this.#bury = options.bury;
    this.#store = options.store;
    this.#access = options.access;
    this.#node = options.node;
    this.#project = options.project;
    this.#late = options.late;
    this.#numbers = new Float64Array(options.access.numberCount);
    this.#texts = Array.from({ length: options.access.textCount }, () => null);
    this.#closed = (result) => {
      if (this.#node.emit !== "onClose") return;
      const row = new Row(this.#value(result), result.endMs - 1, this.#orderTimeMs, 2, this.#node.id, 0);
      try {
        this.forward(row);
      } catch (error) {
        this.#bury(row, error);
      }
    };
    this.#updated = (result) => {
      const row = (this.#current as Row).copy();
      row.value = this.#value(result);
      this.forward(row);
    };
  }

  override process(row: Row): void {
    const { keyOf, numbersOf, textsOf } = this.#access;
    const key = requireKey(keyOf(row.value));
    if (this.#store.late(key, row.timeMs, row.orderTimeMs)) {
      if (!row.late) this.#late.count(); // an event that was late before was counted there
      row.late = true;
      if (this.#node.late === "aside") this.#late.write(row);
      if (this.#node.late !== "include") return;
    }
    numbersOf(row.value, this.#numbers, 0);
    textsOf(row.value, this.#texts);
    this.#store.update(key, row.timeMs, row.orderTimeMs, this.#numbers, this.#texts);
    if (this.#node.emit !== "onUpdate") return;
    this.#current = row;
    this.#store.updated(this.#updated);
  }

  /** What a tick would close; null where the node asks for none. */
  get idle(): IdleDriven | null {
    const { idleMs } = this.#node;
    if (idleMs === null) return null;
    const store = this.#store;
    return {
      idleMs,
      get nextMs() {
        return store.nextCloseMs;
      },
    };
  }

  advance(orderTimeMs: number): void {
    if (orderTimeMs < this.#store.nextCloseMs) return;
    this.#orderTimeMs = orderTimeMs;
    this.#store.closeUpTo(orderTimeMs, this.#closed);
  }

  #value({ key, startMs, endMs, results }: WindowResult): Value {
    const value: Record<string, unknown> = { [this.#node.key]: key, window_start: startMs, window_end: endMs };
    const { aggregates } = this.#node;
    for (let i = 0; i < aggregates.length; i++) value[(aggregates[i] as { name: string }).name] = results[i];
    return this.#project.project(value) as Value;
  }
}

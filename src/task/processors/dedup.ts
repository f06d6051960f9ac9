import type { Counter } from "../../core/meter.ts";
import type { DedupStore } from "../../state/dedup-store.ts";
import type { Value } from "../../topology/graph.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

/** Lets an id pass once within its time to live; and again when what passed died behind it and was sent again. */
export class DedupProcessor extends Processor {
  readonly #store: DedupStore;
  readonly #duplicates: Counter;
  readonly #idOf: (value: Value) => string | number | null;

  constructor(store: DedupStore, idOf: (value: Value) => string | number | null, duplicates: Counter) {
    super();
    this.#duplicates = duplicates;
    this.#store = store;
    this.#idOf = idOf;
  }

  override process(row: Row): void {
    const id = this.#idOf(row.value);
    if (row.passed !== "before" && id !== null && this.#store.seen(id, row.timeMs, row.orderTimeMs)) {
      this.#duplicates.add(1);
      return;
    }
    if (row.passed === "not") row.passed = "now";
    this.forward(row);
  }
}

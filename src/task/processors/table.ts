import type { TableStore } from "../../state/table-store.ts";
import type { Value } from "../../topology/graph.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

/** Keeps the versions of a table's keys. */
export class TableProcessor extends Processor {
  readonly #store: TableStore;
  readonly #keyOf: (value: Value) => string | number | null;

  constructor(store: TableStore, keyOf: (value: Value) => string | number | null) {
    super();
    this.#store = store;
    this.#keyOf = keyOf;
  }

  override process(row: Row): void {
    const key = this.#keyOf(row.value) as string | number;
    this.#store.put(key, row.timeMs, row.tombstone ? null : row.value, row.orderTimeMs);
  }
}

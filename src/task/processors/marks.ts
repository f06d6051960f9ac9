import { KappaError } from "../../core/errors.ts";
import type { Reservoir } from "../../state/reservoir.ts";
import type { MarkSource, Value } from "../../topology/graph.ts";
import type { Row } from "../row.ts";
import type { OrphanMarks } from "./orphans.ts";
import { Processor } from "./processor.ts";

/** Marks the events that the rows of another stream name: a fraud label on its transaction. */
export class MarkProcessor extends Processor {
  readonly #reservoir: Reservoir;
  readonly #source: MarkSource;
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #idOf: (value: Value) => string | number | null;
  readonly #timeOf: (value: Value) => string | number | null;
  readonly #orphans: OrphanMarks;

  constructor(options: {
    readonly reservoir: Reservoir;
    readonly source: MarkSource;
    readonly keyOf: (value: Value) => string | number | null;
    readonly idOf: (value: Value) => string | number | null;
    readonly timeOf: (value: Value) => string | number | null;
    /** Takes a mark whose event is not held. */
    readonly orphans: OrphanMarks;
  }) {
    super();
    this.#reservoir = options.reservoir;
    this.#source = options.source;
    this.#keyOf = options.keyOf;
    this.#idOf = options.idOf;
    this.#timeOf = options.timeOf;
    this.#orphans = options.orphans;
  }

  override process(row: Row): void {
    const key = this.#keyOf(row.value);
    const id = this.#idOf(row.value);
    const timeMs = this.#timeOf(row.value);
    if (key === null || id === null || typeof timeMs !== "number") {
      const message = `a mark names event ${String(id)} at ${String(timeMs)} of key ${String(key)}: none may be null`;
      throw new KappaError("KAPPA_RECORD_INVALID", message, { reason: "orphan" });
    }
    if (this.#reservoir.mark(key, timeMs, id, this.#source.mark, row.orderTimeMs)) return;
    this.#orphans.park({ key, timeMs, id }, this.#source, row);
  }
}

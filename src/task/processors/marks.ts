import type { Reservoir } from "../../state/reservoir.ts";
import type { MarkSource, Value } from "../../topology/graph.ts";
import type { DeadLetters } from "../dead-letter.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

/** Marks the events that the rows of another stream name: a fraud label on its transaction. */
export class MarkProcessor extends Processor {
  readonly #reservoir: Reservoir;
  readonly #source: MarkSource;
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #idOf: (value: Value) => string | number | null;
  readonly #timeOf: (value: Value) => string | number | null;
  readonly #dead: DeadLetters;
  readonly #place: { readonly topic: string; readonly partition: number; readonly stage: string };

  constructor(options: {
    readonly reservoir: Reservoir;
    readonly source: MarkSource;
    readonly keyOf: (value: Value) => string | number | null;
    readonly idOf: (value: Value) => string | number | null;
    readonly timeOf: (value: Value) => string | number | null;
    readonly dead: DeadLetters;
    readonly place: { readonly topic: string; readonly partition: number; readonly stage: string };
  }) {
    super();
    this.#reservoir = options.reservoir;
    this.#source = options.source;
    this.#keyOf = options.keyOf;
    this.#idOf = options.idOf;
    this.#timeOf = options.timeOf;
    this.#dead = options.dead;
    this.#place = options.place;
  }

  override process(row: Row): void {
    const key = this.#keyOf(row.value);
    const id = this.#idOf(row.value);
    const timeMs = this.#timeOf(row.value);
    if (key !== null && id !== null && typeof timeMs === "number") {
      if (this.#reservoir.mark(key, timeMs, id, this.#source.mark, row.orderTimeMs)) return;
    }
    const message = `no event ${String(id)} at ${String(timeMs)} is held for key ${String(key)}`;
    this.#dead.buryValue(row.timeMs, String(key), row.value, {
      ...this.#place,
      offset: row.sequence,
      reason: "orphan",
      message,
    });
  }
}

import type { Extender } from "../../codec/row-shape.ts";
import type { Reservoir } from "../../state/reservoir.ts";
import type { LatePolicy, Value } from "../../topology/graph.ts";
import type { LateRecords } from "../late-records.ts";
import type { Row } from "../row.ts";
import type { OrphanMarks } from "./orphans.ts";
import { Processor, requireKey } from "./processor.ts";

/** Reads what a reservoir holds of an event. */
export interface EventAccess {
  readonly keyOf: (value: Value) => string | number | null;
  readonly numbersOf: (value: Value, into: Float64Array, at: number) => void;
  readonly textsOf: (value: Value, into: (string | null)[]) => void;
  readonly numberCount: number;
  readonly textCount: number;
}

/** Inserts each event into its entity's reservoir and adds the features of that moment to it. */
export class FeaturesProcessor extends Processor {
  readonly #reservoir: Reservoir;
  readonly #access: EventAccess;
  readonly #extender: Extender;
  readonly #graceMs: number;
  readonly #policy: LatePolicy;
  readonly #late: LateRecords;
  readonly #orphans: OrphanMarks | null;
  readonly #idOf: ((value: Value) => string | number | null) | null;
  readonly #numbers: Float64Array;
  readonly #texts: (string | null)[];
  readonly #out: unknown[];

  constructor(options: {
    readonly reservoir: Reservoir;
    readonly access: EventAccess;
    readonly extender: Extender;
    readonly featureCount: number;
    readonly graceMs: number;
    readonly policy: LatePolicy;
    readonly late: LateRecords;
    /** Marks that came before their event; null for a node without marks. */
    readonly orphans: OrphanMarks | null;
    /** What marks name an event by; null for a node without marks. */
    readonly idOf: ((value: Value) => string | number | null) | null;
  }) {
    super();
    this.#reservoir = options.reservoir;
    this.#access = options.access;
    this.#extender = options.extender;
    this.#graceMs = options.graceMs;
    this.#policy = options.policy;
    this.#late = options.late;
    this.#orphans = options.orphans;
    this.#idOf = options.idOf;
    this.#numbers = new Float64Array(options.access.numberCount);
    this.#texts = Array.from({ length: options.access.textCount }, () => null);
    this.#out = Array.from({ length: options.featureCount }, () => null);
  }

  override process(row: Row): void {
    if (!this.#late.admit(row, this.#graceMs, this.#policy)) return;
    const { keyOf, numbersOf, textsOf } = this.#access;
    const key = requireKey(keyOf(row.value));
    numbersOf(row.value, this.#numbers, 0);
    textsOf(row.value, this.#texts);
    this.#reservoir.observe(key, row.timeMs, row.orderTimeMs, row.late, this.#numbers, this.#texts, this.#out);
    if (this.#orphans !== null && this.#orphans.waiting > 0 && !row.late) this.#settle(this.#orphans, key, row);
    row.value = this.#extender.extend(row.value, this.#out) as Value;
    this.forward(row);
  }

  /** The marks that wait for this event count from the next row on, as if they had come after it. */
  #settle(orphans: OrphanMarks, key: string | number, { value, timeMs, orderTimeMs }: Row): void {
    const id = this.#idOf?.(value) ?? null;
    if (id !== null) orphans.settle({ key, timeMs, id }, orderTimeMs);
  }
}

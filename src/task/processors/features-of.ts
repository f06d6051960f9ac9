import type { Extender } from "../../codec/row-shape.ts";
import type { Reservoir } from "../../state/reservoir.ts";
import type { LatePolicy, Value } from "../../topology/graph.ts";
import type { LateRecords } from "../late-records.ts";
import type { Row } from "../row.ts";
import type { EventAccess } from "./features.ts";
import { Processor, requireKey } from "./processor.ts";

/** What both sides of a features node over another stream share. */
export interface SharedReservoir {
  readonly reservoir: Reservoir;
  readonly graceMs: number;
  readonly policy: LatePolicy;
  readonly late: LateRecords;
}

/** Inserts each event of one stream into its entity's reservoir, for the rows of another to ask. Hands nothing on. */
export class HeldEventsProcessor extends Processor {
  readonly #shared: SharedReservoir;
  readonly #access: EventAccess;
  readonly #numbers: Float64Array;
  readonly #texts: (string | null)[];

  constructor(shared: SharedReservoir, access: EventAccess) {
    super();
    this.#shared = shared;
    this.#access = access;
    this.#numbers = new Float64Array(access.numberCount);
    this.#texts = Array.from({ length: access.textCount }, () => null);
  }

  override process(row: Row): void {
    const { reservoir, graceMs, policy, late } = this.#shared;
    if (!late.admit(row, graceMs, policy) || row.late) return;
    const { keyOf, numbersOf, textsOf } = this.#access;
    const key = requireKey(keyOf(row.value));
    numbersOf(row.value, this.#numbers, 0);
    textsOf(row.value, this.#texts);
    reservoir.insert(key, row.timeMs, row.orderTimeMs, this.#numbers, this.#texts);
  }
}

/** Adds to each row the features of its entity as of the row's time, over the events that another stream brought. */
export class FeaturesOfProcessor extends Processor {
  readonly #shared: SharedReservoir;
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #extender: Extender;
  readonly #out: unknown[];

  constructor(
    shared: SharedReservoir,
    keyOf: (value: Value) => string | number | null,
    extender: Extender,
    featureCount: number,
  ) {
    super();
    this.#shared = shared;
    this.#keyOf = keyOf;
    this.#extender = extender;
    this.#out = Array.from({ length: featureCount }, () => null);
  }

  override process(row: Row): void {
    const { reservoir, graceMs, policy, late } = this.#shared;
    if (!late.admit(row, graceMs, policy)) return;
    // Time goes on for the store although no event comes: what is past its reach may go.
    reservoir.orderTimeMs = row.orderTimeMs;
    reservoir.read(requireKey(this.#keyOf(row.value)), row.timeMs, row.orderTimeMs, this.#out);
    row.value = this.#extender.extend(row.value, this.#out) as Value;
    this.forward(row);
  }
}

import type { Extender } from "../../codec/row-shape.ts";
import type { EventFacts, Value } from "../../topology/graph.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

export class FilterProcessor extends Processor {
  readonly #predicate: (value: Value) => boolean;

  constructor(predicate: (value: Value) => boolean) {
    super();
    this.#predicate = predicate;
  }

  override process(row: Row): void {
    if (this.#predicate(row.value)) this.forward(row);
  }
}

export class PeekProcessor extends Processor {
  readonly #action: (value: Value) => void;

  constructor(action: (value: Value) => void) {
    super();
    this.#action = action;
  }

  override process(row: Row): void {
    this.#action(row.value);
    this.forward(row);
  }
}

/** Sends a row to the first arm whose predicate holds. */
export class BranchProcessor extends Processor {
  readonly #predicates: readonly ((value: Value) => boolean)[];
  readonly #arms: Processor[] = [];

  constructor(predicates: readonly ((value: Value) => boolean)[]) {
    super();
    this.#predicates = predicates;
  }

  /** Arms come in the order of the predicates. */
  override addNext(arm: Processor): void {
    this.#arms.push(arm);
  }

  override process(row: Row): void {
    for (let i = 0; i < this.#predicates.length; i++) {
      if (!(this.#predicates[i] as (value: Value) => boolean)(row.value)) continue;
      this.#arms[i]?.process(row);
      return;
    }
  }
}

/** Replaces the value by what a function gives, brought into the declared shape. */
export class MapProcessor extends Processor {
  readonly #map: (value: Value, event: EventFacts) => Value;
  readonly #project: (source: object) => object;

  constructor(map: (value: Value, event: EventFacts) => Value, project: (source: object) => object) {
    super();
    this.#map = map;
    this.#project = project;
  }

  override process(row: Row): void {
    row.value = this.#project(this.#map(row.value, row));
    this.forward(row);
  }
}

/** Puts fields that a function computes on top of the value. */
export class ExtendProcessor extends Processor {
  readonly #compute: (value: Value, event: EventFacts) => Value;
  readonly #extender: Extender;
  readonly #names: readonly string[];
  readonly #extras: unknown[];

  constructor(compute: (value: Value, event: EventFacts) => Value, extender: Extender, names: readonly string[]) {
    super();
    this.#compute = compute;
    this.#extender = extender;
    this.#names = names;
    this.#extras = names.map(() => null);
  }

  override process(row: Row): void {
    const computed = this.#compute(row.value, row) as Record<string, unknown>;
    const names = this.#names;
    for (let i = 0; i < names.length; i++) this.#extras[i] = computed[names[i] as string];
    row.value = this.#extender.extend(row.value, this.#extras) as Value;
    this.forward(row);
  }
}

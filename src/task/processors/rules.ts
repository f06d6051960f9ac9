import type { Extender } from "../../codec/row-shape.ts";
import type { CompiledRules } from "../../scoring/compiled-rules.ts";
import type { Value } from "../../topology/graph.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

/** Adds the first rule that holds and what it decides; a rule that leaves it to the model decides nothing. */
export class RulesProcessor extends Processor {
  readonly #rules: CompiledRules;
  readonly #extender: Extender;
  readonly #extras: unknown[] = [null, null];

  constructor(rules: CompiledRules, extender: Extender) {
    super();
    this.#rules = rules;
    this.#extender = extender;
  }

  override process(row: Row): void {
    const rule = this.#rules.first(row.value);
    this.#extras[0] = rule === undefined ? null : rule.id;
    this.#extras[1] = rule === undefined || rule.then === "score" ? null : rule.then;
    row.value = this.#extender.extend(row.value, this.#extras) as Value;
    this.forward(row);
  }
}

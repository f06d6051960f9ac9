import { KappaError } from "../../core/errors.ts";
import type { Row } from "../row.ts";

/** What a node of the graph does to a row, at run time. One a node and task. */
export abstract class Processor {
  readonly #next: Processor[] = [];

  /** Adds a processor that gets every row this one forwards. */
  addNext(next: Processor): void {
    this.#next.push(next);
  }

  /** Takes a row, in the order of the task. Synchronous; what must wait (a model) collects rows for `Deferred`. */
  abstract process(row: Row): void;

  /** Hands a row on. Where the way forks, every arm but the last gets a copy, since rows are changed in place. */
  forward(row: Row): void {
    const next = this.#next;
    const last = next.length - 1;
    for (let i = 0; i < last; i++) (next[i] as Processor).process(row.copy());
    if (last >= 0) (next[last] as Processor).process(row);
  }
}

/** A processor that hands its rows on only when asked: once a commit, so that a model scores them together. */
export interface Deferred {
  /** Hands on every row it holds, in the order they came. */
  flush(): Promise<void>;
}

/** Passes rows on as they are: sources, merges, the arms of a branch. */
export class PassProcessor extends Processor {
  override process(row: Row): void {
    this.forward(row);
  }
}

/** @throws KAPPA_RECORD_INVALID where a row has no key to go by */
export function requireKey(key: string | number | null): string | number {
  if (key === null) throw new KappaError("KAPPA_RECORD_INVALID", "the key is null here", { reason: "null_key" });
  return key;
}

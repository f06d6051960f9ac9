import type { Log } from "../log/log.ts";
import { recordAt } from "../log/record-at.ts";
import type { DeadLetters } from "./dead-letter.ts";
import type { GlobalTable, TableFault } from "./global-table.ts";

/** Dead letters of tables in one commit. */
const lettersMax = 1000;

/**
 * Makes dead letters of the records of global tables that are no versions, each once. Every task reads every global
 * table, from its beginning at every start; so one of them, task 0, answers for them all, and its commit record says
 * up to where it has.
 */
export class TableFaults {
  readonly #tables: readonly GlobalTable[];
  readonly #log: Log;
  readonly #dead: DeadLetters;
  /** By topic, then partition: offset before which every fault is a dead letter. */
  readonly #answered: Map<string, number[]>;
  readonly #waiting: { readonly table: GlobalTable; readonly fault: TableFault }[] = [];

  /** @param committed as `positions` of the last commit */
  constructor(
    tables: readonly GlobalTable[],
    log: Log,
    dead: DeadLetters,
    committed: Readonly<Record<string, readonly number[]>>,
  ) {
    this.#tables = tables;
    this.#log = log;
    this.#dead = dead;
    this.#answered = new Map(Object.entries(committed).map(([topic, offsets]) => [topic, [...offsets]]));
  }

  /** Buries what the tables have found, as much as fits one commit. */
  bury(): void {
    for (const table of this.#tables) {
      const answered = this.#answeredOf(table);
      for (const fault of table.takeFaults())
        if (fault.offset >= (answered[fault.partition] ?? 0)) this.#waiting.push({ table, fault });
    }
    for (const { table, fault } of this.#waiting.splice(0, lettersMax)) {
      const { topic, name } = table.node;
      const record = recordAt(this.#log, topic, fault.partition, fault.offset);
      if (record !== undefined) this.#dead.bury(record, { ...fault, topic, stage: name });
      this.#answeredOf(table)[fault.partition] = fault.offset + 1;
    }
  }

  #answeredOf({ node: { topic } }: GlobalTable): number[] {
    let answered = this.#answered.get(topic);
    if (answered === undefined) {
      answered = [];
      this.#answered.set(topic, answered);
    }
    return answered;
  }

  /** By topic, then partition; as a commit record keeps it. */
  get positions(): Record<string, number[]> {
    return Object.fromEntries(
      [...this.#answered].map(([topic, offsets]) => [topic, Array.from(offsets, (at) => at ?? 0)]),
    );
  }
}

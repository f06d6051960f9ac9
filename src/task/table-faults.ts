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
  readonly #tables: readonly { readonly table: GlobalTable; seen: number }[];
  readonly #log: Log;
  readonly #dead: DeadLetters;
  /** By topic, then partition: offset before which every fault is a dead letter. */
  readonly #answered: Map<string, number[]>;

  /** @param committed as `positions` of the last commit */
  constructor(
    tables: readonly GlobalTable[],
    log: Log,
    dead: DeadLetters,
    committed: Readonly<Record<string, readonly number[]>>,
  ) {
    this.#tables = tables.map((table) => ({ table, seen: 0 }));
    this.#log = log;
    this.#dead = dead;
    this.#answered = new Map(Object.entries(committed).map(([topic, offsets]) => [topic, [...offsets]]));
  }

  /** Whether the tables have found something that is not buried yet. */
  get pending(): boolean {
    return this.#tables.some(({ table, seen }) => seen < table.faults.length);
  }

  /** Buries what the tables have found, as much as fits one commit. */
  async bury(): Promise<void> {
    let left = lettersMax;
    for (const each of this.#tables) {
      const { faults, node } = each.table;
      const answered = this.#answeredOf(node.topic);
      for (; left > 0 && each.seen < faults.length; each.seen++) {
        const fault = faults[each.seen] as TableFault;
        const { partition, offset } = fault;
        if (offset < (answered[partition] ?? 0)) continue;
        const record = await recordAt(this.#log, node.topic, partition, offset);
        if (record !== undefined) this.#dead.bury(record, { ...fault, topic: node.topic, stage: node.name });
        answered[partition] = offset + 1;
        left--;
      }
    }
  }

  #answeredOf(topic: string): number[] {
    let answered = this.#answered.get(topic);
    if (answered === undefined) {
      answered = [];
      this.#answered.set(topic, answered);
    }
    return answered;
  }

  /** By topic, then partition; as a commit record keeps it. */
  get positions(): Record<string, number[]> {
    const topics = [...this.#answered].filter(([, offsets]) => offsets.length > 0);
    return Object.fromEntries(topics.map(([topic, offsets]) => [topic, Array.from(offsets, (at) => at ?? 0)]));
  }
}

import { resolve } from "node:path";
import {
  type HandbookLabel,
  type HandbookTransaction,
  handbookLabelSchema,
  handbookTransactionSchema,
} from "../../schemas/records.ts";
import {
  type Columns,
  labelColumns,
  mergeOrder,
  readColumns,
  transactionColumns,
} from "../../scripts/handbook-input.ts";
import { days } from "../../src/index.ts";
import type { InputEvent, Workload } from "./workload.ts";

export interface HandbookFiles {
  readonly transactions: readonly string[];
  readonly labels: readonly string[];
  readonly model: string;
  /** How often the files are preloaded, one after the other. */
  readonly copies: number;
}

/**
 * The handbook's job over files, several times over: each copy has ids of its own and lies a whole number of weeks
 * behind the one before, so that days of the week and hours stay what they are; customers and terminals stay the same.
 */
export async function handbookWorkload(files: HandbookFiles): Promise<Workload> {
  const transactions = await readColumns(files.transactions, transactionColumns);
  const labels = await readColumns(files.labels, labelColumns);
  const copies = new Copies(transactions, labels);
  return {
    name: `handbook, ${files.copies} copies of ${transactions.length} transactions`,
    topology: {
      module: new URL("../../topologies/handbook.ts", import.meta.url).href,
      parameters: { model: resolve(files.model) },
    },
    decisionsTopic: "fraud-decisions",
    inputs: { transactions: handbookTransactionSchema, "fraud-labels": handbookLabelSchema },
    preloaded: files.copies * transactions.length,
    events: () => copies.events(),
  };
}

class Copies {
  readonly #transactions: Columns;
  readonly #labels: Columns;
  readonly #order: Uint32Array;
  /** What times and transaction ids move on by from one copy to the next. */
  readonly #timeStepMs: number;
  readonly #idStep: number;

  constructor(transactions: Columns, labels: Columns) {
    this.#transactions = transactions;
    this.#labels = labels;
    this.#order = mergeOrder(transactions, labels);
    const [earliest, latest] = spanOf([transactions.of.ts_ms, labels.of.ts_ms]);
    this.#timeStepMs = (Math.floor((latest - earliest) / days(7)) + 1) * days(7);
    this.#idStep = spanOf([transactions.of.tx_id, labels.of.tx_id])[1] + 1;
  }

  *events(): Generator<InputEvent, never> {
    for (let copy = 0; ; copy++) {
      for (const row of this.#order) {
        yield row < this.#transactions.length
          ? this.#transaction(row, copy)
          : this.#label(row - this.#transactions.length, copy);
      }
    }
  }

  #transaction(row: number, copy: number): InputEvent {
    const { of } = this.#transactions;
    const value: HandbookTransaction = {
      tx_id: at(of, "tx_id", row) + copy * this.#idStep,
      ts: at(of, "ts_ms", row) + copy * this.#timeStepMs,
      customer_id: at(of, "customer_id", row),
      terminal_id: at(of, "terminal_id", row),
      amount_cents: at(of, "amount_cents", row),
    };
    const decisionKey = String(value.tx_id);
    return { topic: "transactions", key: String(value.customer_id), timeMs: value.ts, value, decisionKey };
  }

  #label(row: number, copy: number): InputEvent {
    const { of } = this.#labels;
    const value: HandbookLabel = {
      tx_id: at(of, "tx_id", row) + copy * this.#idStep,
      ts: at(of, "ts_ms", row) + copy * this.#timeStepMs,
      tx_ts: at(of, "tx_ts_ms", row) + copy * this.#timeStepMs,
      customer_id: at(of, "customer_id", row),
      terminal_id: at(of, "terminal_id", row),
    };
    return { topic: "fraud-labels", key: String(value.customer_id), timeMs: value.ts, value, decisionKey: null };
  }
}

function at(columns: Columns["of"], name: string, row: number): number {
  return columns[name]?.[row] as number;
}

function spanOf(columns: readonly (Float64Array | undefined)[]): [number, number] {
  let earliest = Number.POSITIVE_INFINITY;
  let latest = Number.NEGATIVE_INFINITY;
  for (const column of columns) {
    for (const value of column ?? []) {
      if (value < earliest) earliest = value;
      if (value > latest) latest = value;
    }
  }
  return [earliest, latest];
}

import type { Extender } from "../../codec/row-shape.ts";
import type { TableStore } from "../../state/table-store.ts";
import type { Value } from "../../topology/graph.ts";
import type { GlobalTable } from "../global-table.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

/** How a row meets a table. */
export interface JoinAccess {
  readonly keyOf: (value: Value) => string | number | null;
  readonly joiner: (value: Value, row: Value | null) => Value;
  readonly extender: Extender;
  /** Names of the fields that the joiner gives, in the order of the extender. */
  readonly names: readonly string[];
  /** Whether rows without a match are dropped. */
  readonly inner: boolean;
}

/** Adds what the joiner makes of the version found. */
abstract class Joining extends Processor {
  readonly #access: JoinAccess;
  readonly #extras: unknown[];

  constructor(access: JoinAccess) {
    super();
    this.#access = access;
    this.#extras = access.names.map(() => null);
  }

  protected abstract find(key: string | number, asOfMs: number): Value | null;

  override process(row: Row): void {
    const { keyOf, joiner, extender, names, inner } = this.#access;
    const key = keyOf(row.value);
    const found = key === null ? null : this.find(key, row.timeMs);
    if (found === null && inner) return;
    const joined = joiner(row.value, found) as Readonly<Record<string, unknown>>;
    for (let i = 0; i < names.length; i++) this.#extras[i] = joined[names[i] as string];
    row.value = extender.extend(row.value, this.#extras) as Value;
    this.forward(row);
  }
}

/** Joins the table partition that the task holds, as of the row's event time. */
export class JoinProcessor extends Joining {
  readonly #table: TableStore;

  constructor(table: TableStore, access: JoinAccess) {
    super(access);
    this.#table = table;
  }

  protected override find(key: string | number, asOfMs: number): Value | null {
    return this.#table.get(key, asOfMs) as Value | null;
  }
}

/** Joins a table that is held whole, as of the row's event time. */
export class GlobalJoinProcessor extends Joining {
  readonly #table: GlobalTable;

  constructor(table: GlobalTable, access: JoinAccess) {
    super(access);
    this.#table = table;
  }

  protected override find(key: string | number, asOfMs: number): Value | null {
    return this.#table.get(key, asOfMs);
  }
}

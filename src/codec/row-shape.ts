import { KappaError } from "../core/errors.ts";
import { type Column, type ColumnType, checkColumns } from "./column.ts";
import { generate } from "./generated-code.ts";

/** Writes `names.length` numbers of a value into an array, from index `at` on. */
export type NumberReader<Into> = (value: object, into: Into, at: number) => void;
/** Writes `names.length` texts of a value into an array, from index 0 on. */
export type TextReader = (value: object, into: (string | null)[]) => void;
export type KeyReader = (value: object) => string | number | null;

export interface Extender {
  /** The columns of the value and the added ones behind them. */
  readonly shape: RowShape;
  /** A new object of `shape`: the columns of `value`, then `extras` in the order they were declared. Absent is null. */
  extend(value: object, extras: readonly unknown[]): object;
}

/**
 * Compiled access to values of known columns. Objects that `project`, `extend` and the row batch reader build for the
 * same columns in the same order are plain objects of one hidden class, so code that sees only them stays monomorphic.
 * Make one shape for a stage and keep it: every reader is compiled when asked for.
 */
export class RowShape {
  readonly columns: readonly Column[];
  /** A new object with exactly these columns, taken from `source` by name. Absent and undefined become null. */
  readonly project: (source: object) => object;
  readonly #byName = new Map<string, Column>();

  /** @throws KAPPA_SCHEMA_INVALID as `checkColumns` */
  constructor(columns: readonly Column[]) {
    checkColumns(columns);
    this.columns = columns;
    for (const column of columns) this.#byName.set(column.name, column);
    this.project = generate(`(source) => (${literal(columns, copyOf("source"))})`);
  }

  column(name: string): Column | undefined {
    return this.#byName.get(name);
  }

  /** @throws KAPPA_SCHEMA_INVALID when an added name is taken */
  extender(extra: readonly Column[]): Extender {
    const shape = new RowShape([...this.columns, ...extra]);
    const kept = entries(this.columns, copyOf("value"));
    const added = entries(extra, (_, i) => `extras[${i}] ?? null`);
    return { shape, extend: generate(`(value, extras) => ({ ${[...kept, ...added].join(", ")} })`) };
  }

  /** Null and absent become NaN, false and true 0 and 1. @throws KAPPA_TOPOLOGY_INVALID for text and json columns */
  numberReader(names: readonly string[]): NumberReader<Float64Array> {
    return this.#numbers(names);
  }

  /** As `numberReader`, rounded to float32: what models read. A double beyond the range of float32 becomes infinite. */
  vectorReader(names: readonly string[]): NumberReader<Float32Array> {
    return this.#numbers(names);
  }

  // A typed array turns true into 1 and null into 0; only null and undefined need a hand. Each call compiles a function
  // of its own, so one that fills a Float32Array never shares its inline caches with one that fills a Float64Array.
  #numbers<Into>(names: readonly string[]): NumberReader<Into> {
    this.#require(names, ["number", "integer", "boolean"]);
    const lines = names.map(
      (name, i) => `x = value.${name}; into[at + ${i}] = x === null || x === undefined ? NaN : x;`,
    );
    return generate(`(value, into, at) => { let x; ${lines.join(" ")} }`);
  }

  /** Absent becomes null. @throws KAPPA_TOPOLOGY_INVALID for columns that are not text */
  textReader(names: readonly string[]): TextReader {
    this.#require(names, ["text"]);
    return generate(`(value, into) => { ${names.map((name, i) => `into[${i}] = value.${name} ?? null;`).join(" ")} }`);
  }

  /** @throws KAPPA_TOPOLOGY_INVALID for columns that are neither text nor numbers */
  keyReader(name: string): KeyReader {
    this.#require([name], ["text", "number", "integer"]);
    return generate(`(value) => value.${name} ?? null`);
  }

  #require(names: readonly string[], types: readonly ColumnType[]): void {
    for (const name of names) {
      const column = this.#byName.get(name);
      if (column === undefined) {
        const known = this.columns.map((each) => each.name).join(", ");
        throw new KappaError("KAPPA_TOPOLOGY_INVALID", `there is no column ${name}: use one of ${known}`, {
          column: name,
        });
      }
      if (!types.includes(column.type)) {
        const message = `column ${name} is ${column.type}, needed here: ${types.join(" or ")}`;
        throw new KappaError("KAPPA_TOPOLOGY_INVALID", message, { column: name, type: column.type });
      }
    }
  }
}

/** Source text of an object literal with one property a column, in order: the order makes the hidden class. */
export function literal(columns: readonly Column[], valueText: (column: Column, index: number) => string): string {
  return `{ ${entries(columns, valueText).join(", ")} }`;
}

function entries(columns: readonly Column[], valueText: (column: Column, index: number) => string): string[] {
  return columns.map((column, i) => `${column.name}: ${valueText(column, i)}`);
}

function copyOf(variable: string): (column: Column) => string {
  return (column) => `${variable}.${column.name} ?? null`;
}

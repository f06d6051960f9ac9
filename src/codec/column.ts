import { KappaError } from "../core/errors.ts";

/**
 * How a field of a value lives in memory and in internal topics.
 *
 * - `number`: Avro int, long (safe integers), float, double and their times
 * - `integer`: the same, and always a whole number: sums of it are exact integers
 * - `boolean`, `text` (string, enum, uuid)
 * - `json`: anything else (arrays, maps, records, bytes); carried as it is, never summed
 */
export type ColumnType = "number" | "integer" | "boolean" | "text" | "json";

export interface Column {
  /** An identifier `[A-Za-z_][A-Za-z0-9_]*` that no object has from birth: not `__proto__`, not `toString`. */
  readonly name: string;
  readonly type: ColumnType;
  /** Whether null is a value of it. Absent is null. */
  readonly nullable: boolean;
}

/** Columns of one shape: V8 keeps objects of up to about 1000 properties in fast mode. */
export const columnsMax = 1000;

/**
 * Whether a name may be a column. Names become identifiers in generated code and properties of plain objects, so a name
 * must be an identifier and must not mean anything on an object that lacks it.
 */
export function validColumnName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && name !== "prototype" && !(name in Object.prototype);
}

/** @throws KAPPA_SCHEMA_INVALID for a bad name, a name used twice, or more than `columnsMax` columns */
export function checkColumns(columns: readonly Column[]): void {
  if (columns.length > columnsMax) {
    throw new KappaError("KAPPA_SCHEMA_INVALID", `${columns.length} columns, limit ${columnsMax}`);
  }
  const names = new Set<string>();
  for (const { name } of columns) {
    if (!validColumnName(name)) {
      const message = `${JSON.stringify(name)} cannot name a field: use letters, digits and _, and no name that every object has`;
      throw new KappaError("KAPPA_SCHEMA_INVALID", message, { field: name });
    }
    if (names.has(name)) {
      throw new KappaError("KAPPA_SCHEMA_INVALID", `field ${name} is declared twice: rename one`, { field: name });
    }
    names.add(name);
  }
}

import type { ColumnType } from "../codec/column.ts";

/**
 * Declares the columns that a function gives, by name: `{ is_night: "boolean", distance_km: "number?" }`.
 * A question mark allows null.
 */
export type ColumnMap = Readonly<Record<string, ColumnType | `${ColumnType}?`>>;

interface TypeOf {
  number: number;
  integer: number;
  boolean: boolean;
  text: string;
  json: unknown;
}

/** The value that a `ColumnMap` declares. */
export type RowOf<Columns extends ColumnMap> = {
  -readonly [Name in keyof Columns]: Columns[Name] extends `${infer Type extends ColumnType}?`
    ? TypeOf[Type] | null
    : Columns[Name] extends ColumnType
      ? TypeOf[Columns[Name]]
      : never;
};

/**
 * What a function adds that declares `Columns` and returns `Returned`: the declared types, save that a json column has
 * the type of what is returned.
 */
export type Computed<Columns extends ColumnMap, Returned> = {
  -readonly [Name in keyof Columns]: Columns[Name] extends "json" | "json?"
    ? Name extends keyof Returned
      ? Returned[Name]
      : unknown
    : RowOf<Columns>[Name];
};

/** Names of the fields of a value that are numbers or booleans, null allowed. */
export type NumericField<Value> = {
  [Name in keyof Value & string]: [NonNullable<Value[Name]>] extends [number | boolean] ? Name : never;
}[keyof Value & string];

/** Names of the fields of a value that can be a key: text or integers, not null. */
export type KeyField<Value> = {
  [Name in keyof Value & string]: Value[Name] extends string | number ? Name : never;
}[keyof Value & string];

/** Names of the fields of a value that an aggregate over values can hold. */
export type ScalarField<Value> = {
  [Name in keyof Value & string]: [NonNullable<Value[Name]>] extends [string | number | boolean] ? Name : never;
}[keyof Value & string];

/** Names of the fields that hold whole numbers: event times. */
export type TimeField<Value> = {
  [Name in keyof Value & string]: Value[Name] extends number ? Name : never;
}[keyof Value & string];

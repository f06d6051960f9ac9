import { KappaError } from "../core/errors.ts";
import { type Column, checkColumns } from "./column.ts";
import { generate } from "./generated-code.ts";
import { literal } from "./row-shape.ts";
import type { TextSink, TextSource } from "./text-bytes.ts";

/**
 * Many rows in one record of an internal topic, all little-endian:
 *
 *     | version u8 | caughtUp u8 | frontierRank u8 | 0 | columns u32 | count u32 | source i32 | frontierTimeMs f64 | rows
 *     row: | length u32 | rank and late u8 | orderTimeMs f64 | sequence f64 | timeMs f64
 *          | null bits, u32 for 32 columns | f64 a number or integer, u8 a boolean | texts and json, in column order |
 *
 * - Row-major with every fixed part at a constant offset: one pass each way, and a row is passed over undecoded.
 * - Numbers are raw doubles, so -0, NaN and every integer come back as they were; null is a bit, never a number.
 * - A json column keeps what JSON text keeps: no NaN, no -0, no undefined.
 * - `columns` is a hash of names and types: rows are never read as those of another version of a topology.
 */
export const version = 1;
export const headerLength = 24;
export const rowHeaderLength = 29;

/** Writes the columns of a value whose row begins at `at`; the fixed part is reserved, `sink.at` stands behind it. */
export type RowEncode = (value: object, sink: TextSink, at: number) => void;
/** Reads the columns that begin at `at`, behind the row's header. */
export type RowDecode = (texts: TextSource, at: number) => object;

/** Where each column of a row lies, and the code that knows it. */
export class RowLayout {
  /** Bytes of a row before its texts, the row's header included. */
  readonly fixedLength: number;
  /** Of names and types, in order. */
  readonly hash: number;
  readonly #columns: readonly Column[];
  /** Offset of each column behind the row's header; -1 for text and json. */
  readonly #offsets: readonly number[];

  constructor(columns: readonly Column[]) {
    checkColumns(columns);
    this.#columns = columns;
    let end = Math.ceil(columns.length / 32) * 4;
    this.#offsets = columns.map(({ type }) => {
      const at = end;
      if (type === "text" || type === "json") return -1;
      end += type === "boolean" ? 1 : 8;
      return at;
    });
    this.fixedLength = rowHeaderLength + end;
    this.hash = hashOf(columns.map(({ name, type }) => `${name}:${type}`).join(","));
  }

  /** The view is read anew where texts begin: writing a text may have moved the buffer, and fixed parts come first. */
  encoder(): RowEncode {
    const columns = this.#columns;
    const fixed = columns.map((column, i) => this.#encodeFixed(column, i)).join("\n");
    const texts = columns.map((column) => encodeText(column)).join("\n");
    const words = nullWords(columns.length);
    const declared = words
      .map((word) => `n${word} = 0`)
      .concat("x")
      .join(", ");
    const stored = words
      .map((word) => `view.setUint32(at + ${rowHeaderLength + word * 4}, n${word}, true);`)
      .join("\n");
    const body = `(value, sink, at) => { const view = sink.view; let ${declared};\n${fixed}\n${stored}\n${texts}\n}`;
    return generate(body, { wrongType, jsonText });
  }

  #encodeFixed({ name, type }: Column, i: number): string {
    const at = `at + ${rowHeaderLength + (this.#offsets[i] ?? 0)}`;
    const setNull = `n${i >>> 5} |= ${1 << (i & 31)};`;
    const read = `x = value.${name};`;
    const absent = "x === null || x === undefined";
    switch (type) {
      case "number":
      case "integer": {
        const rest = `else if (${absent}) { ${setNull} view.setFloat64(${at}, 0, true); } else wrongType("${name}", "${type}", x);`;
        return `${read} if (typeof x === "number") view.setFloat64(${at}, x, true); ${rest}`;
      }
      case "boolean": {
        const rest = `else if (${absent}) { ${setNull} view.setUint8(${at}, 0); } else wrongType("${name}", "boolean", x);`;
        return `${read} if (typeof x === "boolean") view.setUint8(${at}, x ? 1 : 0); ${rest}`;
      }
      case "text":
        return `${read} if (typeof x !== "string") { if (${absent}) ${setNull} else wrongType("${name}", "text", x); }`;
      case "json":
        return `${read} if (${absent}) ${setNull}`;
      default:
        return type satisfies never;
    }
  }

  /** Rows without a null take the branch without tests. */
  decoder(): RowDecode {
    const columns = this.#columns;
    const words = nullWords(columns.length);
    const bits = words.map((word) => `const n${word} = view.getUint32(at + ${word * 4}, true);`).join("\n");
    const plain = literal(columns, (column, i) => this.#decode(column, i));
    const nulls = literal(
      columns,
      (column, i) => `(n${i >>> 5} & ${1 << (i & 31)}) !== 0 ? null : ${this.#decode(column, i)}`,
    );
    const none = words.length === 0 ? "true" : `(${words.map((word) => `n${word}`).join(" | ")}) === 0`;
    const seek = `texts.at = at + ${this.fixedLength - rowHeaderLength};`;
    return generate(
      `(texts, at) => { const view = texts.view;\n${bits}\n${seek}\nreturn ${none} ? ${plain} : ${nulls};\n}`,
      {
        parse: JSON.parse,
      },
    );
  }

  #decode({ type }: Column, i: number): string {
    const at = `at + ${this.#offsets[i] ?? 0}`;
    switch (type) {
      case "number":
      case "integer":
        return `view.getFloat64(${at}, true)`;
      case "boolean":
        return `view.getUint8(${at}) === 1`;
      case "text":
        return "texts.text()";
      case "json":
        return "parse(texts.text())";
      default:
        return type satisfies never;
    }
  }
}

function encodeText({ name, type }: Column): string {
  const write = type === "json" ? `jsonText("${name}", x)` : "x";
  const texty = type === "json" || type === "text";
  return texty ? `x = value.${name}; if (x !== null && x !== undefined) sink.text(${write});` : "";
}

/** One number for each 32 columns: the names of the local variables that hold null bits. */
function nullWords(columns: number): number[] {
  return Array.from({ length: Math.ceil(columns / 32) }, (_, word) => word);
}

function jsonText(column: string, value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new KappaError("KAPPA_RECORD_INVALID", `column ${column} is not JSON`, { column }, cause);
  }
  return text ?? wrongType(column, "json", value);
}

function wrongType(column: string, type: string, value: unknown): never {
  throw new KappaError("KAPPA_RECORD_INVALID", `column ${column} is ${type}, got a ${typeof value}`, { column, type });
}

/** FNV-1a, 32 bits. http://www.isthe.com/chongo/tech/comp/fnv/ */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

import { defaultBytes } from "./avro-reader.ts";
import type { AvroSink } from "./avro-sink.ts";
import {
  type AvroEnum,
  type AvroRecord,
  type AvroType,
  branchesOf,
  branchName,
  enumOf,
  fixedSizeOf,
  itemsOf,
  kindOf,
  mapValuesOf,
  namesBranches,
  recordOf,
  shortName,
} from "./avro-type.ts";
import { generate } from "./generated-code.ts";
import { nestingMax, unfit } from "./invalid-record.ts";

export type Write = (sink: AvroSink, value: unknown) => void;

/**
 * Compiles a writer that checks every value as it writes it and names the field of the first that does not fit.
 * An absent field is written as its default, or as null where null is a value of it; extra fields are passed over.
 */
export function avroWriter(type: AvroRecord): Write {
  return new WriterCompiler().compile(type);
}

class WriterCompiler {
  readonly #functions: string[] = [];
  readonly #records = new Map<AvroType, string>();
  readonly #scope: Record<string, unknown> = { unfit, tooDeep };
  #names = 0;

  compile(type: AvroRecord): Write {
    const write = this.#record(type, shortName(type));
    const body = `(sink, value) => ${write}(sink, value, 1)`;
    return generate(`(() => { ${this.#functions.join("\n")}\nreturn ${body}; })()`, this.#scope);
  }

  /** Statements that write the variable `x`. */
  #statements(type: AvroType, path: string): string {
    const branches = branchesOf(type);
    return branches === undefined ? this.#plain(type, path) : this.#union(branches, path);
  }

  #union(branches: readonly AvroType[], path: string): string {
    const named = namesBranches(branches);
    const cases = branches.map((branch, i) => {
      const index = `sink.long(${i});`;
      if (branch.typeName === "null") return `if (x === null || x === undefined) { ${index} }`;
      if (!named) return `if (${isKind[kindOf(branch)]}) { ${index} ${this.#plain(branch, path)} }`;
      const name = this.#bind(branchName(branch));
      const write = this.#function(this.#plain(branch, path));
      return `if (${isKind.object} && Object.hasOwn(x, ${name})) { ${index} ${write}(sink, x[${name}], depth + 1); }`;
    });
    const expected = this.#bind(
      branches.map((branch) => (named ? `{ ${branchName(branch)} }` : branchName(branch))).join(" or "),
    );
    return `${cases.join(" else ")} else unfit(${this.#bind(path)}, ${expected}, x);`;
  }

  #plain(type: AvroType, path: string): string {
    const record = recordOf(type);
    if (record !== undefined) return `${this.#record(record, path)}(sink, x, depth + 1);`;
    const symbols = enumOf(type);
    if (symbols !== undefined) return this.#enum(symbols, path);
    const items = itemsOf(type);
    if (items !== undefined) return this.#array(items, path);
    const values = mapValuesOf(type);
    if (values !== undefined) return this.#map(values, path);
    return this.#primitive(type, path);
  }

  #primitive(type: AvroType, path: string): string {
    const size = fixedSizeOf(type);
    const name = size === undefined ? type.typeName : "fixed";
    const fits = fitting[name]?.replace("SIZE", String(size));
    const expected = size === undefined ? type.typeName : `text of ${size} units up to U+00FF`;
    const method = sinkMethod[name] ?? name;
    const write = name === "null" ? "" : `sink.${method}(x);`;
    return `if (!(${fits})) unfit(${this.#bind(path)}, ${this.#bind(expected)}, x); ${write}`;
  }

  #enum(type: AvroEnum, path: string): string {
    const indexes = this.#bind(new Map(type.symbols.map((symbol, i) => [symbol, i])));
    const expected = this.#bind(`one of ${type.symbols.join(", ")}`);
    return `const i = ${indexes}.get(x); if (i === undefined) unfit(${this.#bind(path)}, ${expected}, x); sink.long(i);`;
  }

  /** One block of all items: what Java's encoder writes, and what a reader needs no lookahead for. */
  #array(items: AvroType, path: string): string {
    const write = this.#function(this.#statements(items, `${path}[]`));
    const check = `if (!Array.isArray(x)) unfit(${this.#bind(path)}, "array", x);`;
    const each = `for (let i = 0; i < x.length; i++) ${write}(sink, x[i], depth + 1);`;
    return `${check} if (x.length > 0) { sink.long(x.length); ${each} } sink.long(0);`;
  }

  #map(values: AvroType, path: string): string {
    const write = this.#function(this.#statements(values, `${path}{}`));
    const check = `if (!(${isKind.object})) unfit(${this.#bind(path)}, "map", x);`;
    const each = `for (const key of keys) { sink.text(key); ${write}(sink, x[key], depth + 1); }`;
    return `${check} const keys = Object.keys(x); if (keys.length > 0) { sink.long(keys.length); ${each} } sink.long(0);`;
  }

  #record(type: AvroRecord, path: string): string {
    const known = this.#records.get(type);
    if (known !== undefined) return known;
    const name = `f${this.#names++}`;
    this.#records.set(type, name);
    const fields = type.fields.map((field) => {
      const at = `${path}.${field.name}`;
      const write = this.#statements(field.type, at);
      const encoded = defaultBytes(field);
      const absent = encoded === undefined ? "" : `if (x === undefined) sink.encoded(${this.#bind(encoded)}); else`;
      return `{ const x = value.${field.name}; ${absent} { ${write} } }`;
    });
    const expected = this.#bind(`record ${shortName(type)}`);
    const check = `if (typeof value !== "object" || value === null) unfit(${this.#bind(path)}, ${expected}, value);`;
    const deep = `if (depth > ${nestingMax}) tooDeep(${this.#bind(path)}, value);`;
    this.#functions.push(`function ${name}(sink, value, depth) { ${check} ${deep} ${fields.join("\n")} }`);
    return name;
  }

  #function(statements: string): string {
    const name = `f${this.#names++}`;
    this.#functions.push(`function ${name}(sink, x, depth) { ${statements} }`);
    return name;
  }

  /** Brings a value into the generated code; text of a schema never becomes code. */
  #bind(value: unknown): string {
    const name = `s${this.#names++}`;
    this.#scope[name] = value;
    return name;
  }
}

const isKind = {
  null: "x === null",
  boolean: 'typeof x === "boolean"',
  number: 'typeof x === "number"',
  string: 'typeof x === "string"',
  array: "Array.isArray(x)",
  object: 'typeof x === "object" && x !== null && !Array.isArray(x)',
};

/** Primitive types whose method of the sink is named otherwise. */
const sinkMethod: Readonly<Record<string, string>> = { int: "long", string: "text" };

/** When `x` is a value of a primitive type. */
const fitting: Readonly<Record<string, string>> = {
  null: "x === null || x === undefined",
  boolean: isKind.boolean,
  int: "(x | 0) === x",
  long: "Number.isSafeInteger(x)",
  float: isKind.number,
  double: isKind.number,
  string: isKind.string,
  bytes: 'typeof x === "string" && !/[^\\0-\\xff]/.test(x)',
  fixed: 'typeof x === "string" && x.length === SIZE && !/[^\\0-\\xff]/.test(x)',
};

function tooDeep(path: string, value: unknown): never {
  unfit(path, `nested ${nestingMax} deep at most`, value);
}

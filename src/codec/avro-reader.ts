import type avsc from "avsc";
import { AvroSource } from "./avro-source.ts";
import {
  type AvroEnum,
  type AvroRecord,
  type AvroType,
  branchesOf,
  branchName,
  enumOf,
  fixedSizeOf,
  itemsOf,
  mapValuesOf,
  namesBranches,
  recordOf,
  shortName,
} from "./avro-type.ts";
import { generate } from "./generated-code.ts";
import { unreadable } from "./invalid-record.ts";

type Read = (source: AvroSource) => unknown;

/** Bytes of one schema read as values of another. */
export interface AvroReader {
  /** @throws KAPPA_RECORD_INVALID; also where a value hits one of `problems` */
  readonly read: Read;
  /**
   * Why some or all values of the writer cannot be read, one line each. Empty: every value can. A union branch or an
   * enum symbol that the reader lacks spoils only the values that use it.
   */
  readonly problems: readonly string[];
}

/**
 * Compiles a reader by the rules of schema resolution: fields are matched by name or alias, missing ones take their
 * default, extra ones are passed over; int reads as long, float and double, string and bytes as each other.
 * https://avro.apache.org/docs/1.12.0/specification/#schema-resolution
 *
 * Records become plain objects with the reader's fields in order; bytes and fixed become text of one unit a byte.
 */
export function avroReader(writer: AvroType, reader: AvroType): AvroReader {
  const compiler = new ReaderCompiler();
  const read = compiler.compile(writer, reader);
  return { read, problems: compiler.problems };
}

const promotions: Readonly<Record<string, readonly string[]>> = {
  int: ["long", "float", "double"],
  long: ["float", "double"],
  float: ["double"],
  string: ["bytes"],
  bytes: ["string"],
};

class ReaderCompiler {
  readonly problems: string[] = [];
  readonly #functions: string[] = [];
  /** Names of record functions by writer and reader: a record may contain itself. */
  readonly #records = new Map<AvroType, Map<AvroType, string>>();
  readonly #scope: Record<string, unknown> = { unreadable };
  #names = 0;

  compile(writer: AvroType, reader: AvroType): Read {
    const body = this.#expression(writer, reader, shortName(reader));
    return generate(`(() => { ${this.#functions.join("\n")}\nreturn (source) => ${body}; })()`, this.#scope);
  }

  #expression(writer: AvroType, reader: AvroType, path: string): string {
    const written = branchesOf(writer);
    if (written !== undefined) return this.#writtenUnion(written, reader, path);
    const branches = branchesOf(reader);
    if (branches === undefined) return this.#plain(writer, reader, path);
    const branch = branches.find((each) => each.typeName === writer.typeName && matches(writer, each));
    const chosen = branch ?? branches.find((each) => matches(writer, each));
    if (chosen === undefined) return this.#problem(path, `${branchName(writer)} is none of the union's branches`);
    const read = this.#plain(writer, chosen, path);
    if (!namesBranches(branches) || chosen.typeName === "null") return read;
    return `({ [${this.#bind(branchName(chosen))}]: ${read} })`;
  }

  #writtenUnion(branches: readonly AvroType[], reader: AvroType, path: string): string {
    const reads = branches.map((branch) => this.#expression(branch, reader, path));
    const [first, second] = reads;
    if (reads.length === 2) return `(source.branch(2) === 0 ? ${first} : ${second})`;
    const cases = reads.map((read, i) => `case ${i}: return ${read};`).join(" ");
    return `${this.#function(`switch (source.branch(${reads.length})) { ${cases} }`)}(source)`;
  }

  #plain(writer: AvroType, reader: AvroType, path: string): string {
    if (!matches(writer, reader)) {
      return this.#problem(path, `${branchName(writer)} cannot be read as ${branchName(reader)}`);
    }
    const [writtenRecord, record] = [recordOf(writer), recordOf(reader)];
    if (writtenRecord !== undefined && record !== undefined)
      return `${this.#record(writtenRecord, record, path)}(source)`;
    const [writtenEnum, symbols] = [enumOf(writer), enumOf(reader)];
    if (writtenEnum !== undefined && symbols !== undefined) return `${this.#enum(writtenEnum, symbols, path)}(source)`;
    const [writtenItems, items] = [itemsOf(writer), itemsOf(reader)];
    if (writtenItems !== undefined && items !== undefined) {
      return `source.array(${this.#function(`return ${this.#expression(writtenItems, items, `${path}[]`)};`)})`;
    }
    const [writtenValues, values] = [mapValuesOf(writer), mapValuesOf(reader)];
    if (writtenValues !== undefined && values !== undefined) {
      return `source.map(${this.#function(`return ${this.#expression(writtenValues, values, `${path}{}`)};`)})`;
    }
    const size = fixedSizeOf(writer);
    return size === undefined ? this.#primitive(writer, reader) : `source.fixed(${size})`;
  }

  #primitive(writer: AvroType, reader: AvroType): string {
    switch (writer.typeName) {
      case "null":
        return "null";
      case "string":
        return reader.typeName === "bytes" ? "source.bytes()" : "source.text()";
      case "bytes":
        return reader.typeName === "string" ? "source.text()" : "source.bytes()";
      default:
        return `source.${writer.typeName}()`; // boolean, int, long, float, double: methods of the same name
    }
  }

  /** Written fields are read in their order into variables; the literal has the reader's order, hence its hidden class. */
  #record(writer: AvroRecord, reader: AvroRecord, path: string): string {
    const known = this.#records.get(writer)?.get(reader);
    if (known !== undefined) return known;
    const name = `f${this.#names++}`;
    const byReader = this.#records.get(writer) ?? new Map<AvroType, string>();
    this.#records.set(writer, byReader.set(reader, name));

    const variables = new Map(writer.fields.map((field, i) => [field.name, `v${i}`]));
    const sources = reader.fields.map((field) => {
      const aliases = [field.name, ...field.aliases];
      return aliases.find((alias) => variables.has(alias));
    });
    const reads = writer.fields.map((field, i) => {
      const target = reader.fields[sources.indexOf(field.name)];
      return `const v${i} = ${this.#expression(field.type, (target ?? field).type, `${path}.${field.name}`)};`;
    });
    const properties = reader.fields.map((field, i) => {
      const source = sources[i];
      const value = source === undefined ? this.#default(field, `${path}.${field.name}`) : variables.get(source);
      return `${field.name}: ${value}`;
    });
    this.#functions.push(
      `function ${name}(source) { source.enter(); ${reads.join(" ")} source.leave(); return { ${properties.join(", ")} }; }`,
    );
    return name;
  }

  /** Defaults that are objects are made anew for each value: a value belongs to whoever reads it. */
  #default(field: avsc.types.Field, path: string): string {
    const make = defaultOf(field);
    if (make === undefined) return this.#problem(path, "the writer has no such field and it has no default");
    const value = make();
    return typeof value === "object" && value !== null ? `${this.#bind(make)}()` : this.#bind(value);
  }

  #enum(writer: AvroEnum, reader: AvroEnum, path: string): string {
    const fallback = (reader as { readonly default?: string }).default;
    const symbols = writer.symbols.map((symbol) => (reader.symbols.includes(symbol) ? symbol : fallback));
    for (const [i, symbol] of symbols.entries()) {
      if (symbol === undefined)
        this.#problem(path, `symbol ${writer.symbols[i]} is not among ${reader.symbols.join(", ")}`);
    }
    const lost = `unreadable("schema_incompatible", ${this.#bind(`${path}: symbol unknown to the reader's enum`)})`;
    const beyond = `if (index < 0 || index >= ${symbols.length}) unreadable("decode", "enum index " + index);`;
    return this.#function(`const index = source.long(); ${beyond} return ${this.#bind(symbols)}[index] ?? ${lost};`);
  }

  #function(body: string): string {
    const name = `f${this.#names++}`;
    this.#functions.push(`function ${name}(source) { ${body} }`);
    return name;
  }

  /** Brings a value into the generated code; text of a schema never becomes code. */
  #bind(value: unknown): string {
    const name = `s${this.#names++}`;
    this.#scope[name] = value;
    return name;
  }

  #problem(path: string, what: string): string {
    const message = `${path}: ${what}`;
    this.problems.push(message);
    return `unreadable("schema_incompatible", ${this.#bind(message)})`;
  }
}

/** The default of a field, encoded; undefined when it has none. */
export function defaultBytes(field: avsc.types.Field): Buffer | undefined {
  const value: unknown = field.defaultValue();
  return value === undefined ? undefined : field.type.toBuffer(value);
}

/** What makes the default of a field, anew for each value; undefined when it has none. */
export function defaultOf(field: avsc.types.Field): (() => unknown) | undefined {
  const encoded = defaultBytes(field);
  if (encoded === undefined) return undefined;
  const { read } = avroReader(field.type, field.type);
  const source = new AvroSource();
  return () => {
    source.open(encoded, 0, encoded.length);
    return read(source);
  };
}

/** Whether a value of one type can be read as another, not looking into it. Named types match by short name or alias. */
function matches(writer: AvroType, reader: AvroType): boolean {
  if (writer.typeName !== reader.typeName) return promotions[writer.typeName]?.includes(reader.typeName) ?? false;
  if (fixedSizeOf(writer) !== fixedSizeOf(reader)) return false;
  if (writer.name === undefined || reader.name === undefined) return true;
  const short = shortName(writer);
  const aliases = reader.aliases ?? [];
  return shortName(reader) === short || aliases.some((alias) => alias.slice(alias.lastIndexOf(".") + 1) === short);
}

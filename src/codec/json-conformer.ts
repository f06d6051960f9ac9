import { defaultOf } from "./avro-reader.ts";
import {
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
  type ValueKind,
} from "./avro-type.ts";
import { generate } from "./generated-code.ts";
import { nestingMax } from "./invalid-record.ts";

/** A new plain object with the schema's fields in order, taken from what JSON.parse gave or a processor made. */
export type Conform = (value: unknown) => unknown;

/** Called with the path of the first field that does not fit, what it must be, and what it is. */
export type Misfit = (field: string, expected: string, value: unknown) => never;

type Convert = (value: unknown, path: string, depth: number) => unknown;

/** Compiles the check of a value against a record schema. The result shares nothing with the value checked. */
export function jsonConformer(type: AvroRecord, misfit: Misfit): Conform {
  const convert = new Conformer(misfit).convert(type);
  const path = shortName(type);
  return (value) => convert(value, path, 1);
}

/** One closure for each type of the schema; records get generated code, so that their values have one hidden class. */
class Conformer {
  readonly #misfit: Misfit;
  readonly #known = new Map<AvroType, Convert>();

  constructor(misfit: Misfit) {
    this.#misfit = misfit;
  }

  convert(type: AvroType): Convert {
    const known = this.#known.get(type);
    if (known !== undefined) return known;
    // A record may contain itself: what it holds meanwhile asks for the finished one when it is called.
    this.#known.set(type, (value, path, depth) => this.convert(type)(value, path, depth));
    const made = this.#make(type);
    this.#known.set(type, made);
    return made;
  }

  #make(type: AvroType): Convert {
    const branches = branchesOf(type);
    if (branches !== undefined) return namesBranches(branches) ? this.#named(branches) : this.#union(branches);
    const record = recordOf(type);
    if (record !== undefined) return this.#record(record);
    const symbols = enumOf(type)?.symbols;
    if (symbols !== undefined) {
      const known = new Set<unknown>(symbols);
      return this.#test(`one of ${symbols.join(", ")}`, (value) => known.has(value));
    }
    const items = itemsOf(type);
    if (items !== undefined) return this.#array(this.convert(items));
    const values = mapValuesOf(type);
    return values === undefined ? this.#primitive(type) : this.#map(this.convert(values));
  }

  #primitive(type: AvroType): Convert {
    switch (type.typeName) {
      case "null":
        return this.#test("null", (value) => value === null);
      case "boolean":
        return this.#test("boolean", (value) => typeof value === "boolean");
      case "int":
        return this.#test("int", (value) => typeof value === "number" && (value | 0) === value);
      case "long":
        return this.#test("long", (value) => Number.isSafeInteger(value));
      case "float":
      case "double":
        // JSON has no NaN, and a number it cannot hold, such as 1e999, parses as infinite.
        return this.#test(`finite ${type.typeName}`, (value) => Number.isFinite(value));
      case "string": {
        const text = this.#test("string", (value) => typeof value === "string");
        return (value, path, depth) => wellFormed(text(value, path, depth) as string);
      }
      case "bytes":
        return this.#test("text of units up to U+00FF", (value) => isBinary(value));
      default: {
        const size = fixedSizeOf(type);
        return this.#test(`text of ${size} units up to U+00FF`, (value) => isBinary(value) && value.length === size);
      }
    }
  }

  #test(expected: string, fits: (value: unknown) => boolean): Convert {
    const misfit = this.#misfit;
    return (value, path) => (fits(value) ? value : misfit(path, expected, value));
  }

  #union(branches: readonly AvroType[]): Convert {
    const byKind = new Map<ValueKind | undefined, Convert>(
      branches.map((branch) => [kindOf(branch), this.convert(branch)]),
    );
    const expected = branches.map(branchName).join(" or ");
    return (value, path, depth) => {
      const convert = byKind.get(kindOfValue(value));
      if (convert === undefined) return this.#misfit(path, expected, value);
      return convert(value ?? null, path, depth);
    };
  }

  #named(branches: readonly AvroType[]): Convert {
    const byName = new Map(branches.map((branch) => [branchName(branch), this.convert(branch)]));
    const expected = branches.map((branch) => `{ ${branchName(branch)} }`).join(" or ");
    return (value, path, depth) => {
      if (value === null || value === undefined) return byName.has("null") ? null : this.#misfit(path, expected, value);
      const [name = "", ...others] = typeof value === "object" ? Object.keys(value) : [];
      const convert = byName.get(name);
      if (convert === undefined || others.length > 0) return this.#misfit(path, expected, value);
      return { [name]: convert((value as Record<string, unknown>)[name], path, depth + 1) };
    };
  }

  #array(item: Convert): Convert {
    return (value, path, depth) => {
      if (!Array.isArray(value)) return this.#misfit(path, "array", value);
      return value.map((each: unknown) => item(each, `${path}[]`, depth + 1));
    };
  }

  #map(item: Convert): Convert {
    return (value, path, depth) => {
      if (kindOfValue(value) !== "object") return this.#misfit(path, "map", value);
      const map: Record<string, unknown> = {};
      for (const [key, each] of Object.entries(value as object)) {
        // Assigned, it would set the prototype; left out, it would be lost: as in Avro, it spoils the value.
        if (key === "__proto__") return this.#misfit(path, "map without the key __proto__", value);
        map[wellFormed(key)] = item(each, `${path}{}`, depth + 1);
      }
      return map;
    };
  }

  #record(type: AvroRecord): Convert {
    const scope: Record<string, unknown> = {
      misfit: this.#misfit,
      isObject: (value: unknown) => kindOfValue(value) === "object",
      expected: `record ${shortName(type)}`,
    };
    const properties = type.fields.map((field, i) => {
      scope[`convert${i}`] = this.convert(field.type);
      const fallback = defaultOf(field);
      scope[`fallback${i}`] = fallback;
      const given = `value.${field.name}`;
      const converted = `convert${i}(${given}, path + ".${field.name}", depth + 1)`;
      return `${field.name}: ${fallback === undefined ? converted : `${given} === undefined ? fallback${i}() : ${converted}`}`;
    });
    const check = `if (!isObject(value)) misfit(path, expected, value);`;
    const deep = `if (depth > ${nestingMax}) misfit(path, "nested ${nestingMax} deep at most", value);`;
    return generate(`(value, path, depth) => { ${check} ${deep} return { ${properties.join(", ")} }; }`, scope);
  }
}

function kindOfValue(value: unknown): ValueKind | undefined {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  const type = typeof value;
  return type === "boolean" || type === "number" || type === "string" || type === "object" ? type : undefined;
}

/** JSON escapes can spell a lone surrogate, which no UTF-8 can: it becomes U+FFFD here rather than on the way out. */
function wellFormed(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}

function isBinary(value: unknown): value is string {
  return typeof value === "string" && !/[^\0-\xff]/.test(value);
}

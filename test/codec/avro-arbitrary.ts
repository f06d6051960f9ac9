import avsc from "avsc";
import fc from "fast-check";
import { namesBranches } from "../../src/codec/avro-type.ts";

/** A schema and a value of it, in the form of this project and in that of avsc. */
export interface Sample {
  readonly schema: unknown;
  readonly ours: unknown;
  readonly theirs: unknown;
}

const wellFormed = fc.string({ unit: "grapheme", maxLength: 30 });
const key = fc.string({ maxLength: 8 }).filter((each) => each !== "__proto__");
// avsc rounds negative longs below -2^52.
const long = fc.oneof(fc.integer({ min: -70, max: 70 }), fc.integer(), fc.integer({ min: -(2 ** 52), max: 2 ** 52 }));
const same = (value: unknown): { ours: unknown; theirs: unknown } => ({ ours: value, theirs: value });

function primitive(schema: string, value: fc.Arbitrary<unknown>): fc.Arbitrary<Sample> {
  return value.map((each) => ({ schema, ...same(each) }));
}

const primitives: readonly fc.Arbitrary<Sample>[] = [
  primitive("null", fc.constant(null)),
  primitive("boolean", fc.boolean()),
  primitive("int", fc.integer()),
  primitive("long", long),
  primitive("float", fc.float()),
  primitive("double", fc.double()),
  primitive("string", wellFormed),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => {
    const theirs = Buffer.from(bytes);
    return { schema: "bytes", ours: theirs.toString("latin1"), theirs };
  }),
];

let names = 0;

/** Every kind of type, nested; named types get fresh names. */
export const sample: fc.Arbitrary<Sample> = fc.letrec<{ any: Sample; plain: Sample }>((tie) => ({
  plain: fc.oneof(
    { maxDepth: 3, depthIdentifier: "avro" },
    ...primitives,
    fc
      .uniqueArray(fc.stringMatching(/^[A-Z]{1,4}$/), { minLength: 1, maxLength: 5 })
      .chain((symbols) =>
        fc
          .constantFrom(...symbols)
          .map((symbol) => ({ schema: { type: "enum", name: `E${names++}`, symbols }, ...same(symbol) })),
      ),
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => {
      const theirs = Buffer.from(bytes);
      const schema = { type: "fixed", name: `F${names++}`, size: bytes.length };
      return { schema, ours: theirs.toString("latin1"), theirs };
    }),
    tie("any").chain((item) =>
      fc.integer({ min: 0, max: 4 }).map((count) => ({
        schema: { type: "array", items: item.schema },
        ours: Array.from({ length: count }, () => item.ours),
        theirs: Array.from({ length: count }, () => item.theirs),
      })),
    ),
    fc.tuple(tie("any"), fc.uniqueArray(key, { maxLength: 4 })).map(([item, keys]) => ({
      schema: { type: "map", values: item.schema },
      ours: Object.fromEntries(keys.map((each) => [each, item.ours])),
      theirs: Object.fromEntries(keys.map((each) => [each, item.theirs])),
    })),
    fc.array(tie("any"), { maxLength: 5 }).map((fields) => recordSample(fields)),
  ),
  any: fc.oneof(
    { maxDepth: 3, depthIdentifier: "avro" },
    tie("plain"),
    fc
      .tuple(fc.array(tie("plain"), { minLength: 1, maxLength: 4 }), fc.nat())
      .map(([branches, pick]) => unionSample(branches, pick)),
  ),
})).any;

export function recordSample(fields: readonly Sample[]): Sample {
  return {
    schema: {
      type: "record",
      name: `R${names++}`,
      fields: fields.map(({ schema }, i) => ({ name: `field_${i}`, type: schema })),
    },
    ours: Object.fromEntries(fields.map(({ ours }, i) => [`field_${i}`, ours])),
    theirs: Object.fromEntries(fields.map(({ theirs }, i) => [`field_${i}`, theirs])),
  };
}

/** Branches must differ in name, and avsc must not take two kinds for one: bytes and string, which are both text here. */
function unionSample(all: readonly Sample[], pick: number): Sample {
  const nameOf = ({ schema }: Sample): string =>
    typeof schema === "string" ? schema : ((schema as { name?: string }).name ?? (schema as { type: string }).type);
  const branches = all.filter((each, i) => all.findIndex((other) => nameOf(other) === nameOf(each)) === i);
  const schema = branches.map((each) => each.schema);
  const chosen = branches[pick % branches.length] as Sample;
  const types = branches.map((each) => avsc.Type.forSchema(each.schema as avsc.Schema));
  const theirsNamed = avsc.Type.forSchema(schema as avsc.Schema).typeName === "union:wrapped";
  const wrap = (named: boolean, value: unknown): unknown =>
    named && value !== null ? { [nameOf(chosen)]: value } : value;
  return { schema, ours: wrap(namesBranches(types), chosen.ours), theirs: wrap(theirsNamed, chosen.theirs) };
}

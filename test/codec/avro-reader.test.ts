import assert from "node:assert/strict";
import type avsc from "avsc";
import fc from "fast-check";
import { test } from "vitest";
import { avroReader } from "../../src/codec/avro-reader.ts";
import { parseRecordType } from "../../src/codec/avro-type.ts";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { KappaError } from "../../src/core/errors.ts";

type Values = Record<string, unknown>;

interface Field {
  readonly name: string;
  readonly type: unknown;
  readonly default?: unknown;
  readonly aliases?: readonly string[];
}

const record = (...fields: Field[]): unknown => ({ type: "record", name: "Payment", namespace: "kappa.test", fields });

/** Writes with one schema, reads with the other. */
function evolve(writer: unknown, value: Values, reader: unknown): unknown {
  const [from, to] = [recordSchema<Values>(writer), recordSchema<Values>(reader)];
  const buffer = Buffer.alloc(1024);
  return to.decode(buffer, 0, from.encode(value, buffer, 0), to.readerOf(from.avro));
}

function problems(writer: unknown, reader: unknown): readonly string[] {
  return recordSchema(reader).readerOf(parseRecordType(writer)).problems;
}

function incompatible(error: unknown): boolean {
  return (
    error instanceof KappaError &&
    error.code === "KAPPA_RECORD_INVALID" &&
    error.context.reason === "schema_incompatible"
  );
}

test("fields are matched by name, in the reader's order; extra ones are passed over, missing ones take their default", () => {
  const writer = record(
    { name: "a", type: "int" },
    { name: "gone", type: { type: "array", items: "string" } },
    { name: "b", type: "string" },
  );
  const reader = record(
    { name: "b", type: "string" },
    { name: "new", type: "double", default: 1.5 },
    { name: "a", type: "int" },
  );
  const value = evolve(writer, { a: 1, gone: ["x", "y"], b: "z" }, reader);
  assert.deepEqual(value, { b: "z", new: 1.5, a: 1 });
  assert.deepEqual(Object.keys(value as object), ["b", "new", "a"]);
});

test("an alias finds the field that was renamed", () => {
  const writer = record({ name: "old", type: "int" });
  assert.deepEqual(evolve(writer, { old: 1 }, record({ name: "new", type: "int", aliases: ["old"] })), { new: 1 });
});

test("numbers widen and never narrow; string and bytes read as each other", () => {
  const one = (type: unknown): unknown => record({ name: "a", type });
  const read = (from: string, value: unknown, to: string): unknown =>
    (evolve(one(from), { a: value }, one(to)) as Values).a;
  for (const to of ["int", "long", "float", "double"]) assert.equal(read("int", -7, to), -7);
  for (const to of ["long", "float", "double"]) assert.equal(read("long", 2 ** 40, to), 2 ** 40);
  assert.equal(read("float", 0.5, "double"), 0.5);
  assert.equal(read("string", "é", "bytes"), "\u00c3\u00a9");
  assert.equal(read("bytes", "\u00c3\u00a9", "string"), "é");
  for (const [from, to] of [
    ["long", "int"],
    ["double", "float"],
    ["float", "long"],
    ["string", "int"],
    ["boolean", "int"],
  ] as const) {
    assert.equal(problems(one(from), one(to)).length, 1, `${from} as ${to}`);
  }
});

test("a default that is an object is a new one for each value", () => {
  const [from, to] = [
    recordSchema<Values>(record()),
    recordSchema<Values>(record({ name: "tags", type: { type: "array", items: "string" }, default: ["x"] })),
  ];
  const reader = to.readerOf(from.avro);
  const [first, second] = [to.decode(Buffer.alloc(0), 0, 0, reader), to.decode(Buffer.alloc(0), 0, 0, reader)];
  assert.deepEqual(first, { tags: ["x"] });
  assert.deepEqual(second, first);
  assert.notEqual(first.tags, second.tags);
});

test("a nullable field reads what was written before it was nullable", () => {
  const [was, is] = [record({ name: "a", type: "int" }), record({ name: "a", type: ["null", "double"] })];
  assert.deepEqual(evolve(was, { a: 3 }, is), { a: 3 });
});

test("a union's branch or an enum's symbol that the reader lacks spoils only the values that use it", () => {
  const was = record({ name: "a", type: ["null", "int"] });
  const is = record({ name: "a", type: "int" });
  assert.deepEqual(problems(was, is), ["Payment.a: null cannot be read as int"]);
  assert.deepEqual(evolve(was, { a: 3 }, is), { a: 3 });
  assert.throws(() => evolve(was, { a: null }, is), incompatible);

  const symbols = (...of: string[]): unknown =>
    record({ name: "k", type: { type: "enum", name: "Kind", symbols: of } });
  assert.deepEqual(evolve(symbols("A", "B"), { k: "B" }, symbols("B")), { k: "B" });
  assert.throws(() => evolve(symbols("A", "B"), { k: "A" }, symbols("B")), incompatible);
  const fallback = record({ name: "k", type: { type: "enum", name: "Kind", symbols: ["B"], default: "B" } });
  assert.deepEqual(evolve(symbols("A", "B"), { k: "A" }, fallback), { k: "B" });
});

test("problems are named in full, once each", () => {
  const inner = (type: string): unknown => ({ type: "record", name: "Inner", fields: [{ name: "x", type }] });
  const writer = record(
    { name: "a", type: "string" },
    { name: "list", type: { type: "array", items: inner("string") } },
  );
  const reader = record(
    { name: "a", type: "int" },
    { name: "list", type: { type: "array", items: inner("int") } },
    { name: "z", type: "int" },
  );
  assert.deepEqual(problems(writer, reader), [
    "Payment.a: string cannot be read as int",
    "Payment.list[].x: string cannot be read as int",
    "Payment.z: the writer has no such field and it has no default",
  ]);
});

test("a recursive record resolves to a newer version of itself", () => {
  const node = (...fields: Field[]): unknown => ({
    type: "record",
    name: "Node",
    fields: [{ name: "next", type: ["null", "Node"] }, ...fields],
  });
  const value = evolve(node(), { next: { next: null } }, node({ name: "weight", type: "int", default: 1 }));
  assert.deepEqual(value, { next: { next: null, weight: 1 }, weight: 1 });
});

const types = ["int", "long", "float", "double", "string", "bytes", "boolean"] as const;
const fieldType = fc.oneof(
  fc.constantFrom<unknown>(...types),
  fc.constantFrom<unknown>(...types).map((type) => ["null", type]),
  fc.constantFrom<unknown>(...types).map((items) => ({ type: "array", items })),
);
const fields = fc.uniqueArray(fc.tuple(fc.constantFrom("a", "b", "c", "d", "e"), fieldType, fc.boolean()), {
  selector: ([name]) => name,
});
const defaults: Record<string, unknown> = {
  int: 3,
  long: 4,
  float: 0.5,
  double: 0.25,
  string: "s",
  bytes: "b",
  boolean: true,
};

function schemaOf(all: readonly (readonly [string, unknown, boolean])[]): unknown {
  return record(
    ...all.map(([name, type, optional]) => {
      const fallback = Array.isArray(type) ? null : typeof type === "string" ? defaults[type] : [];
      return optional ? { name, type, default: fallback } : { name, type };
    }),
  );
}

const samples: Record<string, readonly unknown[]> = {
  int: [0, -5, 2 ** 31 - 1],
  long: [1, -(2 ** 40), 2 ** 52],
  float: [0.5, -0, 3],
  double: [0.1, -1e300, 0],
  string: ["", "abc", "żółw"],
  bytes: ["", "\u00ff\u0000", "abc"],
  boolean: [true, false],
};

/** The `pick`-th value of a type. */
function valueOfType(type: unknown, pick: number): unknown {
  if (Array.isArray(type)) return pick % 4 === 0 ? null : valueOfType(type[1], pick);
  if (typeof type === "string") return samples[type]?.[pick % (samples[type]?.length ?? 1)];
  return Array.from({ length: pick % 3 }, (_, i) => valueOfType((type as { items: unknown }).items, pick + i));
}

test("two versions of a schema resolve as avsc resolves them, or neither does", () => {
  const plain = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value, (_, each) => (each?.type === "Buffer" ? Buffer.from(each.data).toString("latin1") : each)),
    );
  let resolved = 0;
  fc.assert(
    fc.property(fields, fields, fc.nat({ max: 100 }), (older, newer, pick) => {
      const [writer, reader] = [parseRecordType(schemaOf(older)), parseRecordType(schemaOf(newer))];
      const ours = avroReader(writer, reader);
      let resolver: ReturnType<typeof reader.createResolver> | undefined;
      try {
        resolver = reader.createResolver(writer);
      } catch {}
      assert.equal(ours.problems.length === 0, resolver !== undefined, ours.problems.join("\n"));
      if (resolver === undefined) return;
      resolved++;
      const written = Object.fromEntries(older.map(([name, type], i) => [name, valueOfType(type, pick + i)]));
      const room = Buffer.alloc(500);
      const bytes = room.subarray(0, recordSchema<Values>(schemaOf(older)).encode(written, room, 0));
      const schema = recordSchema(schemaOf(newer));
      const value = schema.decode(bytes, 0, bytes.length, ours);
      assert.deepEqual(plain(value), plain(reader.fromBuffer(bytes, resolver as avsc.Resolver)));
    }),
    { numRuns: 1000 },
  );
  assert.ok(resolved > 50, `${resolved} of 1000 pairs resolved`);
});

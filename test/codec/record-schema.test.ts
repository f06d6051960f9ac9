import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { KappaError } from "../../src/core/errors.ts";
import { recordSample, sample } from "./avro-arbitrary.ts";

type Values = Record<string, unknown>;

function record(...fields: unknown[]): unknown {
  return { type: "record", name: "Payment", namespace: "kappa.test", fields };
}

function invalid(reason: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof KappaError && error.code === "KAPPA_RECORD_INVALID" && error.context.reason === reason;
}

function encoded(schema: ReturnType<typeof recordSchema<Values>>, value: Values): Buffer {
  const buffer = Buffer.alloc(4096);
  return buffer.subarray(0, schema.encode(value, buffer, 0));
}

test("encodes to the bytes that avsc encodes to, and decodes them to the same value", () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 6 }), (fields) => {
      const { schema: json, ours, theirs } = recordSample(fields);
      const schema = recordSchema<Values>(json);
      const expected = schema.avro.toBuffer(theirs);
      const room = Buffer.alloc(expected.length + 3);
      const end = schema.encode(ours as Values, room, 3);
      assert.equal(end, room.length);
      assert.deepEqual(room.subarray(3), expected);
      // Amid other records: nothing before or behind belongs to the value.
      const batch = Buffer.concat([Buffer.alloc(2, 0x80), expected, Buffer.alloc(9, 0x80)]);
      assert.deepEqual(schema.decode(batch, 2, 2 + expected.length), ours);
    }),
    { numRuns: 500 },
  );
});

test("a buffer that is too small says how much is missing, and is never written behind its end", () => {
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 4 }), fc.nat(), (fields, cut) => {
      const { schema: json, ours, theirs } = recordSample(fields);
      const schema = recordSchema<Values>(json);
      const length = schema.avro.toBuffer(theirs).length;
      const room = length === 0 ? 0 : cut % length;
      const memory = new Uint8Array(room + 16).fill(0xee);
      const end = schema.encode(ours as Values, Buffer.from(memory.buffer, 0, room), 0);
      assert.equal(end, room === length ? length : room - length);
      assert.ok(memory.subarray(room).every((byte) => byte === 0xee));
    }),
    { numRuns: 300 },
  );
});

test("bytes cut at any place, or with a byte behind them, are no value", () => {
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 4 }), (fields) => {
      const { schema: json, theirs } = recordSample(fields);
      const schema = recordSchema<Values>(json);
      const bytes = Buffer.concat([schema.avro.toBuffer(theirs), Buffer.from([0])]);
      const error = (end: number): unknown => {
        try {
          return schema.decode(bytes, 0, end);
        } catch (thrown) {
          return thrown;
        }
      };
      for (let end = 0; end <= bytes.length; end++) {
        if (end === bytes.length - 1) continue;
        const thrown = error(end);
        assert.ok(
          thrown instanceof KappaError && thrown.code === "KAPPA_RECORD_INVALID",
          `cut to ${end} of ${bytes.length}`,
        );
      }
    }),
    { numRuns: 100 },
  );
});

test("any bytes give a value or KAPPA_RECORD_INVALID, and soon", () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 5 }), fc.uint8Array({ maxLength: 60 }), (fields, bytes) => {
      const schema = recordSchema<Values>(recordSample(fields).schema);
      try {
        schema.decode(Buffer.from(bytes), 0, bytes.length);
      } catch (error) {
        assert.ok(error instanceof KappaError && error.code === "KAPPA_RECORD_INVALID", String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test("columns follow the fields", () => {
  const schema = recordSchema<Values>(
    record(
      { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
      { name: "amount", type: ["null", "int"] },
      { name: "mean", type: ["float", "null"] },
      { name: "online", type: "boolean" },
      { name: "kind", type: { type: "enum", name: "Kind", symbols: ["A"] } },
      { name: "id", type: ["null", "string"] },
      { name: "tags", type: { type: "array", items: "string" } },
      { name: "any", type: ["null", "int", "string"] },
      { name: "raw", type: "bytes" },
    ),
  );
  assert.equal(schema.name, "kappa.test.Payment");
  assert.deepEqual(
    schema.columns.map(({ name, type, nullable }) => `${name} ${type}${nullable ? " nullable" : ""}`),
    [
      "ts integer",
      "amount integer nullable",
      "mean number nullable",
      "online boolean",
      "kind text",
      "id text nullable",
      "tags json",
      "any json nullable",
      "raw json",
    ],
  );
});

/** The specification in 64 bits: zigzag, then seven bits a byte, lowest first. */
function varint(n: number): number[] {
  let zigzag = BigInt.asUintN(64, (BigInt(n) << 1n) ^ (BigInt(n) >> 63n));
  const bytes: number[] = [];
  do {
    bytes.push(Number(zigzag & 0x7fn) | (zigzag > 0x7fn ? 0x80 : 0));
    zigzag >>= 7n;
  } while (zigzag > 0n);
  return bytes;
}

test("every safe integer is a long, and no other", () => {
  const schema = recordSchema<Values>(record({ name: "n", type: "long" }));
  const holds = (n: number): void => {
    const bytes = encoded(schema, { n });
    assert.deepEqual([...bytes], varint(n));
    assert.deepEqual(schema.decode(bytes, 0, bytes.length), { n });
  };
  const edges = [0, 6, 13, 20, 26, 27, 28, 29, 30, 31, 32, 34, 41, 48, 52].flatMap((bit) => [
    2 ** bit - 1,
    2 ** bit,
    2 ** bit + 1,
  ]);
  for (const n of [...edges, Number.MAX_SAFE_INTEGER]) {
    holds(n);
    holds(0 - n);
  }
  fc.assert(fc.property(fc.maxSafeInteger(), holds));
  for (const beyond of ["ffffffffffffff20", "feffffffffffffffff01", "ffffffffffffffffff01", "8080808080808080808001"]) {
    const bytes = Buffer.from(beyond, "hex");
    assert.throws(() => schema.decode(bytes, 0, bytes.length), invalid("decode"), beyond);
  }
});

test("an int of more than 32 bits, a boolean of more than 1 and a union branch too many are no values", () => {
  const cases: [unknown, string][] = [
    ["int", "8080808010"],
    ["boolean", "02"],
    [["null", "string"], "04"],
    [["null", "string"], "01"],
    [{ type: "enum", name: "E", symbols: ["A", "B"] }, "04"],
    ["string", "01"],
    ["string", "7e61"],
    ["bytes", "feffffff0f"],
  ];
  for (const [type, hex] of cases) {
    const bytes = Buffer.from(hex, "hex");
    assert.throws(
      () => recordSchema(record({ name: "a", type })).decode(bytes, 0, bytes.length),
      invalid("decode"),
      hex,
    );
  }
});

test("bombs go off at the limits: huge blocks, deep nesting, a large value", () => {
  const nulls = recordSchema(record({ name: "a", type: { type: "array", items: "null" } }));
  const huge = Buffer.from("feffffffffffff1f00", "hex"); // a block of 2^52 - 1 items
  assert.throws(() => nulls.decode(huge, 0, huge.length), invalid("limits"));
  const many = Buffer.concat([...Array.from({ length: 1000 }, () => Buffer.from([8])), Buffer.from([0])]); // 4 at a time
  assert.throws(() => nulls.decode(many, 0, many.length), invalid("limits"));
  assert.equal((nulls.decode(many, 701, many.length) as { a: unknown[] }).a.length, 4 * 299);
  const node = { type: "record", name: "Node", fields: [{ name: "next", type: ["null", "Node"] }] };
  const list = recordSchema<Values>(node);
  const nested = (depth: number): Buffer => Buffer.concat([Buffer.alloc(depth - 1, 2), Buffer.from([0])]);
  assert.throws(() => list.decode(nested(65), 0, 65), invalid("limits"));
  let value: Values = { next: null };
  for (let depth = 1; depth < 64; depth++) value = { next: value };
  assert.deepEqual(list.decode(nested(64), 0, 64), value);
  assert.deepEqual(encoded(list, value), nested(64));
  assert.throws(() => encoded(list, { next: value }), /nested 64 deep/);
  const large = Buffer.alloc((1 << 20) + 1);
  assert.throws(() => list.decode(large, 0, large.length), invalid("limits"));
});

test("a value that does not fit names its field and its type, never its text", () => {
  const schema = recordSchema<Values>(
    record(
      { name: "id", type: "string" },
      { name: "amount", type: "long" },
      { name: "kind", type: { type: "enum", name: "Kind", symbols: ["A", "B"] } },
      { name: "home", type: ["null", "string"] },
      {
        name: "items",
        type: { type: "array", items: { type: "record", name: "Item", fields: [{ name: "n", type: "int" }] } },
      },
      { name: "raw", type: { type: "fixed", name: "Raw", size: 2 } },
      { name: "on", type: "boolean" },
      { name: "x", type: "double" },
    ),
  );
  const good = { id: "a", amount: 1, kind: "A", home: null, items: [], raw: "ab", on: true, x: Number.NaN };
  assert.ok(encoded(schema, good).length > 0);
  const cases: [Values, string, string][] = [
    [{ id: 5 }, "id", "got number 5"],
    [{ id: undefined }, "id", "got undefined"],
    [{ amount: 1.5 }, "amount", "must be long, got number 1.5"],
    [{ amount: 2 ** 53 }, "amount", "must be long"],
    [{ amount: 1n }, "amount", "got bigint 1"],
    [{ amount: "secret" }, "amount", "got string"],
    [{ kind: "toString" }, "kind", "one of A, B"],
    [{ kind: "__proto__" }, "kind", "one of A, B"],
    [{ home: 1 }, "home", "null or string"],
    [{ items: {} }, "items", "array, got object"],
    [{ items: [{ n: 1 }, { n: 2 ** 31 }] }, "items[].n", "must be int"],
    [{ items: [null] }, "items[]", "record Item, got null"],
    [{ raw: "abc" }, "raw", "text of 2 units"],
    [{ raw: "€€" }, "raw", "text of 2 units"],
    [{ on: 1 }, "on", "boolean"],
    [{ x: "1" }, "x", "double"],
  ];
  for (const [change, field, part] of cases) {
    assert.throws(
      () => encoded(schema, { ...good, ...change }),
      (error) => {
        assert.ok(error instanceof KappaError && error.code === "KAPPA_RECORD_INVALID", String(error));
        assert.equal(error.context.field, `Payment.${field}`);
        assert.ok(error.message.includes(part) && !error.message.includes("secret"), error.message);
        return true;
      },
    );
  }
});

test("an absent field is its default, or null where null is a value of it", () => {
  const schema = recordSchema<Values>(
    record(
      { name: "a", type: ["null", "int"] },
      { name: "b", type: "int", default: 7 },
      { name: "c", type: ["int", "null"], default: 9 },
    ),
  );
  const bytes = encoded(schema, {});
  assert.deepEqual(schema.decode(bytes, 0, bytes.length), { a: null, b: 7, c: 9 });
});

test("a lone surrogate is written as U+FFFD in short and in long text", () => {
  const schema = recordSchema<Values>(record({ name: "t", type: "string" }));
  for (const rest of ["", "x".repeat(100)]) {
    const bytes = encoded(schema, { t: `\ud800${rest}` });
    assert.deepEqual(schema.decode(bytes, 0, bytes.length), { t: `\ufffd${rest}` });
  }
});

test("a map key cannot set a prototype", () => {
  const schema = recordSchema<Values>(record({ name: "m", type: { type: "map", values: "int" } }));
  const bytes = Buffer.concat([Buffer.from([2, 18]), Buffer.from("__proto__"), Buffer.from([2, 0])]);
  assert.throws(() => schema.decode(bytes, 0, bytes.length), invalid("decode"));
});

test("a schema that is no record, or names a field as no object may, is refused", () => {
  const nested = { type: "record", name: "Inner", fields: [{ name: "constructor", type: "int" }] };
  const cases: unknown[] = [
    "string",
    null,
    42,
    {},
    { type: "record", fields: [] },
    record({ name: "__proto__", type: "int" }),
    record({ name: "toString", type: "int" }),
    record({ name: "a", type: "int" }, { name: "a", type: "int" }),
    record({ name: "a b", type: "int" }),
    record({ name: "a", type: "nothing" }),
    record({ name: "a", type: nested }),
    record({ name: "a", type: { type: "array", items: nested } }),
    record({ name: "a", type: ["null", { type: "map", values: nested }] }),
    record({ name: "a", type: "int", default: "x" }),
  ];
  for (const json of cases) {
    assert.throws(
      () => recordSchema(json),
      (error) => error instanceof KappaError && error.code === "KAPPA_SCHEMA_INVALID",
      JSON.stringify(json),
    );
  }
});

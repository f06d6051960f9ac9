import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { JsonSerde } from "../../src/codec/json-serde.ts";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { KappaError } from "../../src/core/errors.ts";
import { recordSample, sample } from "./avro-arbitrary.ts";

type Values = Record<string, unknown>;

const schema = recordSchema<Values>({
  type: "record",
  name: "Payment",
  fields: [
    { name: "id", type: "string" },
    { name: "amount", type: "long", default: 1 },
    { name: "mean", type: ["null", "double"] },
    { name: "kind", type: { type: "enum", name: "Kind", symbols: ["A", "B"] }, default: "A" },
    { name: "tags", type: { type: "map", values: "int" }, default: {} },
    {
      name: "items",
      type: { type: "array", items: { type: "record", name: "Item", fields: [{ name: "n", type: "int" }] } },
      default: [],
    },
    { name: "any", type: ["null", "int", "double"] },
  ],
});
const serde = new JsonSerde(schema);
const rest = { amount: 1, mean: null, kind: "A", tags: {}, items: [], any: null };

function decode(text: string): Values {
  const bytes = Buffer.from(`x${text}y`);
  return serde.decode(bytes, 1, bytes.length - 1);
}

function reasonOf(text: string): unknown {
  try {
    decode(text);
  } catch (error) {
    assert.ok(error instanceof KappaError && error.code === "KAPPA_RECORD_INVALID", String(error));
    assert.ok(!error.message.includes("secret"), error.message);
    return error.context.reason;
  }
  return "none";
}

/** What JSON can hold: no NaN, no infinity. */
function finite(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  return typeof value !== "object" || value === null || Object.values(value).every(finite);
}

test("a value comes back as it went in", () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 5 }), (fields) => {
      const { schema: json, ours } = recordSample(fields);
      const own = new JsonSerde(recordSchema<Values>(json));
      const buffer = Buffer.alloc(65_536);
      if (!finite(ours)) {
        assert.throws(() => own.encode(ours as Values, buffer, 0), /must be finite/);
        return;
      }
      const end = own.encode(ours as Values, buffer, 9);
      const expected = JSON.parse(JSON.stringify(ours)); // -0 is 0 in JSON text
      assert.deepEqual(JSON.parse(JSON.stringify(own.decode(buffer, 9, end))), expected);
      assert.equal(own.encode(ours as Values, buffer.subarray(0, end - 1), 9), -1);
    }),
    { numRuns: 300 },
  );
});

test("absent is the default or null; unknown fields are passed over", () => {
  assert.deepEqual(decode('{"id":"a"}'), { id: "a", ...rest });
  assert.deepEqual(decode('{"id":"a","other":{"deep":[1]},"amount":5}'), { id: "a", ...rest, amount: 5 });
});

test("decoded values have the schema's hidden class, whatever the order in the text", () => {
  assert.deepEqual(
    Object.keys(decode('{"any":null,"amount":2,"id":"a"}')),
    schema.columns.map(({ name }) => name),
  );
});

test("__proto__ is no field, no prototype and no map key", () => {
  const value = decode('{"__proto__":{"id":"evil","polluted":1},"id":"a","tags":{"constructor":6}}');
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.equal((value as { polluted?: unknown }).polluted, undefined);
  assert.deepEqual(Object.entries(value.tags as object), [["constructor", 6]]);
  assert.equal(reasonOf('{"__proto__":{"id":"evil"}}'), "decode");
  assert.equal(reasonOf('{"id":"a","tags":{"__proto__":5}}'), "decode", "an entry is not left out in silence");
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("a map of objects cannot be given a prototype", () => {
  const inner = { type: "map", values: "int" };
  const nested = { type: "record", name: "Nested", fields: [{ name: "m", type: { type: "map", values: inner } }] };
  const serde = new JsonSerde(recordSchema<Values>(nested));
  for (const text of ['{"m":{"__proto__":{"polluted":1}}}', '{"m":{"a":{"__proto__":{"polluted":1}}}}']) {
    const bytes = Buffer.from(text);
    assert.throws(() => serde.decode(bytes, 0, bytes.length), /map without the key __proto__/);
  }
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("types are checked on the way in", () => {
  const wrong = [
    "",
    "secret",
    "{",
    "null",
    "[]",
    '"secret"',
    '{"id":5}',
    '{"id":null}',
    '{"amount":5}',
    '{"id":"a","amount":"secret"}',
    '{"id":"a","amount":1.5}',
    '{"id":"a","amount":9007199254740993}',
    '{"id":"a","amount":null}',
    '{"id":"a","mean":1e999}',
    '{"id":"a","mean":"1"}',
    '{"id":"a","kind":"C"}',
    '{"id":"a","kind":"toString"}',
    '{"id":"a","tags":[]}',
    '{"id":"a","tags":{"x":1.5}}',
    '{"id":"a","items":{}}',
    '{"id":"a","items":[{"n":2147483648}]}',
    '{"id":"a","any":5}',
    '{"id":"a","any":{"int":5,"double":5}}',
    '{"id":"a","any":{"toString":5}}',
    '{"id":"a"} {"id":"secret"}',
  ];
  for (const text of wrong) assert.equal(reasonOf(text), "decode", text);
  assert.deepEqual(decode('{"id":"a","any":{"double":5}}').any, { double: 5 });
});

test("a field that does not fit on the way out is named", () => {
  const buffer = Buffer.alloc(500);
  const good = { id: "a", ...rest };
  assert.ok(serde.encode(good, buffer, 0) > 0);
  for (const change of [{ id: 1 }, { mean: Number.NaN }, { amount: 2 ** 60 }, { items: [{}] }, { tags: { a: 1n } }]) {
    const [field = ""] = Object.keys(change);
    assert.throws(
      () => serde.encode({ ...good, ...change }, buffer, 0),
      (error) => error instanceof KappaError && String(error.context.field).startsWith(`Payment.${field}`),
    );
  }
});

test("limits hold before anything is parsed: size, and nesting outside of strings", () => {
  assert.equal(reasonOf(`{"id":"${"x".repeat(1 << 20)}"}`), "limits");
  const nested = (depth: number): string => `{"id":"a","other":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  assert.equal(reasonOf(nested(64)), "none");
  assert.equal(reasonOf(nested(65)), "limits");
  assert.equal(reasonOf("[".repeat(1 << 20)), "limits");
  assert.equal(reasonOf(`{"id":${JSON.stringify(`\\"${"[{".repeat(200)}`)}}`), "none");
  assert.equal(reasonOf(`{"id":"a","other":[${"[],".repeat(300)}[]]}`), "none");
});

test("text is well-formed from here on: a lone surrogate becomes U+FFFD", () => {
  assert.equal(decode('{"id":"\\ud800"}').id, "\ufffd");
  assert.equal(decode('{"id":"\\ud83d\\ude00"}').id, "😀");
});

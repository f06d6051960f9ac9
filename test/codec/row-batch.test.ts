import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import type { Column, ColumnType } from "../../src/codec/column.ts";
import { RowBatchReader, RowBatchWriter } from "../../src/codec/row-batch.ts";
import { KappaError } from "../../src/core/errors.ts";

const header = { source: 3, frontierTimeMs: 1_700_000_000_123, frontierRank: 2, caughtUp: true };

function withCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof KappaError && error.code === code;
}

/** Any 16-bit units, so also lone surrogates; Latin-1 and ASCII often, as in life. */
const text = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 }).map((units) => String.fromCharCode(...units)),
  fc.array(fc.integer({ min: 0, max: 0xff }), { maxLength: 40 }).map((units) => String.fromCharCode(...units)),
  fc.array(fc.integer({ min: 0xf0, max: 0x110 }), { maxLength: 40 }).map((units) => String.fromCharCode(...units)),
);
const number = fc.oneof(
  fc.double(),
  fc.constantFrom(-0, 0, Number.NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER),
  fc.maxSafeInteger(),
);
const json = fc.jsonValue();
const values: Record<ColumnType, fc.Arbitrary<unknown>> = {
  number,
  integer: fc.maxSafeInteger(),
  boolean: fc.boolean(),
  text,
  json,
};
const column = fc.record({
  name: fc
    .stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,12}$/)
    .filter((name) => name !== "prototype" && !(name in Object.prototype)),
  type: fc.constantFrom<ColumnType>("number", "integer", "boolean", "text", "json"),
  nullable: fc.boolean(),
});
const meta = fc.record({
  orderTimeMs: fc.maxSafeInteger(),
  rank: fc.integer({ min: 0, max: 2 }),
  timeMs: fc.oneof(fc.maxSafeInteger(), fc.double({ noNaN: true })),
  late: fc.boolean(),
});
const batch = fc.uniqueArray(column, { selector: (each) => each.name, maxLength: 70 }).chain((columns) => {
  const row = fc.tuple(...columns.map((each) => fc.option(values[each.type] ?? json, { nil: null, freq: 4 })));
  return fc.record({ columns: fc.constant(columns), rows: fc.array(fc.tuple(row, meta), { maxLength: 12 }) });
});

test("every row comes back as it went in, of any columns and any values", () => {
  fc.assert(
    fc.property(batch, ({ columns, rows }) => {
      const writer = new RowBatchWriter(columns);
      const reader = new RowBatchReader(columns);
      const objects = rows.map(([cells]) => Object.fromEntries(columns.map((each, i) => [each.name, cells[i]])));
      for (const [i, [, m]] of rows.entries()) {
        writer.add(objects[i] ?? {}, m.orderTimeMs, m.rank, i * 7, m.timeMs, m.late);
      }
      assert.equal(writer.count, rows.length);
      // At an odd place in a larger buffer, as in a fetched batch of the log.
      const bytes = Buffer.concat([Buffer.alloc(3), writer.take(header), Buffer.alloc(5)]);
      reader.reset(bytes.subarray(3, bytes.length - 5));
      for (const [i, [, m]] of rows.entries()) {
        assert.ok(reader.next());
        const { orderTimeMs, rank, sequence, timeMs, late } = reader;
        assert.deepEqual({ orderTimeMs, rank, sequence, timeMs, late }, { ...m, sequence: i * 7 });
        const expected = columns.map(({ name, type }) => {
          const cell = objects[i]?.[name];
          return type === "json" ? JSON.parse(JSON.stringify(cell)) : cell; // what JSON text keeps of it
        });
        assert.deepEqual(Object.values(reader.value()), expected);
      }
      assert.equal(reader.next(), false);
    }),
    { numRuns: 300 },
  );
});

const columns: readonly Column[] = [
  { name: "id", type: "text", nullable: false },
  { name: "amount", type: "number", nullable: true },
  { name: "fraud", type: "boolean", nullable: true },
  { name: "reasons", type: "json", nullable: true },
];

test("text is exact on both sides of every boundary: its length, and Latin-1 or not", () => {
  const one: readonly Column[] = [{ name: "t", type: "text", nullable: false }];
  const writer = new RowBatchWriter(one);
  const reader = new RowBatchReader(one);
  for (let length = 0; length <= 70; length++) {
    for (const last of ["a", "\u00ff", "\u0100", "\u01ff", "\ud800"]) {
      const value = { t: `${"x".repeat(Math.max(0, length - 1))}${length === 0 ? "" : last}` };
      writer.add(value, 0, 0, 1, 0, false);
      reader.reset(writer.take(header));
      assert.ok(reader.next());
      assert.deepEqual(reader.value(), value);
    }
  }
});

test("each of many columns is null by itself", () => {
  const types: readonly ColumnType[] = ["number", "text", "boolean", "json", "integer"];
  const many = Array.from(
    { length: 70 },
    (_, i): Column => ({ name: `c${i}`, type: types[i % 5] ?? "text", nullable: true }),
  );
  const cells = [1.5, "żółw", false, [1], 7];
  const value = (hole: number): object =>
    Object.fromEntries(many.map(({ name }, i) => [name, i === hole ? null : cells[i % 5]]));
  const writer = new RowBatchWriter(many);
  const reader = new RowBatchReader(many);
  for (let hole = 0; hole <= many.length; hole++) writer.add(value(hole), 0, 0, hole, 0, false);
  reader.reset(writer.take(header));
  for (let hole = 0; hole <= many.length; hole++) {
    assert.ok(reader.next());
    assert.deepEqual(reader.value(), value(hole));
  }
});

test("a batch without rows carries its header, and a writer starts anew after each", () => {
  const writer = new RowBatchWriter(columns);
  const reader = new RowBatchReader(columns);
  for (const caughtUp of [true, false]) {
    reader.reset(writer.take({ source: 41, frontierTimeMs: Number.MIN_SAFE_INTEGER, frontierRank: 1, caughtUp }));
    assert.equal(reader.source, 41);
    assert.equal(reader.frontierTimeMs, Number.MIN_SAFE_INTEGER);
    assert.equal(reader.frontierRank, 1);
    assert.equal(reader.caughtUp, caughtUp);
    assert.equal(reader.count, 0);
    assert.equal(reader.next(), false);
    writer.add({ id: "a" }, 1, 0, 1, 1, false);
    assert.equal(writer.take(header).readUInt32LE(8), 1);
  }
});

test("rows may be passed over without decoding, and decoded twice", () => {
  const writer = new RowBatchWriter(columns);
  for (let i = 1; i <= 3; i++) writer.add({ id: `ключ-${i}`, amount: i }, i, 2, i, i, false);
  const reader = new RowBatchReader(columns);
  reader.reset(writer.take(header));
  assert.ok(reader.next() && reader.next());
  const expected = { id: "ключ-2", amount: 2, fraud: null, reasons: null };
  assert.deepEqual(reader.value(), expected);
  assert.deepEqual(reader.value(), expected);
  assert.notEqual(reader.value(), reader.value());
});

test("a value of the wrong type is named, and leaves the batch as it was", () => {
  const writer = new RowBatchWriter(columns);
  writer.add({ id: "a", amount: 1 }, 1, 0, 1, 1, false);
  const before = writer.byteLength;
  const wrong: [object, string][] = [
    [{ id: 5 }, "id"],
    [{ id: "b", amount: 5n }, "amount"],
    [{ id: "b", amount: "5" }, "amount"],
    [{ id: "b", fraud: 1 }, "fraud"],
    [{ id: "x".repeat(50_000), reasons: [1n] }, "reasons"],
    [{ id: "b", reasons: () => 1 }, "reasons"],
  ];
  for (const [value, field] of wrong) {
    const named = (error: unknown): boolean =>
      error instanceof KappaError && error.code === "KAPPA_RECORD_INVALID" && error.context.column === field;
    assert.throws(() => writer.add(value, 2, 0, 2, 2, false), named);
    assert.equal(writer.byteLength, before);
    assert.equal(writer.count, 1);
  }
  writer.add({ id: "c" }, 2, 0, 2, 2, true);
  const reader = new RowBatchReader(columns);
  reader.reset(writer.take(header));
  assert.ok(reader.next() && reader.next());
  assert.deepEqual(reader.value(), { id: "c", amount: null, fraud: null, reasons: null });
  assert.equal(reader.next(), false);
});

test("a sequence that does not rise is a bug of the caller", () => {
  const writer = new RowBatchWriter(columns);
  writer.add({ id: "a" }, 1, 0, 5, 1, false);
  assert.throws(() => writer.add({ id: "b" }, 1, 0, 5, 1, false), /invariant broken/);
});

test("rows of other columns are refused, not misread", () => {
  const writer = new RowBatchWriter(columns);
  writer.add({ id: "a" }, 1, 0, 1, 1, false);
  const other = columns.map((each) => (each.name === "amount" ? { ...each, type: "boolean" as const } : each));
  const bytes = Buffer.from(writer.take(header));
  assert.throws(() => new RowBatchReader(other).reset(bytes), withCode("KAPPA_STATE_INCOMPATIBLE"));
  assert.throws(() => new RowBatchReader(columns.slice(1)).reset(bytes), withCode("KAPPA_STATE_INCOMPATIBLE"));
});

test("bytes that are cut short or of another version are corrupt", () => {
  const writer = new RowBatchWriter(columns);
  for (let i = 1; i <= 3; i++) writer.add({ id: "abc", amount: i }, i, 2, i, i, false);
  const bytes = Buffer.from(writer.take(header));
  const reader = new RowBatchReader(columns);
  for (let length = 0; length < bytes.length; length++) {
    const walk = (): void => {
      reader.reset(bytes.subarray(0, length));
      while (reader.next());
    };
    assert.throws(walk, withCode("KAPPA_LOG_CORRUPT"), `cut to ${length} bytes`);
  }
  bytes[0] = 9;
  assert.throws(() => reader.reset(bytes), withCode("KAPPA_LOG_CORRUPT"));
});

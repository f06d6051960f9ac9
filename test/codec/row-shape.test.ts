import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { test } from "vitest";
import type { Column } from "../../src/codec/column.ts";
import { RowBatchReader, RowBatchWriter } from "../../src/codec/row-batch.ts";
import { RowShape } from "../../src/codec/row-shape.ts";
import { KappaError } from "../../src/core/errors.ts";

const columns: readonly Column[] = [
  { name: "card_id", type: "text", nullable: false },
  { name: "amount", type: "integer", nullable: false },
  { name: "mean", type: "number", nullable: true },
  { name: "online", type: "boolean", nullable: true },
  { name: "reasons", type: "json", nullable: true },
];
const shape = new RowShape(columns);
const value = { card_id: "c1", amount: 250, mean: -0, online: true, reasons: ["a"] };

function refused(code: string, part: string): (error: unknown) => boolean {
  return (error) => error instanceof KappaError && error.code === code && error.message.includes(part);
}

test("project takes the columns in order, leaves out the rest and turns absent into null", () => {
  const projected = shape.project({ extra: 1, amount: 5, card_id: "c", mean: undefined, online: false });
  assert.deepEqual(projected, { card_id: "c", amount: 5, mean: null, online: false, reasons: null });
  assert.deepEqual(Object.keys(projected), ["card_id", "amount", "mean", "online", "reasons"]);
  assert.equal(Object.getPrototypeOf(projected), Object.prototype);
});

test("a column never takes what every object inherits", () => {
  for (const name of [
    "__proto__",
    "constructor",
    "prototype",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "a-b",
    "",
    "1a",
    "a;b",
  ]) {
    assert.throws(
      () => new RowShape([{ name, type: "text", nullable: true }]),
      refused("KAPPA_SCHEMA_INVALID", JSON.stringify(name)),
    );
  }
});

test("a word that JavaScript keeps for itself is a fine column", () => {
  const words = ["class", "new", "x", "value", "at", "into", "source", "extras", "null", "await", "arguments"];
  const odd = new RowShape(words.map((name) => ({ name, type: "number", nullable: true })));
  const projected = odd.project(Object.fromEntries(words.map((word, i) => [word, i])));
  const into = new Float64Array(words.length);
  odd.numberReader(words)(projected, into, 0);
  assert.deepEqual(
    [...into],
    words.map((_, i) => i),
  );
});

test("an extended value has the columns of both in order", () => {
  const { shape: wider, extend } = shape.extender([{ name: "score", type: "number", nullable: true }]);
  assert.deepEqual(extend(value, [0.5]), { ...value, score: 0.5 });
  assert.deepEqual(extend(value, []), { ...value, score: null });
  assert.equal(wider.columns.at(-1)?.name, "score");
});

test("a column cannot be added twice", () => {
  assert.throws(
    () => shape.extender([{ name: "mean", type: "number", nullable: true }]),
    refused("KAPPA_SCHEMA_INVALID", "mean"),
  );
});

test("numbers are read in the order asked for: null is NaN, booleans are 0 and 1, -0 stays", () => {
  const into = new Float64Array(5).fill(7);
  shape.numberReader(["online", "mean", "amount"])(value, into, 1);
  assert.deepEqual([...into], [7, 1, -0, 250, 7]);
  shape.numberReader(["mean", "online"])(shape.project({ online: false }), into, 0);
  assert.deepEqual([...into.subarray(0, 2)], [Number.NaN, 0]);
});

test("a vector is rounded to float32", () => {
  const into = new Float32Array(1);
  shape.vectorReader(["mean"])({ ...value, mean: 0.1 }, into, 0);
  assert.equal(into[0], Math.fround(0.1));
});

test("texts and keys are read as they are, absent as null", () => {
  const into: (string | null)[] = [];
  shape.textReader(["card_id"])(value, into);
  assert.deepEqual(into, ["c1"]);
  assert.equal(shape.keyReader("card_id")(value), "c1");
  assert.equal(shape.keyReader("amount")(value), 250);
  assert.equal(shape.keyReader("card_id")({}), null);
});

test("a reader of the wrong column says what is there", () => {
  assert.throws(() => shape.numberReader(["amuont"]), refused("KAPPA_TOPOLOGY_INVALID", "card_id, amount"));
  assert.throws(() => shape.numberReader(["card_id"]), refused("KAPPA_TOPOLOGY_INVALID", "is text"));
  assert.throws(() => shape.textReader(["amount"]), refused("KAPPA_TOPOLOGY_INVALID", "is integer"));
  assert.throws(() => shape.keyReader("reasons"), refused("KAPPA_TOPOLOGY_INVALID", "is json"));
});

test("projected, extended and decoded values share one hidden class", () => {
  setFlagsFromString("--allow-natives-syntax");
  const sameMap = new Function("a", "b", "return %HaveSameMap(a, b)") as (a: object, b: object) => boolean;
  const { shape: wider, extend } = shape.extender([{ name: "score", type: "number", nullable: true }]);
  const again = new RowShape(wider.columns);
  const writer = new RowBatchWriter(wider.columns);
  const reader = new RowBatchReader(wider.columns);
  const decoded = (each: object): object => {
    writer.add(each, 0, 0, 1, 0, false);
    reader.reset(writer.take({ source: 0, frontierTimeMs: 0, frontierRank: 0, caughtUp: true }));
    assert.ok(reader.next());
    return reader.value();
  };
  const whole = (): object => extend(value, [1.5]);
  const holes = (): object => wider.project({ amount: 1.5 });
  // Twice: a field that has only held small integers gives way to doubles and nulls in place.
  for (const make of [whole, holes, whole, holes]) decoded(again.project(make()));
  const objects = [whole(), holes(), again.project(whole()), decoded(whole()), decoded(holes())];
  for (const object of objects) assert.ok(sameMap(object, objects[0] ?? {}), JSON.stringify(object));
});

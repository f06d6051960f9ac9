import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { addExact, addSquareExact, roundExact, sampleVariance, wideCells } from "../../src/state/exact-sum.ts";
import { bruteForce } from "./brute-force.ts";

const value = fc.oneof(
  fc.double({ noNaN: true, min: -1e100, max: 1e100 }).map((x) => (Math.abs(x) < 1e-100 ? 0 : x)),
  fc.constantFrom(0.1, -0.1, 0.2, 0.3, 1, 2 ** 53, -(2 ** 53), 2 ** 53 + 2, 2 ** -53, 2 ** -54, 1e16, 1e-16),
);

function expected(kind: "sum" | "variance", values: readonly number[]): unknown {
  const events = values.map((x) => ({ timeMs: 0, values: { x } }));
  const window = { kind: "unbounded", excludeCurrent: false } as const;
  return bruteForce(events, null, 0, { window, aggregate: { kind, column: "x" } }, null);
}

function sumOf(values: readonly number[], width = wideCells): number {
  const cells = new Float64Array(width);
  for (const x of values) assert.ok(addExact(cells, 0, width, x));
  return roundExact(cells, 0, width);
}

test("a sum is the exact sum rounded once, ties to even", () => {
  assert.equal(sumOf([0.1, 0.2, 0.3, -0.3, -0.2, -0.1]), 0);
  assert.equal(sumOf([1e16, 1, -1e16]), 1);
  assert.equal(sumOf([2 ** 53, 1]), 2 ** 53);
  assert.equal(sumOf([2 ** 53, 1, 2 ** -60]), 2 ** 53 + 2, "what lies below a tie decides");
  fc.assert(
    fc.property(fc.array(value, { maxLength: 30 }), (values) => {
      assert.equal(sumOf(values), expected("sum", values));
    }),
  );
});

test("what was added and taken away again leaves no trace", () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 20 }), fc.array(value, { maxLength: 20 }), (kept, passing) => {
      const through = [...passing.slice(0, 10), ...kept, ...passing.slice(10), ...passing.map((x) => -x)];
      assert.equal(sumOf(through), sumOf(kept));
    }),
  );
});

test("a sum that does not fit its cells is refused and left as it was", () => {
  const cells = Float64Array.of(0, 0, 7);
  assert.ok(addExact(cells, 0, 2, 1e300));
  assert.ok(addExact(cells, 0, 2, 1));
  const before = cells.slice();
  assert.equal(addExact(cells, 0, 2, 1e-300), false);
  assert.deepEqual(cells, before);
  assert.equal(addSquareExact(cells, 0, 2, 1e-100, 1), false);
  assert.deepEqual(cells, before);
});

test("a sum takes no more cells than its bits need", () => {
  const cells = new Float64Array(3);
  for (let i = 1; i <= 10_000; i++) assert.ok(addExact(cells, 0, 3, i / 100), `cents of ${i}`);
  for (let i = 1; i <= 10_000; i++) assert.ok(addExact(cells, 0, 3, -i / 100));
  assert.deepEqual([...cells], [0, 0, 0]);
});

test("a variance is exact before it is rounded, however far the values are from zero", () => {
  const around = (center: number): number[] => [4, 7, 13, 16].map((x) => x + center);
  for (const values of [around(0), around(1e9), around(1e15)]) assert.equal(variance(values), 30);
  fc.assert(
    fc.property(fc.array(value, { minLength: 2, maxLength: 20 }), (values) => {
      assert.equal(variance(values), expected("variance", values));
    }),
  );
});

function variance(values: readonly number[]): number {
  const sum = new Float64Array(wideCells);
  const squares = new Float64Array(wideCells);
  for (const x of values) {
    addExact(sum, 0, wideCells, x);
    addSquareExact(squares, 0, wideCells, x, 1);
  }
  return sampleVariance(values.length, sum, 0, wideCells, squares, 0, wideCells);
}

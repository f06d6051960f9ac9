import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { exactSum, exactVariance, nearestDouble, unitsOf } from "./exact.ts";

test("a double survives the way to units and back", () => {
  const double = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(fc.property(double, (value) => nearestDouble(unitsOf(value), 1n, -1074) === value));
});

test("a quotient of whole numbers is rounded as the processor rounds it", () => {
  const whole = fc.integer({ min: -(2 ** 31), max: 2 ** 31 });
  fc.assert(
    fc.property(whole, whole, (a, b) => b === 0 || nearestDouble(BigInt(a), BigInt(b), 0) === a / b || a === 0),
  );
});

test("a sum rounds once: ties to even, across the whole range", () => {
  assert.equal(exactSum([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]), 1);
  assert.equal(exactSum([1e16, 1, -1e16]), 1);
  assert.equal(exactSum([2 ** 53, 1]), 2 ** 53);
  assert.equal(exactSum([2 ** 53, 1, 5e-324]), 2 ** 53 + 2);
  assert.equal(exactSum([2 ** 53 + 2, 1]), 2 ** 53 + 4);
  assert.equal(exactSum([1.7e308, 1.7e308, -1.7e308]), 1.7e308);
  assert.equal(exactSum([1.7e308, 1.7e308]), Number.POSITIVE_INFINITY);
  assert.equal(exactSum([]), 0);
});

test("a variance does not lose small spreads around large values", () => {
  assert.equal(exactVariance([1e15, 1e15 + 1]), 0.5);
  assert.equal(exactVariance([2, 4, 4, 4, 5, 5, 7, 9]), 32 / 7);
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { ByteReader, ByteWriter } from "../../src/state/bytes.ts";
import { ExactTotal } from "../../src/state/exact-total.ts";

function totalOf(values: readonly number[]): ExactTotal {
  const total = new ExactTotal();
  for (const value of values) total.add(value);
  return total;
}

function reread(total: ExactTotal): ExactTotal {
  const writer = new ByteWriter();
  total.write(writer);
  const copy = new ExactTotal();
  copy.read(new ByteReader().reset(Buffer.from(writer.written())));
  return copy;
}

test("a sum of doubles is that of real numbers, rounded once", () => {
  assert.equal(totalOf([0.1, 0.2, 0.3, -0.6]).value, 2.7755575615628914e-17); // 0.1 + 0.2 + 0.3 - 0.6, as the doubles are
  assert.equal(totalOf([1e16, 1, -1e16]).value, 1);
  assert.equal(totalOf([2 ** 400, 1, -(2 ** 400)]).value, 1);
});

test("whole numbers beyond the safe ones are summed exactly, and cancel", () => {
  const large = Number.MAX_SAFE_INTEGER;
  assert.equal(totalOf([large, large, 3, -large, -large]).value, 3);
  assert.equal(totalOf([large, large]).value, 2 * large);
});

const value = fc.oneof(
  fc.integer(),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, -(2 ** 52), 1e16, -1e16, 0.1, 1e-20, 2 ** 300),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 }),
);

test("order, grouping and being written do not change a sum", () => {
  fc.assert(
    fc.property(
      fc.array(value, { size: "max", maxLength: 40 }),
      fc.array(value, { maxLength: 20 }),
      fc.nat(),
      (a, b, at) => {
        const together = totalOf([...a, ...b]).value;
        const turned = [...b, ...a].reverse();
        turned.push(...turned.splice(0, at % (turned.length + 1)));
        assert.equal(totalOf(turned).value, together);
        const merged = reread(totalOf(a));
        merged.addAll(reread(totalOf(b)));
        assert.equal(merged.value, together);
      },
    ),
  );
});

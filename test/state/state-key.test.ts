import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { readKey, type StateKey, writeKey } from "../../src/state/state-key.ts";

const key: fc.Arbitrary<StateKey> = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -1, 1, Number.MAX_SAFE_INTEGER, "", "a", "ab", "\u0000", "ÿ", "€", "😀"),
);

function bytesOf(key: StateKey): Buffer {
  const buffer = Buffer.alloc(1000);
  return buffer.subarray(0, writeKey(buffer, 0, key));
}

test("a key is read as it was written; zero has one sign", () => {
  fc.assert(
    fc.property(key, (key) => {
      const bytes = bytesOf(key);
      assert.equal(readKey(bytes, 0, bytes.length), Object.is(key, -0) ? 0 : key);
    }),
  );
});

test("byte order is: numbers before text, numbers by size, text by code point", () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      const expected =
        typeof a === typeof b
          ? typeof a === "number"
            ? Math.sign(a - (b as number)) || 0
            : Buffer.compare(Buffer.from(a), Buffer.from(b as string))
          : typeof a === "number"
            ? -1
            : 1;
      if (typeof a === "number" && a === b) return assert.deepEqual(bytesOf(a), bytesOf(b));
      const order = a === b ? 0 : expected || (typeof a === "number" && a < (b as number) ? -1 : 1);
      assert.equal(Buffer.compare(bytesOf(a), bytesOf(b)), order);
    }),
  );
});

test("text that is not well formed is refused: two such keys would become one", () => {
  assert.throws(() => bytesOf("a\ud800"), { code: "KAPPA_RECORD_INVALID" });
});

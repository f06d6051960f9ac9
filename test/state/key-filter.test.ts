import assert from "node:assert/strict";
import { test } from "vitest";
import { KeyFilter } from "../../src/state/key-filter.ts";
import { seededRandom } from "../log/power-cut.ts";

/** Keys as stores write them: mostly the same bytes in front. */
function keyOf(n: number): Buffer {
  const key = Buffer.from([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  key.writeDoubleBE(n, 3);
  return key;
}

test("a key that was added may be there, whatever else was added", () => {
  const filter = new KeyFilter(4096);
  const random = seededRandom(3);
  const keys = Array.from({ length: 6000 }, () => keyOf(Math.floor(random() * 2 ** 40)));
  for (const [i, key] of keys.entries()) {
    filter.add(key, key.length);
    if (i % 500 === 0)
      assert.ok(
        keys.slice(0, i + 1).every((each) => filter.mayHold(each, each.length)),
        `after ${i} keys`,
      );
  }
});

test("until it is full, of keys that were not added few may be there; of neighbours too", () => {
  const filter = new KeyFilter(64 * 1024);
  let added = 0;
  for (; !filter.full; added += 2) filter.add(keyOf(added), 11);
  assert.equal(added / 2, 64 * 1024);
  let wrong = 0;
  for (let n = 1; n < added; n += 2) if (filter.mayHold(keyOf(n), 11)) wrong++;
  assert.ok(wrong < 0.04 * (added / 2), `${wrong} of ${added / 2}`);
});

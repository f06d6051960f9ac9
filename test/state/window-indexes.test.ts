import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { CountedValues } from "../../src/state/counted-values.ts";
import { MonotoneQueue } from "../../src/state/monotone-queue.ts";
import { SortedNumbers } from "../../src/state/sorted-numbers.ts";

test("a monotone queue knows the extreme of a window whose ends move both ways", () => {
  const move = fc.constantFrom("head+", "head+", "head-", "tail+", "tail-");
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 40, maxLength: 40 }),
      fc.array(move, { maxLength: 120 }),
      (values, moves) => {
        const largest = new MonotoneQueue(1);
        const smallest = new MonotoneQueue(-1);
        let tail = 10;
        let head = 10;
        for (const move of moves) {
          for (const queue of [largest, smallest]) {
            if (move === "head+" && head < values.length) queue.addNewest(values[head] as number);
            if (move === "head-" && head > tail) {
              queue.removeNewest();
              queue.fill(values.slice(head - 1 - queue.gap, head - 1).toReversed());
            }
            if (move === "tail+" && tail < head) queue.removeOldest();
            if (move === "tail-" && tail > 0) queue.addOldest(values[tail - 1] as number);
          }
          if (move === "head+" && head < values.length) head++;
          else if (move === "head-" && head > tail) head--;
          else if (move === "tail+" && tail < head) tail++;
          else if (move === "tail-" && tail > 0) tail--;
          const window = values.slice(tail, head);
          assert.equal(largest.extreme, window.length === 0 ? undefined : Math.max(...window));
          assert.equal(smallest.extreme, window.length === 0 ? undefined : Math.min(...window));
        }
      },
    ),
  );
});

test("sorted numbers give each rank of what is in, across many runs", () => {
  const numbers = new SortedNumbers();
  const plain: number[] = [];
  let state = 1;
  for (let i = 0; i < 5000; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const value = (state >>> 8) % 1000;
    if (i % 3 === 2) {
      const [gone] = plain.splice(value % plain.length, 1);
      numbers.remove(gone as number);
    } else {
      plain.push(value);
      numbers.add(value);
    }
  }
  plain.sort((a, b) => a - b);
  assert.deepEqual(
    plain.map((_, rank) => numbers.at(rank)),
    plain,
  );
  assert.equal(numbers.at(plain.length), undefined);
});

test("the most frequent values come first, ties by value ascending", () => {
  const values = new CountedValues();
  for (const value of ["b", "a", "c", "c", "a", "d"]) values.add(value);
  values.remove("d");
  assert.deepEqual(values.top(2), ["a", "c"]);
  assert.deepEqual(values.top(9), ["a", "c", "b"]);
  assert.equal(values.distinct, 3);
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { probeRows } from "../../src/scoring/batch-plan.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { CountingMeter, columns, fixtures, openBytes, openFixture, readFixture } from "./fixture.ts";

const width = columns.length;
const golden = JSON.parse(readFileSync(join(fixtures, "scores.json"), "utf8")) as {
  readonly rows: number[][];
  readonly scores: Record<string, number[]>;
};

async function scoresOf(scorer: Scorer, rows: Float32Array, count: number): Promise<Float32Array> {
  const scores = new Float32Array(count).fill(-1);
  await scorer.score(rows, count, scores);
  return scores;
}

/** The same rows in batches of the given sizes, over and over. */
async function inBatches(scorer: Scorer, rows: Float32Array, count: number, sizes: number[]): Promise<Float32Array> {
  const scores = new Float32Array(count);
  for (let at = 0, turn = 0; at < count; turn++) {
    const size = Math.min(sizes[turn % sizes.length] as number, count - at);
    await scorer.score(rows.subarray(at * width, (at + size) * width), size, scores.subarray(at, at + size));
    at += size;
  }
  return scores;
}

test.each([
  ["forest", "probability"],
  ["dense", "probability"],
  ["linear", "raw"],
] as const)("%s scores as Python's onnxruntime does, within 1e-6", async (name, output) => {
  const scorer = await openFixture(name, { output });
  const scores = await scoresOf(scorer, Float32Array.from(golden.rows.flat()), golden.rows.length);
  for (const [i, expected] of (golden.scores[name] as number[]).entries()) {
    assert.ok(Math.abs((scores[i] as number) - expected) <= 1e-6, `row ${i}: ${scores[i]}, python ${expected}`);
  }
  await scorer.close();
});

// `centred` subtracts the mean of its batch: rows scored together would change each other's scores. `fixed` takes
// exactly 4 rows. Neither may show.
test.each([
  ["forest", "probability"],
  ["dense", "probability"],
  ["fixed", "probability"],
  ["linear", "raw"],
  ["centred", "raw"],
] as const)("%s: the bits of a score do not depend on the batch it is scored in", async (name, output) => {
  const scorer = await openFixture(name, { output });
  const count = 700;
  // Not the trial rows of the load: those are the ones it has seen to be equal.
  const rows = probeRows(width, 2 * count).subarray(count * width);
  const whole = await scoresOf(scorer, rows, count);
  assert.equal(whole.some(Number.isNaN), false);
  for (const sizes of [[1], [3, 1, 64, 5], [129, 50, 51], [511, 189]]) {
    assert.deepEqual(await inBatches(scorer, rows, count, sizes), whole, `sizes ${sizes}`);
  }
  await scorer.close();
});

test("a graph for exactly 4 rows scores any number of rows as the same graph for any number does", async () => {
  const fixed = await openFixture("fixed");
  const dense = await openFixture("dense");
  const rows = Float32Array.from(golden.rows.flat());
  for (const count of [1, 3, 4, 7, 40]) {
    const expected = await scoresOf(dense, rows, count);
    for (const [i, score] of (await scoresOf(fixed, rows, count)).entries()) {
      assert.ok(Math.abs(score - (expected[i] as number)) <= 1e-6, `${count} rows, row ${i}`);
    }
  }
  await fixed.close();
  await dense.close();
});

test("a score that is not a number reaches the caller as NaN and is counted", async () => {
  const meter = new CountingMeter();
  const scorer = await openFixture("loghalf", { meter });
  const rows = new Float32Array(3 * width);
  rows[0] = -1;
  rows[width] = 1;
  rows[2 * width] = Number.NaN;
  const scores = await scoresOf(scorer, rows, 3);
  assert.deepEqual([...scores], [Number.NaN, 0.5, Number.NaN]);
  const key = `kappa_scores_invalid_total loghalf ${scorer.model.version}`;
  assert.equal(meter.counts.get(key), 2);
  await scorer.close();
});

test("an infinite raw score is invalid", async () => {
  const meter = new CountingMeter();
  const scorer = await openFixture("linear", { output: "raw", meter });
  const rows = new Float32Array(2 * width);
  rows[0] = Number.POSITIVE_INFINITY;
  const scores = await scoresOf(scorer, rows, 2);
  assert.deepEqual([...scores], [Number.NaN, 0.75]);
  await scorer.close();
});

test("no rows give no scores, and closing twice is fine", async () => {
  const scorer = await openFixture("forest");
  assert.deepEqual([...(await scoresOf(scorer, new Float32Array(0), 0))], []);
  await scorer.close();
  await scorer.close();
  await assert.rejects(scorer.score(new Float32Array(width), 1, new Float32Array(1)), /closed scorer/);
});

// The padded plan of `fixed` and the output of every plan live in memory that calls share.
test.each(["forest", "fixed"])(
  "%s: calls that overlap do not disturb each other, and closing waits for them",
  async (name) => {
    const scorer = await openFixture(name);
    const count = 30;
    const parts = Array.from({ length: 5 }, (_, i) =>
      probeRows(width, 5 * count).subarray(i * count * width, (i + 1) * count * width),
    );
    const alone: Float32Array[] = [];
    for (const part of parts) alone.push(await scoresOf(scorer, part, count));
    const calls = Promise.all(parts.map((part) => scoresOf(scorer, part, count)));
    await scorer.close();
    assert.deepEqual(await calls, alone);
  },
);

test.each([
  ["zipmap", {}, /has no float32 output \(output_label: int64, output_probability: no tensor\).*zipmap off/],
  ["double", { output: "raw" }, /input features: float64 \[N, 6\], needed: float32/],
  ["forest", { columns: ["a", "b"] }, /width 6, 2 features are listed/],
  ["forest", { output: "raw" }, /gives probabilities \[3, 2\] for 3 rows, needed: exactly one float32 output/],
  ["linear", {}, /gave -?[0-9.]+ for a trial row, a probability lies in \[0, 1\]; declare its output as "raw"/],
] as const)("%s opened with %j is refused", async (name, opening, message) => {
  await assert.rejects(openFixture(name, opening), { code: "KAPPA_MODEL_INVALID", message });
});

test("a damaged model is refused, wherever it is cut", async () => {
  const onnx = readFixture("linear");
  for (let length = 0; length < onnx.length; length += 7) {
    await assert.rejects(openBytes(onnx.subarray(0, length), "cut", { output: "raw" }), {
      code: "KAPPA_MODEL_INVALID",
    });
  }
});

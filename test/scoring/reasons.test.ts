import assert from "node:assert/strict";
import { test } from "vitest";
import { probeRows } from "../../src/scoring/batch-plan.ts";
import { describeBareModel } from "../../src/scoring/manifest.ts";
import { explainRows } from "../../src/scoring/reasons.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { columns, openFixture } from "./fixture.ts";

const medians = [0, 1, 20, 30, 0.5, 5];
const both = { reasonsMax: 6, direction: "both" } as const;

// score = 0.5 x0 - 1.25 x1 + 0.01 x2 + 0.03 x3 + 2 x4 - 0.2 x5 + 0.75
test("for a linear model the changes and the score of the medians add up to the score", async () => {
  const scorer = await openFixture("linear", { output: "raw", medians });
  const count = 40;
  const rows = probeRows(columns.length, count);
  // The second half has features of about 1, where float32 is finer than the bound.
  for (let i = rows.length / 2; i < rows.length; i++) rows[i] = (rows[i] as number) % 1;
  const scores = new Float32Array(count);
  await scorer.score(rows, count, scores);
  const middle = new Float32Array(1);
  await scorer.score(Float32Array.from(medians), 1, middle);
  const reasons = await explainRows(scorer, { rows, count, ...both });
  for (const [i, row] of reasons.entries()) {
    const score = scores[i] as number;
    const sum = row.reduce((total, reason) => total + reason.change, middle[0] as number);
    assert.ok(Math.abs(sum - score) <= 1e-6 * Math.max(1, Math.abs(score)), `row ${i}: ${sum} and ${score}`);
  }
  await scorer.close();
});

test("the largest change comes first, with its value and sign; features at their median give no reason", async () => {
  const scorer = await openFixture("linear", { output: "raw", medians });
  const rows = Float32Array.from([0, 0, 120, 30, 0.5, 10]);
  const [all] = await explainRows(scorer, { rows, count: 1, ...both });
  // x1: -1.25 * (0 - 1) = 1.25; x2: 0.01 * 100 = 1; x5: -0.2 * 5 = -1, ties with x2 up to float32
  assert.deepEqual(
    all?.map(({ feature, value, change }) => [feature, value, Number(change.toFixed(4))]),
    [
      ["x1", 0, 1.25],
      ["x2", 120, 1],
      ["x5", 10, -1],
    ],
  );
  const [raising] = await explainRows(scorer, { rows, count: 1, reasonsMax: 6, direction: "raising" });
  assert.deepEqual(
    raising?.map((reason) => reason.feature),
    ["x1", "x2"],
  );
  const [top] = await explainRows(scorer, { rows, count: 1, reasonsMax: 1, direction: "both" });
  assert.deepEqual(
    top?.map((reason) => reason.feature),
    ["x1"],
  );
  await scorer.close();
});

test("reasons of a row do not depend on the rows explained with it", async () => {
  const scorer = await openFixture("forest", { medians });
  const count = 50;
  const rows = probeRows(columns.length, count);
  const together = await explainRows(scorer, { rows, count, ...both });
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * columns.length, (i + 1) * columns.length);
    assert.deepEqual(await explainRows(scorer, { rows: row, count: 1, ...both }), [together[i]]);
  }
  assert.ok(together.some((row) => row.length > 1));
  await scorer.close();
});

test("more rows than one call takes are explained in order", async () => {
  const scorer = await openFixture("linear", { output: "raw", medians });
  const count = 2 * Math.floor(16_384 / 7) + 3;
  const rows = new Float32Array(count * columns.length);
  for (let i = 0; i < count; i++) rows.set([i + 1, 1, 20, 30, 0.5, 5], i * columns.length);
  const reasons = await explainRows(scorer, { rows, count, ...both });
  assert.equal(reasons.length, count);
  for (const [i, row] of reasons.entries()) {
    assert.deepEqual(
      row.map(({ feature, value }) => [feature, value]),
      [["x0", i + 1]],
    );
  }
  await scorer.close();
});

test("a row without a valid score has no reasons", async () => {
  const scorer = await openFixture("loghalf", { medians: [1, 0, 0, 0, 0, 0] });
  const rows = new Float32Array(12);
  rows[0] = -1;
  rows[6] = 4;
  const reasons = await explainRows(scorer, { rows, count: 2, ...both });
  assert.deepEqual(
    reasons.map((row) => row.map((reason) => reason.feature)),
    [[], ["x0"]],
  );
  await scorer.close();
});

test("a feature that was absent is a reason with the value null", async () => {
  // Absent is suspicious to this model, which is how trees may treat it.
  const model = { ...describeBareModel({ columns: ["age"], sha256: "ab".repeat(32) }), medians: Float32Array.of(40) };
  const scorer: Scorer = {
    model,
    score: async (rows, count, into) => {
      for (let i = 0; i < count; i++) into[i] = Number.isNaN(rows[i]) ? 0.75 : 0.25;
    },
    close: async () => {},
  };
  const reasons = await explainRows(scorer, { rows: Float32Array.of(Number.NaN), count: 1, ...both });
  assert.deepEqual(reasons, [[{ feature: "age", value: null, change: 0.5 }]]);
});

test("a bare model gives no reasons", async () => {
  const scorer = await openFixture("forest");
  assert.deepEqual(await explainRows(scorer, { rows: probeRows(6, 2), count: 2, ...both }), [[], []]);
  await scorer.close();
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { planBatches, probeRows, type RunBatch, sliceRowsMax } from "../../src/scoring/batch-plan.ts";

const width = 3;

/** A model whose score of a row is its sum, disturbed by what `noise` says of its place and its batch. */
function model(noise: (place: number, count: number, rows: Float32Array) => number, sizes?: number[]): RunBatch {
  return async (rows, count, into) => {
    sizes?.push(count);
    for (let i = 0; i < count; i++) {
      const row = rows.subarray(i * width, (i + 1) * width);
      into[i] = row.reduce((sum, value) => sum + value, 0) + noise(i, count, rows);
    }
  };
}

test("a model whose rows are independent gets free batches", async () => {
  const run = model(() => 0);
  assert.deepEqual(await planBatches({ run, width, graphRows: undefined }), { kind: "free", sliceRowsMax });
});

test("a model that changes with the size of the batch is padded to one size", async () => {
  const run = model((_, count) => (count >= 50 ? 1e-3 : 0));
  const plan = await planBatches({ run, width, graphRows: undefined });
  assert.deepEqual(plan, { kind: "padded", tensorRows: 64, usedRows: 64 });
});

test("a model that treats the last rows of a call differently gets a size where none are left over", async () => {
  // Rows in groups of 16; what remains goes another way, and so do places within calls of 64.
  const run = model((place, count) => (count === 64 && place >= 48 ? 1e-3 : count % 16 === 0 ? 0 : 2e-3));
  const plan = await planBatches({ run, width, graphRows: undefined });
  assert.deepEqual(plan, { kind: "padded", tensorRows: 16, usedRows: 16 });
});

test("a model that changes with its neighbours is called row by row", async () => {
  const run = model((_, count, rows) => (rows[0] as number) * count);
  const plan = await planBatches({ run, width, graphRows: undefined });
  assert.deepEqual(plan, { kind: "padded", tensorRows: 1, usedRows: 1 });
});

test("a graph of 8 rows is never called with another count, and uses one row when rows disturb each other", async () => {
  const sizes: number[] = [];
  const free = await planBatches({ run: model(() => 0, sizes), width, graphRows: 8 });
  assert.deepEqual(free, { kind: "padded", tensorRows: 8, usedRows: 8 });
  const disturbed = model((place) => place * 1e-3, sizes);
  const single = await planBatches({ run: disturbed, width, graphRows: 8 });
  assert.deepEqual(single, { kind: "padded", tensorRows: 8, usedRows: 1 });
  assert.deepEqual([...new Set(sizes)], [8]);
});

test("trial rows are the same every time and differ from each other", () => {
  const rows = probeRows(15, 512);
  assert.deepEqual(rows, probeRows(15, 512));
  const texts = new Set(Array.from({ length: 512 }, (_, i) => rows.subarray(i * 15, (i + 1) * 15).join()));
  assert.equal(texts.size, 512);
  assert.equal(rows.every(Number.isFinite), true);
});

/** Scores `count` rows in one call of the model: the score of row i goes to `into[i]`. */
export type RunBatch = (rows: Float32Array, count: number, into: Float32Array) => Promise<void>;

/**
 * How rows are laid into calls of a model so that the bits of a score never depend on its neighbours.
 *
 * - `free`: scores were bit-equal in batches of any size; a call takes up to `sliceRowsMax` rows.
 * - `padded`: every call has exactly `tensorRows` rows, of which the first `usedRows` count; the rest are zeros.
 *   Matrix products choose their kernels by the size of the batch, which changes the last bits.
 */
export type BatchPlan =
  | { readonly kind: "free"; readonly sliceRowsMax: number }
  | { readonly kind: "padded"; readonly tensorRows: number; readonly usedRows: number };

export interface BatchPlanOptions {
  readonly run: RunBatch;
  readonly width: number;
  /** The batch size the graph demands, or undefined when it takes any. */
  readonly graphRows: number | undefined;
}

/**
 * Rows in one call of a free model. For 100 trees of depth 6 a row costs 14.4 us alone, 2.8 at 32 rows, 2.35 at 256,
 * 2.32 at 512 and 2.29 at 8192: beyond 512 there is nothing to gain, and a call blocks the thread for 1.2 ms.
 */
export const sliceRowsMax = 512;

/**
 * Each side of the sizes at which onnxruntime changes how it sums trees (50 and 128 rows) and odd remainders of vector
 * registers, up to a whole slice.
 */
const probeSizes = [2, 7, 33, 51, 129, sliceRowsMax];
const probeRowsMax = 33;
const paddedSizes = [64, 16, 4];

/**
 * Finds out by trial, at load, whether batches are safe. A trial on some rows is evidence, not proof; it holds on the
 * machine it ran on, since kernels are chosen by the processor too.
 */
export async function planBatches(options: BatchPlanOptions): Promise<BatchPlan> {
  const { run, width, graphRows } = options;
  const rows = probeRows(width, sliceRowsMax);
  if (graphRows !== undefined) {
    const safe = graphRows > 1 && (await placeDoesNotMatter(run, rows, width, graphRows));
    return { kind: "padded", tensorRows: graphRows, usedRows: safe ? graphRows : 1 };
  }
  if (await sizeDoesNotMatter(run, rows, width)) return { kind: "free", sliceRowsMax };
  for (const size of paddedSizes) {
    if (await placeDoesNotMatter(run, rows, width, size)) return { kind: "padded", tensorRows: size, usedRows: size };
  }
  return { kind: "padded", tensorRows: 1, usedRows: 1 };
}

/** One slice whole; its first rows singly; its last rows in batches of every size. */
async function sizeDoesNotMatter(run: RunBatch, rows: Float32Array, width: number): Promise<boolean> {
  const single = new Float32Array(probeRowsMax);
  const one = new Float32Array(1);
  for (let i = 0; i < probeRowsMax; i++) {
    await run(rows.slice(i * width, (i + 1) * width), 1, one);
    single[i] = one[0] as number;
  }
  const whole = new Float32Array(sliceRowsMax);
  await run(rows, sliceRowsMax, whole);
  if (!sameBits(single, 0, whole, 0, probeRowsMax)) return false;
  const scores = new Float32Array(sliceRowsMax);
  for (const size of probeSizes) {
    const from = sliceRowsMax - size;
    await run(rows.slice(from * width), size, scores);
    if (!sameBits(whole, from, scores, 0, size)) return false;
  }
  return true;
}

/** The same rows in calls of one size: in order, moved on by one, and each alone among zeros. */
async function placeDoesNotMatter(run: RunBatch, rows: Float32Array, width: number, size: number): Promise<boolean> {
  const first = new Float32Array(size);
  const moved = new Float32Array(size);
  const head = rowsFrom(rows, width, 0, size);
  await run(head, size, first);
  for (let shift = 1; shift < size; shift = shift * 2 + 1) {
    const rolled = new Float32Array(size * width);
    rolled.set(head.subarray(0, (size - shift) * width), shift * width);
    await run(rolled, size, moved);
    if (!sameBits(first, 0, moved, shift, size - shift)) return false;
  }
  const alone = new Float32Array(size * width);
  for (let i = 0; i < Math.min(size, probeRowsMax); i++) {
    alone.set(head.subarray(i * width, (i + 1) * width));
    await run(alone, size, moved);
    if (!sameBits(first, i, moved, 0, 1)) return false;
  }
  return true;
}

/** Rows beyond the probe's end start over: a graph may demand more rows than the probe has. */
function rowsFrom(rows: Float32Array, width: number, from: number, count: number): Float32Array {
  const taken = new Float32Array(count * width);
  for (let i = 0; i < taken.length; i++) taken[i] = rows[(from * width + i) % rows.length] as number;
  return taken;
}

/** NaN equals NaN here, and -0 differs from 0. */
function sameBits(left: Float32Array, leftAt: number, right: Float32Array, rightAt: number, count: number): boolean {
  for (let i = 0; i < count; i++) {
    if (!Object.is(left[leftAt + i], right[rightAt + i])) return false;
  }
  return true;
}

/**
 * Rows that no two are alike, over the magnitudes features have: flags, counts, shares, amounts. The same at every
 * load; xorshift32 of Marsaglia, "Xorshift RNGs" (2003), shifts 13, 17, 5.
 */
export function probeRows(width: number, count: number): Float32Array {
  const rows = new Float32Array(width * count);
  let state = 2463534242;
  for (let i = 0; i < rows.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const kind = state & 7;
    const fraction = (state >>> 8) / 2 ** 24;
    if (kind === 0) rows[i] = 0;
    else if (kind === 1) rows[i] = 1;
    else if (kind < 4) rows[i] = Math.floor(fraction * 100);
    else if (kind < 6) rows[i] = fraction;
    else if (kind === 6) rows[i] = fraction * 1000;
    else rows[i] = fraction * 6 - 3;
  }
  return rows;
}

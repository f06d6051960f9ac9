import { assert } from "../core/assert.ts";
import type { Feature, Scorer } from "./scorer.ts";

/** Why a row has its score: what one feature did to it. */
export interface Reason {
  readonly feature: string;
  /** The value the model saw; null when it was absent (NaN). */
  readonly value: number | null;
  /** Score of the row minus its score with this feature at the training median. Above 0: the feature raised it. */
  readonly change: number;
}

export interface ExplainOptions {
  /** Row-major [count, width], as for `Scorer.score`. */
  readonly rows: Float32Array;
  readonly count: number;
  /** Reasons a row at most. */
  readonly reasonsMax: number;
  /** `raising`: only what raised the score, as a decline is told; `both`: whatever moved it most, either way. */
  readonly direction: "raising" | "both";
}

/** Rows of one call of the scorer: bounds memory, at 16 MiB for 256 features. */
const variantRowsMax = 16_384;

/**
 * Reasons of each row, largest change first, ties in the order of the features; features that change nothing are left
 * out. A row costs width + 1 scores, in large calls. Deterministic: a function of the row and the model.
 *
 * For a linear model with raw output the changes and the score of the medians add up to the score. In general they do
 * not: features that act together are each credited with the whole of it. A row without a valid score has no reasons,
 * and a bare model, which has no medians, gives none at all.
 */
export async function explainRows(scorer: Scorer, options: ExplainOptions): Promise<Reason[][]> {
  const { rows, count } = options;
  const width = scorer.model.features.length;
  const { medians } = scorer.model;
  assert(rows.length >= count * width, () => `${rows.length} values for ${count} rows of ${width}`);
  if (medians === undefined) return Array.from({ length: count }, () => []);
  const variants = width + 1;
  const atOnce = Math.max(1, Math.floor(variantRowsMax / variants));
  const scores = new Float32Array(Math.min(atOnce, count) * variants);
  const reasons: Reason[][] = [];
  for (let from = 0; from < count; from += atOnce) {
    const size = Math.min(atOnce, count - from);
    const part = rows.subarray(from * width, (from + size) * width);
    await scorer.score(variantsOf(part, size, medians), size * variants, scores);
    for (let row = 0; row < size; row++) {
      const values = part.subarray(row * width, (row + 1) * width);
      const rowScores = scores.subarray(row * variants, (row + 1) * variants);
      reasons.push(reasonsOf(scorer.model.features, values, rowScores, options));
    }
  }
  return reasons;
}

/** Each row `width` times with one feature at its median, then as it is. */
function variantsOf(rows: Float32Array, count: number, medians: Float32Array): Float32Array {
  const width = medians.length;
  const batch = new Float32Array(count * (width + 1) * width);
  for (let row = 0, at = 0; row < count; row++) {
    const values = rows.subarray(row * width, (row + 1) * width);
    for (let variant = 0; variant <= width; variant++, at += width) {
      batch.set(values, at);
      if (variant < width) batch[at + variant] = medians[variant] as number;
    }
  }
  return batch;
}

/** @param scores of the row's variants, the row as it is last */
function reasonsOf(
  features: readonly Feature[],
  values: Float32Array,
  scores: Float32Array,
  options: Pick<ExplainOptions, "reasonsMax" | "direction">,
): Reason[] {
  const score = scores[features.length] as number;
  const found: Reason[] = [];
  for (const [i, feature] of features.entries()) {
    const change = score - (scores[i] as number);
    // NaN, where either score was invalid, fails both.
    if (!(change > 0 || (change < 0 && options.direction === "both"))) continue;
    const value = values[i] as number;
    found.push({ feature: feature.name, value: Number.isNaN(value) ? null : value, change });
  }
  // Sorting is stable, so equal changes stay in the order of the features.
  found.sort((left, right) => Math.abs(right.change) - Math.abs(left.change));
  return found.slice(0, options.reasonsMax);
}

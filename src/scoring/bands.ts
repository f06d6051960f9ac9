import { z } from "zod";
import { KappaError } from "../core/errors.ts";
import type { ModelOutput } from "./scorer.ts";

/**
 * What happens to an event. `step-up` asks its author for a second proof; `review` asks a person of ours.
 */
export type Decision = "allow" | "step-up" | "decline" | "review";

export const decisionSchema = z.enum(["allow", "step-up", "decline", "review"]);

/** One band of scores. Null is unbounded: `from` null has no lower end, `to` null no upper end. */
export interface Band {
  readonly decision: Decision;
  readonly from: number | null;
  readonly to: number | null;
  /** Which of its ends belong to it. */
  readonly includes: "from" | "to" | "both" | "none";
}

/**
 * - `textbook-0`: a model never declines alone. Above 0.5 a person looks (the source names no number; 0.5 is ours).
 * - `textbook-4`: below 0.3 allow, 0.3 to 0.7 step up, above 0.7 decline; both limits belong to the middle.
 */
export const bandPresets = {
  "textbook-0": [
    { decision: "allow", from: 0, to: 0.5, includes: "both" },
    { decision: "review", from: 0.5, to: 1, includes: "to" },
  ],
  "textbook-4": [
    { decision: "allow", from: 0, to: 0.3, includes: "from" },
    { decision: "step-up", from: 0.3, to: 0.7, includes: "both" },
    { decision: "decline", from: 0.7, to: 1, includes: "to" },
  ],
} as const satisfies Record<string, readonly Band[]>;

export type BandPreset = keyof typeof bandPresets;

const bandSchema = z.strictObject({
  decision: decisionSchema,
  from: z.number().nullable(),
  to: z.number().nullable(),
  includes: z.enum(["from", "to", "both", "none"]),
});

export const bandsSchema = z.union([
  z.enum(Object.keys(bandPresets) as [BandPreset, ...BandPreset[]]),
  z.array(bandSchema).min(1).max(20),
]);

/**
 * Score to decision. Bands lie in ascending order without gap or overlap, over [0, 1] for probabilities and over all
 * numbers for raw scores. Limits are rounded to float32, the type a model emits: a score of float32 0.3 is 0.3, and
 * two limits that are one float32 are one limit.
 */
export class Bands {
  readonly bands: readonly Band[];
  readonly #upper: Float32Array;
  /** 1 where the upper end belongs to the band. */
  readonly #closed: Uint8Array;
  readonly #least: number;
  readonly #leastClosed: boolean;

  /** @throws KAPPA_RULES_INVALID with both numbers for a gap, an overlap, an empty band, or an end left out */
  constructor(bands: BandPreset | readonly Band[], output: ModelOutput = "probability") {
    this.bands = typeof bands === "string" ? bandPresets[bands] : bands;
    checkCover(this.bands, output);
    this.#upper = Float32Array.from(this.bands, upperOf);
    this.#closed = Uint8Array.from(this.bands, (band) => (includesUpper(band) ? 1 : 0));
    const [first] = this.bands;
    this.#least = first === undefined ? Number.NaN : Math.fround(lowerOf(first));
    this.#leastClosed = first !== undefined && includesLower(first);
  }

  /** Scores that lie in no band, such as NaN or a probability above 1, are for a person: `review`. */
  decide(score: number): Decision {
    const value = Math.fround(score);
    if (value > this.#least || (this.#leastClosed && value === this.#least)) {
      const upper = this.#upper;
      for (let i = 0; i < upper.length; i++) {
        const limit = upper[i] as number;
        if (value < limit || (value === limit && this.#closed[i] === 1)) return (this.bands[i] as Band).decision;
      }
    }
    return "review";
  }
}

function checkCover(bands: readonly Band[], output: ModelOutput): void {
  const [first] = bands;
  const last = bands.at(-1);
  if (first === undefined || last === undefined) throw invalid("no bands are given, at least 1 is needed");
  for (const [i, band] of bands.entries()) {
    const from = Math.fround(lowerOf(band));
    const to = Math.fround(upperOf(band));
    if (!(from < to || (from === to && band.includes === "both"))) {
      throw invalid(`band ${i} (${band.decision}) is empty: from ${show(band.from)} to ${show(band.to)} as float32`);
    }
    const next = bands[i + 1];
    if (next === undefined) continue;
    const place = `bands ${i} (${band.decision}) and ${i + 1} (${next.decision})`;
    const nextFrom = Math.fround(lowerOf(next));
    const ends = `the first ends at ${show(band.to)}, the second starts at ${show(next.from)}`;
    if (to < nextFrom) throw invalid(`${place} leave a gap: ${ends}`);
    if (to > nextFrom) throw invalid(`${place} overlap: ${ends}`);
    const owners = Number(includesUpper(band)) + Number(includesLower(next));
    if (owners === 0) throw invalid(`${place} leave a gap: neither includes ${show(band.to)}`);
    if (owners === 2) throw invalid(`${place} overlap: both include ${show(band.to)}`);
  }
  const [least, most] = output === "probability" ? [0, 1] : [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const startsAt = lowerOf(first);
  const endsAt = upperOf(last);
  if (startsAt > least || (startsAt === least && Number.isFinite(least) && !includesLower(first))) {
    throw invalid(`the bands start ${startsAt === least ? "after" : "at"} ${startsAt}, scores at ${least}`);
  }
  if (endsAt < most || (endsAt === most && Number.isFinite(most) && !includesUpper(last))) {
    throw invalid(`the bands end ${endsAt === most ? "before" : "at"} ${endsAt}, scores at ${most}`);
  }
}

const lowerOf = (band: Band): number => band.from ?? Number.NEGATIVE_INFINITY;
const upperOf = (band: Band): number => band.to ?? Number.POSITIVE_INFINITY;
const includesLower = (band: Band): boolean => band.includes === "from" || band.includes === "both";
const includesUpper = (band: Band): boolean => band.includes === "to" || band.includes === "both";
const show = (end: number | null): string => (end === null ? "no end" : String(end));

function invalid(message: string): KappaError {
  return new KappaError("KAPPA_RULES_INVALID", message);
}

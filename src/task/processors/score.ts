import type { Extender } from "../../codec/row-shape.ts";
import type { Histogram } from "../../core/meter.ts";
import { explainRows } from "../../scoring/reasons.ts";
import type { Scorer } from "../../scoring/scorer.ts";
import type { Value } from "../../topology/graph.ts";
import type { Row } from "../row.ts";
import { type Deferred, Processor } from "./processor.ts";
import type { TimeDriven } from "./time-driven.ts";

export interface ReasonsWanted {
  readonly atLeast: number;
  readonly size: number;
}

/** What a score processor needs to know of the values it sees. */
export interface ScoreAccess {
  /** Writes the model's inputs of a value. */
  readonly vectorOf: (value: Value, into: Float32Array, at: number) => void;
  /** Adds the score, and reasons where wanted. */
  readonly extender: Extender;
  /** What a value already holds that makes the model needless; null asks the model for every value. */
  readonly decidedBy: ((value: Value) => unknown) | null;
}

/**
 * Collects the rows of a commit and scores them together. Rows that need no score wait with the others: the order of
 * rows is never changed by a model. Nor is the place where time moves on: what depends on time behind a model hears of it
 * between the same rows as it would without.
 */
export class ScoreProcessor extends Processor implements Deferred, TimeDriven {
  readonly #scorer: Scorer;
  readonly #access: ScoreAccess;
  readonly #reasons: ReasonsWanted | null;
  readonly #width: number;
  readonly #scoreSeries: Histogram;
  readonly #bury: (row: Row, error: unknown) => void;
  readonly #behind: TimeDriven[] = [];
  #rows: Row[] = [];
  /** Order times that were reached, each with how many rows came before. */
  #reached: { readonly rows: number; readonly orderTimeMs: number }[] = [];
  /** Index into the vectors of each row, or -1 where the model is not asked. */
  #vectorOf: number[] = [];
  #vectors: Float32Array;
  #scores: Float32Array;
  #asked = 0;
  readonly #extras: unknown[] = [null, null];

  /** @param bury takes a row whose way on from here threw */
  constructor(
    scorer: Scorer,
    access: ScoreAccess,
    reasons: ReasonsWanted | null,
    bury: (row: Row, error: unknown) => void,
    scores: Histogram,
  ) {
    super();
    this.#bury = bury;
    this.#scoreSeries = scores;
    this.#scorer = scorer;
    this.#access = access;
    this.#reasons = reasons;
    this.#width = scorer.model.features.length;
    this.#vectors = new Float32Array(256 * this.#width);
    this.#scores = new Float32Array(256);
  }

  /** Adds a processor behind this one that depends on time. */
  addTimeDriven(behind: TimeDriven): void {
    this.#behind.push(behind);
  }

  advance(orderTimeMs: number): void {
    if (this.#behind.length === 0) return;
    if (this.#rows.length === 0) this.#advanceBehind(orderTimeMs);
    else this.#reached.push({ rows: this.#rows.length, orderTimeMs });
  }

  #advanceBehind(orderTimeMs: number): void {
    for (const behind of this.#behind) behind.advance(orderTimeMs);
  }

  override process(row: Row): void {
    this.#rows.push(row);
    const { decidedBy, vectorOf } = this.#access;
    if (decidedBy !== null && decidedBy(row.value) !== null) {
      this.#vectorOf.push(-1);
      return;
    }
    const index = this.#asked++;
    this.#vectorOf.push(index);
    if (this.#asked > this.#scores.length) this.#grow();
    vectorOf(row.value, this.#vectors, index * this.#width);
  }

  #grow(): void {
    const vectors = new Float32Array(this.#vectors.length * 2);
    vectors.set(this.#vectors);
    this.#vectors = vectors;
    this.#scores = new Float32Array(this.#scores.length * 2);
  }

  async flush(): Promise<void> {
    if (this.#rows.length === 0) return;
    if (this.#asked > 0) await this.#scorer.score(this.#vectors, this.#asked, this.#scores);
    for (let i = 0; i < this.#asked; i++) this.#scoreSeries.observe(this.#scores[i] as number);
    const reasons = this.#reasons === null ? null : await this.#explain(this.#reasons);
    const { extender } = this.#access;
    const extras = this.#extras;
    let reached = 0;
    for (let i = 0; i < this.#rows.length; i++) {
      while (this.#reached[reached]?.rows === i)
        this.#advanceBehind((this.#reached[reached++] as { orderTimeMs: number }).orderTimeMs);
      const row = this.#rows[i] as Row;
      const index = this.#vectorOf[i] as number;
      extras[0] = index < 0 ? null : this.#scores[index];
      extras[1] = index < 0 ? null : (reasons?.get(index) ?? null);
      row.value = extender.extend(row.value, extras) as Value;
      try {
        this.forward(row);
      } catch (error) {
        this.#bury(row, error);
      }
    }
    while (reached < this.#reached.length)
      this.#advanceBehind((this.#reached[reached++] as { orderTimeMs: number }).orderTimeMs);
    this.#reached = [];
    this.#rows = [];
    this.#vectorOf = [];
    this.#asked = 0;
  }

  /** Reasons of the rows whose score is high enough, by vector index. */
  async #explain(wanted: ReasonsWanted): Promise<Map<number, unknown>> {
    const chosen: number[] = [];
    for (let i = 0; i < this.#asked; i++) if ((this.#scores[i] as number) >= wanted.atLeast) chosen.push(i);
    const reasons = new Map<number, unknown>();
    if (chosen.length === 0) return reasons;
    const rows = new Float32Array(chosen.length * this.#width);
    chosen.forEach((index, i) => {
      rows.set(this.#vectors.subarray(index * this.#width, (index + 1) * this.#width), i * this.#width);
    });
    const found = await explainRows(this.#scorer, {
      rows,
      count: chosen.length,
      reasonsMax: wanted.size,
      direction: "raising",
    });
    chosen.forEach((index, i) => {
      reasons.set(index, found[i]);
    });
    return reasons;
  }
}

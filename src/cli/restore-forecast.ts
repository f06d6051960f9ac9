import type { RestoreProgress } from "../engine/engine-threads.ts";

/** How far all restores of a process are, and how long they will take. */
export interface Forecast {
  readonly tasks: number;
  readonly commitsLeft: number;
  /** Of the slowest task, at the pace it had so far; null before a pace is known. */
  readonly secondsLeft: number | null;
}

/** A pace over less than this, in ms, is no pace. */
const paceMsMin = 500;

/** Foretells when tasks that are being restored will be ready, from how far they were when. */
export class RestoreForecast {
  /** Where each task was when it was first seen; `atMs` as `Clock.monotonic`. */
  readonly #first = new Map<number, { readonly atMs: number; readonly applied: number }>();

  /** @param restoring tasks that are being restored now */
  of(restoring: ReadonlyMap<number, RestoreProgress>, nowMs: number): Forecast {
    for (const partition of this.#first.keys()) if (!restoring.has(partition)) this.#first.delete(partition);
    let commitsLeft = 0;
    let secondsLeft: number | null = 0;
    for (const [partition, { applied, total }] of restoring) {
      commitsLeft += total - applied;
      const seconds = this.#secondsLeft(partition, applied, total, nowMs);
      secondsLeft = seconds === null || secondsLeft === null ? null : Math.max(secondsLeft, seconds);
    }
    return { tasks: restoring.size, commitsLeft, secondsLeft: restoring.size === 0 ? null : secondsLeft };
  }

  #secondsLeft(partition: number, applied: number, total: number, nowMs: number): number | null {
    let first = this.#first.get(partition);
    // A restore that begins again, from the log alone, has another pace.
    if (first === undefined || applied < first.applied) {
      first = { atMs: nowMs, applied };
      this.#first.set(partition, first);
    }
    const tookMs = nowMs - first.atMs;
    if (tookMs < paceMsMin || applied === first.applied) return null;
    return ((total - applied) * tookMs) / (applied - first.applied) / 1000;
  }
}

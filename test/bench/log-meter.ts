import type { Labels, Meter } from "../../src/core/meter.ts";

/** Counts what a journal's owner appends. */
export class LogMeter implements Meter {
  readonly #sums = new Map<string, number>();
  #syncSeconds: number[] = [];

  counter(name: string, ...labels: Labels): { add(count: number): void } {
    const key = [name, ...labels].join(" ");
    return { add: (count) => this.#sums.set(key, (this.#sums.get(key) ?? 0) + count) };
  }

  gauge(): { set(value: number): void } {
    return { set: () => {} };
  }

  histogram(name: string): { observe(value: number): void } {
    const kept = name === "kappa_log_sync_seconds";
    return { observe: (seconds) => void (kept && this.#syncSeconds.push(seconds)) };
  }

  get appended(): Appended {
    return {
      frames: this.#sums.get("kappa_log_appended_frames_total") ?? 0,
      bytes: this.#sums.get("kappa_log_appended_bytes_total") ?? 0,
      syncs: this.#syncSeconds.length,
    };
  }
}

export interface Appended {
  readonly frames: number;
  readonly bytes: number;
  readonly syncs: number;
}

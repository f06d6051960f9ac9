import { beginningOfTimeMs } from "../core/time.ts";
import type { Stage } from "./stage.ts";

/** That the time of a stage went on without a row, as the choices topic keeps it. */
export interface Tick {
  /** Order time from then on. */
  readonly orderTimeMs: number;
  /** The row it came after: place of its source in the merge, and its sequence there. -1 and -1 before the first row. */
  readonly afterSource: number;
  readonly afterSequence: number;
}

/**
 * Lets the time of a silent stage go on with the wall clock, so that windows close although no event comes any more.
 *
 *     order time    10:00:00 ---------------- 10:00:40
 *                   last row   silence        tick: closes what is due by now
 *     silence       0 s        idleMs = 30 s  40 s
 *
 * A stage is silent from when it has taken every row that its sources hold. Once that has lasted `idleMs` of one of its
 * windows, and a window is due by the time of the last row plus the silence, time jumps there. So a window closes when
 * its end and grace have passed and the silence has lasted `idleMs`, and no tick is made that closes nothing. A row that
 * comes afterwards with an earlier time is merged as any row that comes too late.
 *
 * A tick is a choice of the clock, not of the log: it is recorded where it happened. A run until the end of its input
 * makes none; there the windows that are open at the end stay open until an event or a later run closes them.
 */
export class IdleTicker {
  readonly #stage: Stage;
  #silentSinceMs: number;
  /** Order time when the silence began. */
  #fromMs: number;

  /** @param nowMs monotonic, as that of `tick` */
  constructor(stage: Stage, nowMs: number) {
    this.#stage = stage;
    this.#silentSinceMs = nowMs;
    this.#fromMs = stage.orderTimeMs;
  }

  /**
   * After the stage took what it could.
   * @param rows that it took
   * @returns the tick that was made, to be recorded in the same transaction as what it caused
   */
  tick(rows: number, nowMs: number): Tick | null {
    const stage = this.#stage;
    if (stage.idle.length === 0) return null;
    if (rows > 0 || !stage.group.caughtUp()) {
      this.#silentSinceMs = nowMs;
      this.#fromMs = stage.orderTimeMs;
      return null;
    }
    if (this.#fromMs === beginningOfTimeMs) return null;
    const silenceMs = Math.floor(nowMs - this.#silentSinceMs);
    const orderTimeMs = this.#fromMs + silenceMs;
    if (!stage.idle.some(({ idleMs, nextMs }) => silenceMs >= idleMs && nextMs <= orderTimeMs)) return null;
    const { lastSource, lastSequence } = stage.group;
    stage.tick(orderTimeMs);
    return { orderTimeMs, afterSource: lastSource, afterSequence: lastSequence };
  }
}

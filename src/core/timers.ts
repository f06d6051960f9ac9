import { setImmediate as immediate, setTimeout as timeout } from "node:timers/promises";

/** How to wait. Handed in by constructor, as the clock is, so that a test can own time. */
export interface Timers {
  /** Resolves after `ms`, or as soon as the signal is given. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Lets what else is due have its turn: messages, answers, other tasks. */
  turn(): Promise<void>;
}

export const systemTimers: Timers = {
  sleep: async (ms, signal) => {
    await timeout(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  },
  turn: () => immediate(),
};

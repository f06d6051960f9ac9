import { systemTimers, type Timers } from "../core/timers.ts";

/** Wakes the one waiter of a log when more became visible. Changes that nobody waited for are remembered as one. */
export class ChangeSignal {
  readonly #timers: Timers;
  #changed = false;
  /** Ends the newest wait. */
  #wait: AbortController | null = null;

  constructor(timers: Timers = systemTimers) {
    this.#timers = timers;
  }

  /** Says that more may be visible. */
  raise(): void {
    this.#changed = true;
    this.#wait?.abort();
  }

  /** Resolves at the next `raise`, at once when one came since the last wait, or after `timeoutMs`. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.#changed) {
      const wait = new AbortController();
      this.#wait = wait;
      await this.#timers.sleep(timeoutMs, wait.signal);
      // Whoever waited may have gone on for another reason: what was raised since is for its next wait.
      if (this.#wait !== wait) return;
      this.#wait = null;
    }
    this.#changed = false;
  }
}

/** Wakes the one waiter of a log when more became visible. Changes that nobody waited for are remembered as one. */
export class ChangeSignal {
  #changed = false;
  #wake: (() => void) | undefined;

  /** Says that more may be visible. */
  raise(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** Resolves at the next `raise`, at once when one came since the last wait, or after `timeoutMs`. */
  wait(timeoutMs: number): Promise<void> {
    if (this.#changed) {
      this.#changed = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#changed = false;
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#wake = wake;
    });
  }
}

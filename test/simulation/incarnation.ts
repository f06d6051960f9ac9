import type { Timers } from "../../src/core/timers.ts";
import type { Scheduler } from "./scheduler.ts";

/**
 * One life of a simulated process. What it waits for reaches it through `deliver`: never once it is dead, and while it is
 * stopped (SIGSTOP) not before it goes on. So it can die at every await, and knows nothing of it.
 */
export class Incarnation implements Timers {
  readonly name: string;
  readonly #scheduler: Scheduler;
  #alive = true;
  #stopped = false;
  /** What came while it was stopped. */
  #waiting: (() => void)[] = [];
  /** Deliveries until it dies; -1 when none is planned. */
  #left = -1;
  readonly #died: () => void;

  /** @param died called when a planned death came */
  constructor(name: string, scheduler: Scheduler, died: () => void) {
    this.name = name;
    this.#scheduler = scheduler;
    this.#died = died;
  }

  get alive(): boolean {
    return this.#alive;
  }
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Hands it an answer, a tick of a timer, a written batch. */
  deliver(run: () => void): void {
    if (!this.#alive) return;
    if (this.#stopped) {
      this.#waiting.push(run);
      return;
    }
    if (this.#left === 0) {
      this.#left = -1;
      this.#died();
      return;
    }
    if (this.#left > 0) this.#left--;
    run();
  }

  /** Lets it die instead of its next delivery but `deliveries`. */
  dieAfter(deliveries: number): void {
    this.#left = deliveries;
  }

  /** What runs of it runs to its next await, but nothing that it does has an effect any more. */
  kill(): void {
    this.#alive = false;
    this.#waiting = [];
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Everything that came meanwhile comes now, in its order. */
  goOn(): void {
    this.#stopped = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [i, run] of waiting.entries()) this.#scheduler.after(i / 1000, () => this.deliver(run));
  }

  after(delayMs: number, run: () => void): void {
    this.#scheduler.after(delayMs, () => this.deliver(run));
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      this.after(ms, resolve);
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  turn(): Promise<void> {
    return this.sleep(0.01);
  }
}

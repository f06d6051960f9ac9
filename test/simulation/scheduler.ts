import type { Clock } from "../../src/core/clock.ts";
import type { Random } from "./random.ts";

/** What happens at a time. Ties are broken by a number drawn from the seed. */
interface Event {
  readonly timeMs: number;
  readonly tie: number;
  readonly run: () => void;
}

/** Wall clock of a simulation when it starts: some day. */
const startMs = Date.UTC(2026, 2, 1);

/**
 * Virtual time. Everything that takes time in a simulation is an event on one heap; between two events all promises run
 * as far as they can, and Node does that in an order of its own that is always the same. So a run is a function of its
 * seed, and takes no longer than its computations.
 */
export class Scheduler implements Clock {
  readonly #random: Random;
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #events = 0;
  /** Of everything that happened, in its order (FNV-1a). */
  #hash = 0x811c9dc5;

  constructor(random: Random) {
    this.#random = random;
  }

  now(): number {
    return startMs + Math.floor(this.#nowMs);
  }

  monotonic(): number {
    return this.#nowMs;
  }

  /** Events so far. */
  get events(): number {
    return this.#events;
  }

  /** Equal for two runs in which the same happened at the same times. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Lets the trace depend on something. */
  note(number: number): void {
    this.#hash = Math.imul(this.#hash ^ (number & 0xffff), 0x01000193);
    this.#hash = Math.imul(this.#hash ^ (number >>> 16), 0x01000193);
  }

  after(delayMs: number, run: () => void): void {
    this.#push({ timeMs: this.#nowMs + delayMs, tie: this.#random.word(), run });
  }

  /**
   * Runs what comes until `done` says so, which is asked after every event, or nothing is left.
   * @throws what an event threw
   */
  run(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = (): void => {
        try {
          const event = done() ? undefined : this.#pop();
          if (event === undefined) {
            resolve();
            return;
          }
          this.#nowMs = event.timeMs;
          this.#events++;
          this.note(Math.floor(event.timeMs * 1000));
          event.run();
        } catch (error) {
          reject(error);
          return;
        }
        // Node empties the queue of promises before it looks at the next tick, so all that the event set off is done by then.
        queueMicrotask(() => process.nextTick(step));
      };
      step();
    });
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Event;
      if (!before(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, heap[child] as Event)) child++;
      const smallest = heap[child] as Event;
      if (!before(smallest, last)) break;
      heap[at] = smallest;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.tie < b.tie);
}

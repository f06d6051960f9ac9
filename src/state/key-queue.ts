import type { StateKey } from "./state-key.ts";

/** Keys by time, then by key: a binary heap. Numbers come before texts, texts by their UTF-16 units. */
export class KeyQueue {
  readonly #times: number[] = [];
  readonly #keys: StateKey[] = [];

  get length(): number {
    return this.#times.length;
  }

  /** Of the first entry; Infinity when there is none. */
  get nextMs(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  push(timeMs: number, key: StateKey): void {
    let at = this.#times.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(timeMs, key, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#times[at] = timeMs;
    this.#keys[at] = key;
  }

  /** Takes the first entry off; null when there is none. */
  pop(): { readonly timeMs: number; readonly key: StateKey } | null {
    const timeMs = this.#times[0];
    if (timeMs === undefined) return null;
    const first = { timeMs, key: this.#keys[0] as StateKey };
    const lastTime = this.#times.pop() as number;
    const lastKey = this.#keys.pop() as StateKey;
    if (this.#times.length > 0) this.#sink(lastTime, lastKey);
    return first;
  }

  /** Puts an entry at the root, which is free, and lets it down to its place. */
  #sink(timeMs: number, key: StateKey): void {
    const length = this.#times.length;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (
        child + 1 < length &&
        this.#before(this.#times[child + 1] as number, this.#keys[child + 1] as StateKey, child)
      )
        child++;
      if (this.#before(timeMs, key, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#times[at] = timeMs;
    this.#keys[at] = key;
  }

  #before(timeMs: number, key: StateKey, at: number): boolean {
    const other = this.#times[at] as number;
    return timeMs === other ? keyPrecedes(key, this.#keys[at] as StateKey) : timeMs < other;
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from] as number;
    this.#keys[to] = this.#keys[from] as StateKey;
  }
}

function keyPrecedes(a: StateKey, b: StateKey): boolean {
  if (typeof a === typeof b) return a < b;
  return typeof a === "number";
}

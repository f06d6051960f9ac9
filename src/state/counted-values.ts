/** The values of a window with how often each occurs: its distinct values, exactly, and the most frequent ones. */
export class CountedValues {
  readonly #counts = new Map<number | string, number>();
  #textBytes = 0;

  add(value: number | string, times = 1): void {
    const count = this.#counts.get(value);
    if (count === undefined && typeof value === "string") this.#textBytes += 24 + value.length;
    this.#counts.set(value, count === undefined ? times : count + times);
  }

  remove(value: number | string): void {
    const count = this.#counts.get(value);
    if (count !== undefined && count > 1) {
      this.#counts.set(value, count - 1);
      return;
    }
    this.#counts.delete(value);
    if (typeof value === "string") this.#textBytes -= 24 + value.length;
  }

  /** Each value and how often it occurs. */
  entries(): IterableIterator<[number | string, number]> {
    return this.#counts.entries();
  }

  get distinct(): number {
    return this.#counts.size;
  }

  /** Up to `size` values, the most frequent first, ties by value ascending (text by its UTF-16 units). */
  top(size: number): (number | string)[] {
    const best: (number | string)[] = [];
    const bestCounts: number[] = [];
    for (const [value, count] of this.#counts) {
      let at = best.length;
      while (at > 0 && precedes(value, count, best[at - 1] as number | string, bestCounts[at - 1] as number)) at--;
      if (at >= size) continue;
      best.splice(at, 0, value);
      bestCounts.splice(at, 0, count);
      if (best.length > size) {
        best.pop();
        bestCounts.pop();
      }
    }
    return best;
  }

  get bytes(): number {
    return 200 + this.#counts.size * 56 + this.#textBytes;
  }
}

function precedes(value: number | string, count: number, other: number | string, otherCount: number): boolean {
  return count > otherCount || (count === otherCount && value < other);
}

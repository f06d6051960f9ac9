/** What is to happen, earliest first; of equal times the one scheduled first. A binary heap. */
export class TimeHeap<Item> {
  #times: number[] = [];
  #sequences: number[] = [];
  #items: Item[] = [];
  #scheduled = 0;

  get size(): number {
    return this.#items.length;
  }

  /** Time of the earliest; Infinity when empty. */
  get nextTimeMs(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  push(timeMs: number, item: Item): void {
    const sequence = this.#scheduled++;
    let at = this.#items.length;
    this.#place(at, timeMs, sequence, item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(timeMs, sequence, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#place(at, timeMs, sequence, item);
  }

  /** Takes the earliest, or undefined. */
  pop(): Item | undefined {
    const top = this.#items[0];
    const timeMs = this.#times.pop();
    const sequence = this.#sequences.pop();
    const item = this.#items.pop();
    const size = this.#items.length;
    if (size === 0 || timeMs === undefined || sequence === undefined) return top;
    let at = 0;
    for (;;) {
      const left = at * 2 + 1;
      if (left >= size) break;
      const right = left + 1;
      const least =
        right < size && this.#before(this.#times[right] as number, this.#sequences[right] as number, left)
          ? right
          : left;
      if (this.#before(timeMs, sequence, least)) break;
      this.#move(least, at);
      at = least;
    }
    this.#place(at, timeMs, sequence, item as Item);
    return top;
  }

  #before(timeMs: number, sequence: number, other: number): boolean {
    const otherTimeMs = this.#times[other] as number;
    return timeMs < otherTimeMs || (timeMs === otherTimeMs && sequence < (this.#sequences[other] as number));
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#times[from] as number, this.#sequences[from] as number, this.#items[from] as Item);
  }

  #place(at: number, timeMs: number, sequence: number, item: Item): void {
    this.#times[at] = timeMs;
    this.#sequences[at] = sequence;
    this.#items[at] = item;
  }
}

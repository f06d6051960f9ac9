/** LZ4 and Snappy replace bytes that came before by their distance and length. What both need for it. */

const hashBits = 14;

/** The shortest repetition that is worth its distance. */
export const matchMin = 4;

/** Positions of earlier chunks stay in the table below `#origin`; it starts anew before they leave 31 bits. */
const originMax = 1 << 30;

/** Finds repetitions the greedy way: the last place where four bytes with the same hash stood. */
export class RepeatedBytes {
  readonly #places: Int32Array = new Int32Array(1 << hashBits);
  /** Added to places of this chunk, so that the table need not be cleared for each. */
  #origin = 1;
  #chunkAt = 0;

  /** The repetition found: where it begins, where the same bytes stood, and how long it is. */
  at = 0;
  from = 0;
  length = 0;

  /** Begins a chunk: nothing before it is found. Chunks are at most 64 KiB, so that a distance fits 16 bits. */
  begin(chunkAt: number, chunkEnd: number): void {
    this.#origin += 1 << 16;
    if (this.#origin + (chunkEnd - chunkAt) > originMax) {
      this.#places.fill(0);
      this.#origin = 1;
    }
    this.#chunkAt = chunkAt;
  }

  /**
   * Finds the next repetition from `start` on.
   *
   * @param searchEnd where none may begin any more, at least three bytes before the end of the chunk
   * @param matchEnd where each must end
   */
  next(source: Buffer, start: number, searchEnd: number, matchEnd: number): boolean {
    const places = this.#places;
    const shift = this.#origin - this.#chunkAt;
    // Where nothing repeats, steps become longer: bytes that do not compress should not cost much.
    for (let at = start, misses = 32; at < searchEnd; at += misses++ >>> 5) {
      const word = wordAt(source, at);
      const slot = Math.imul(word, 0x9e3779b1) >>> (32 - hashBits);
      const from = (places[slot] as number) - shift;
      places[slot] = at + shift;
      if (from < this.#chunkAt || wordAt(source, from) !== word) continue;
      let end = at + matchMin;
      for (let i = from + matchMin; end < matchEnd && source[end] === source[i]; i++) end++;
      this.at = at;
      this.from = from;
      this.length = end - at;
      return true;
    }
    return false;
  }
}

function wordAt(source: Buffer, at: number): number {
  return (
    (source[at] as number) |
    ((source[at + 1] as number) << 8) |
    ((source[at + 2] as number) << 16) |
    ((source[at + 3] as number) << 24)
  );
}

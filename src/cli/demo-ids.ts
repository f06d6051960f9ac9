import { assert } from "../core/assert.ts";

/** The number of a transaction of the simulator, which calls them `tx-0`, `tx-1`, ...; -1 for any other id. */
export function transactionNumber(id: string): number {
  return /^tx-\d{1,9}$/.test(id) ? Number(id.slice(3)) : -1;
}

/** A set of whole numbers from 0 to 999,999,999, one bit each: a day at 500 a second takes 5 MB. */
export class NumberSet {
  #bits = new Uint8Array(1 << 16);
  size = 0;
  /** One past the greatest number. */
  end = 0;

  /** @returns false when it was there already */
  add(number: number): boolean {
    assert(number >= 0 && number < 1e9, () => `${number} is no number of a transaction`);
    const at = number >>> 3;
    if (at >= this.#bits.length) {
      const grown = new Uint8Array(Math.max(at + 1, this.#bits.length * 2));
      grown.set(this.#bits);
      this.#bits = grown;
    }
    const bits = this.#bits[at] as number;
    const bit = 1 << (number & 7);
    if ((bits & bit) !== 0) return false;
    this.#bits[at] = bits | bit;
    this.size++;
    if (number >= this.end) this.end = number + 1;
    return true;
  }

  has(number: number): boolean {
    return ((this.#bits[number >>> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }
}

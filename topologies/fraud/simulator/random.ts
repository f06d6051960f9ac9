/**
 * Random numbers from a seed, the same on every platform: nothing but integer steps and IEEE arithmetic, since the
 * last bit of Math.log, Math.exp and Math.sin is up to the engine.
 *
 * Generator: sfc32 of Chris Doty-Humphrey's PractRand 0.94, with its seeding (15 steps discarded).
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param stream a number from 0 to 2^32 - 1; generators of one seed and different streams are independent */
  constructor(seed: number, stream: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = stream >>> 0;
    for (let i = 0; i < 15; i++) this.next();
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  next(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return (result >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  between(from: number, to: number): number {
    return from + (to - from) * this.next();
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** One of a list that is not empty. */
  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** As `pick`, the first ones more often: the chance of place p falls as -log(p). */
  pickFavourite<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.next() * this.next() * items.length)] as Item;
  }

  /**
   * Exponential of mean 1, by comparisons alone: J. von Neumann, "Various techniques used in connection with random
   * digits", 1951. A falling run of uniforms is accepted when its length is odd; each run rejected adds 1.
   */
  exponential(): number {
    for (let whole = 0; ; whole++) {
      const first = this.next();
      let last = first;
      let length = 1;
      for (let value = this.next(); value < last; value = this.next()) {
        last = value;
        length++;
      }
      if (length % 2 === 1) return whole + first;
    }
  }

  /** A value of the distribution whose equally spaced quantiles, from the lowest to the highest, are given. */
  quantile(quantiles: readonly number[]): number {
    const at = this.next() * (quantiles.length - 1);
    const index = Math.floor(at);
    const from = quantiles[index] as number;
    return from + ((quantiles[index + 1] as number) - from) * (at - index);
  }
}

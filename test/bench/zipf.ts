import type { Random } from "../../topologies/fraud/simulator/random.ts";

/** Ranks from 1 to `count`, rank r with a chance in proportion to 1 / r. */
export class Zipf {
  readonly #random: Random;
  /** Sum of the weights up to each rank. */
  readonly #sums: Float64Array;

  constructor(count: number, random: Random) {
    this.#random = random;
    this.#sums = new Float64Array(count);
    let sum = 0;
    for (let rank = 1; rank <= count; rank++) {
      sum += 1 / rank;
      this.#sums[rank - 1] = sum;
    }
  }

  next(): number {
    const sums = this.#sums;
    const drawn = this.#random.next() * (sums[sums.length - 1] as number);
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sums[middle] as number) > drawn) high = middle;
      else low = middle + 1;
    }
    return low + 1;
  }
}

/** Numbers of a full run. Above it a run is cut in two. */
const runLength = 512;

/**
 * Numbers in order, with duplicates, kept as a list of sorted runs: an insertion or removal moves at most one run's
 * content, and the number at a rank is found by passing over whole runs.
 */
export class SortedNumbers {
  readonly #runs: number[][] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    return 160 + this.#runs.length * 64 + this.#length * 12;
  }

  add(value: number): void {
    this.#length++;
    const runs = this.#runs;
    if (runs.length === 0) {
      runs.push([value]);
      return;
    }
    const at = Math.min(this.#runOf(value), runs.length - 1);
    const run = runs[at] as number[];
    run.splice(lowerBound(run, value), 0, value);
    if (run.length > runLength) runs.splice(at + 1, 0, run.splice(runLength >> 1));
  }

  /** Takes out one `value`, which is in. */
  remove(value: number): void {
    this.#length--;
    const at = this.#runOf(value);
    const run = this.#runs[at] as number[];
    run.splice(lowerBound(run, value), 1);
    if (run.length === 0) this.#runs.splice(at, 1);
  }

  /** The number with `rank` others before it. */
  at(rank: number): number | undefined {
    let left = rank;
    for (const run of this.#runs) {
      if (left < run.length) return run[left];
      left -= run.length;
    }
    return undefined;
  }

  /** The first run whose largest number is not below `value`. */
  #runOf(value: number): number {
    const runs = this.#runs;
    let low = 0;
    let high = runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const run = runs[middle] as number[];
      if ((run[run.length - 1] as number) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first number that is not below `value`. */
function lowerBound(run: readonly number[], value: number): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((run[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

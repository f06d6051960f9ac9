import { setFlagsFromString } from "node:v8";

/** Threads that mark the heap beside each thread of ours: V8 would take all cores for the length of a collection. */
const markingThreads = 1;

/** By how much a heap may grow before V8 collects it whole, in percent of what was live; 0 leaves it to V8. */
const generousPercent = 300;

/** Heap of a thread from which on V8 decides. What generosity can cost is below this, in bytes, for each thread. */
const generousBytesMax = 96 * 1024 * 1024;

/**
 * How V8 collects in a process that runs an engine. Under a light load buffers outside the heap make it collect the whole
 * heap every second, and on two cores whoever waits for an fsync waits for that too: at 2,000 records a second p99 to
 * the durable decision was 31 ms, with one marking thread 22, with room to grow 18. V8's flags are the process's.
 */
export class Collector {
  #generous = false;

  constructor() {
    setFlagsFromString(`--concurrent-marking-max-worker-num=${markingThreads}`);
    this.#allow(true);
  }

  /** Tells how large the heap of each thread is. */
  heaps(bytes: readonly number[]): void {
    this.#allow(bytes.every((each) => each < generousBytesMax));
  }

  #allow(generous: boolean): void {
    if (generous === this.#generous) return;
    this.#generous = generous;
    setFlagsFromString(`--heap-growing-percent=${generous ? generousPercent : 0}`);
  }
}

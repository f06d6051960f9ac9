import { setFlagsFromString } from "node:v8";

/** Threads that mark the heap beside each thread of ours: V8 would take all cores for the length of a collection. */
const markingThreads = 1;

/** By how much a heap may grow before V8 collects it whole, in percent of what was live, while little state is held. */
const generousPercent = 300;

/** The same from then on. */
const carefulPercent = 30;

/** State in memory that is little, in bytes over all threads. */
const littleStateBytes = 48 * 1024 * 1024;

/**
 * How V8 collects in a process that runs an engine. Under a light load buffers outside the heap make it collect the whole
 * heap every second, and on two cores whoever waits for an fsync waits for that too: at 2,000 records a second p99 to
 * the durable decision was 31 ms, with one marking thread 22, with room to grow 18. Full caches are the other end: left
 * alone V8 let the process grow by half of what it needs. V8's flags are the process's.
 */
export class Collector {
  #careful = false;

  constructor() {
    setFlagsFromString(`--concurrent-marking-max-worker-num=${markingThreads}`);
    setFlagsFromString(`--heap-growing-percent=${generousPercent}`);
  }

  /** Tells how much state is held. Once it was much, what is left of it in pages and arenas needs the care still. */
  stateHeld(bytes: number): void {
    if (this.#careful || bytes <= littleStateBytes) return;
    this.#careful = true;
    setFlagsFromString(`--heap-growing-percent=${carefulPercent}`);
  }
}

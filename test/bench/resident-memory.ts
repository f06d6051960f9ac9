import { readFileSync } from "node:fs";

/** Anonymous resident memory of a process, in bytes: heap, buffers, native allocations; not files it has mapped. */
export function anonymousBytes(pid: number): number {
  const found = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (found === null) throw new TypeError(`/proc/${pid}/status tells no RssAnon; this needs Linux 4.5 or later`);
  return Number(found[1]) * 1024;
}

/** How often a process is looked at, in ms: four times as often as is asked for. */
const intervalMs = 250;

/** Watches a process until it is stopped. */
export class ResidentMemory {
  readonly #timer: NodeJS.Timeout;
  #bytesMax = 0;
  #samples = 0;

  constructor(pid: number) {
    const look = (): void => {
      this.#samples++;
      this.#bytesMax = Math.max(this.#bytesMax, anonymousBytes(pid));
    };
    look();
    this.#timer = setInterval(look, intervalMs);
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  get samples(): number {
    return this.#samples;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

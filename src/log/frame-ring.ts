/** A place in the ring, in the order of taking. */
interface Taken {
  readonly start: number;
  readonly end: number;
  free: boolean;
}

/**
 * Memory that a thread and the owner of the journal share, for frames on their way: a frame that fits costs neither side
 * an allocation. Memory outside the heap is what makes V8 collect the whole heap under a light load, so it counts.
 *
 * Only the thread takes and frees; the owner is told where a frame is and leaves it alone once it has answered.
 */
export class FrameRing {
  readonly memory: SharedArrayBuffer;
  readonly #bytes: Buffer;
  #taken: Taken[] = [];
  /** Where the next frame begins. */
  #head = 0;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#bytes = Buffer.from(memory);
  }

  /** Room for a frame, or undefined when there is none that is in one piece. */
  take(length: number): Buffer | undefined {
    const oldest = this.#taken[0];
    const capacity = this.#bytes.length;
    let start = this.#head;
    if (oldest === undefined) start = 0;
    // Free is what lies between the head and the oldest frame, around the end; a full ring is told from an empty one by
    // never filling it to the byte.
    const wrapped = oldest !== undefined && this.#head <= oldest.start;
    if (wrapped) {
      if (start + length >= oldest.start) return undefined;
    } else if (start + length > capacity) {
      if (oldest === undefined || length >= oldest.start) return undefined;
      start = 0;
    }
    const end = start + length;
    this.#taken.push({ start, end, free: false });
    this.#head = end;
    return this.#bytes.subarray(start, end);
  }

  /** Whether a frame lies in the ring. */
  holds(frame: Buffer): boolean {
    return frame.buffer === this.memory;
  }

  /** Gives a frame back; frames may come back in another order than they were taken in. */
  free(frame: Buffer): void {
    const taken = this.#taken.find(({ start }) => start === frame.byteOffset);
    if (taken === undefined) return;
    taken.free = true;
    let freed = 0;
    while (this.#taken[freed]?.free === true) freed++;
    if (freed > 0) this.#taken.splice(0, freed);
  }
}

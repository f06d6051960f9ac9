/**
 * Where the journal begins and ends. A position is a segment and a byte in it; everything before it is whole frames.
 * Filled in place: it is read at every poll.
 */
export interface JournalEnds {
  oldestSegment: number;
  /** Up to here frames are written and may be read by tasks of the owner's process. */
  writtenSegment: number;
  writtenPosition: number;
  /** Up to here they are fsynced: what no crash takes back. */
  durableSegment: number;
  durablePosition: number;
}

export const noEnds = (): JournalEnds => ({
  oldestSegment: 0,
  writtenSegment: 0,
  writtenPosition: 0,
  durableSegment: 0,
  durablePosition: 0,
});

/** Where a reader learns how far it may read. */
export interface EndsSource {
  read(into: JournalEnds): void;
  /** Resolves when the ends moved since the last call, at once when they already have, or after `timeoutMs`. */
  changed(timeoutMs: number): Promise<void>;
  close(): void;
}

const versionAt = 0;
const fieldCount = 6;

/**
 * The ends in memory shared by the owner and the threads of its process. A seqlock: the version is odd while the owner
 * writes, and a reader that saw it move reads again. All accesses are atomic, so the five fields are seen in order.
 */
export class SharedEnds implements EndsSource {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** The version at the last `changed`. */
  #seen: number;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(fieldCount * 4)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
    this.#seen = Atomics.load(this.#words, versionAt);
  }

  /** Only the owner of the journal publishes. */
  publish(ends: JournalEnds): void {
    const words = this.#words;
    Atomics.add(words, versionAt, 1);
    Atomics.store(words, 1, ends.oldestSegment);
    Atomics.store(words, 2, ends.writtenSegment);
    Atomics.store(words, 3, ends.writtenPosition);
    Atomics.store(words, 4, ends.durableSegment);
    Atomics.store(words, 5, ends.durablePosition);
    Atomics.add(words, versionAt, 1);
    Atomics.notify(words, versionAt);
  }

  read(into: JournalEnds): void {
    const words = this.#words;
    for (;;) {
      const version = Atomics.load(words, versionAt);
      into.oldestSegment = Atomics.load(words, 1);
      into.writtenSegment = Atomics.load(words, 2);
      into.writtenPosition = Atomics.load(words, 3);
      into.durableSegment = Atomics.load(words, 4);
      into.durablePosition = Atomics.load(words, 5);
      if (version % 2 === 0 && Atomics.load(words, versionAt) === version) return;
    }
  }

  async changed(timeoutMs: number): Promise<void> {
    const words = this.#words;
    const seen = this.#seen;
    if (Atomics.load(words, versionAt) === seen) {
      // A pending waitAsync does not keep the event loop alive; the timer does, and never fires.
      const alive = setTimeout(() => {}, 2 ** 31 - 1);
      await Atomics.waitAsync(words, versionAt, seen, timeoutMs).value;
      clearTimeout(alive);
    }
    this.#seen = Atomics.load(words, versionAt);
  }

  close(): void {
    Atomics.notify(this.#words, versionAt);
  }
}

import type { PendingFlush, StateDatabase } from "../state/state-database.ts";

interface Flush {
  readonly pending: PendingFlush;
  /** The commit whose state it holds. */
  readonly sequence: number;
  encoded: boolean;
  writing: boolean;
}

/** Bytes of entities that are encoded between two commits: about a millisecond. */
const sliceBytes = 64 * 1024;

/**
 * Writes a task's state to disk now and then: the state as of a commit, in one batch with that commit's record, and only
 * once the commit is durable. Rows processed meanwhile belong to the next batch, which is encoded a slice a cycle.
 */
export class StateFlusher {
  readonly #database: StateDatabase;
  readonly #intervalMs: number;
  #durableSequence: number;
  readonly #events: {
    readonly written: () => void;
    readonly failed: (error: unknown) => void;
    readonly writing: (sequence: number) => void;
  };
  #flush: Flush | null = null;
  #lastMs: number;

  constructor(
    database: StateDatabase,
    options: {
      readonly intervalMs: number;
      readonly nowMs: number;
      /** Every commit up to this one is durable. */
      readonly durableSequence: number;
      readonly written: () => void;
      readonly failed: (error: unknown) => void;
      readonly writing: (sequence: number) => void;
    },
  ) {
    this.#database = database;
    this.#intervalMs = options.intervalMs;
    this.#lastMs = options.nowMs;
    this.#durableSequence = options.durableSequence;
    this.#events = options;
  }

  /** Whether a batch was taken and is not on disk yet. */
  get underWay(): boolean {
    return this.#flush !== null;
  }

  /** Whether a batch is due at `nowMs`; only between commits. */
  due(nowMs: number): boolean {
    if (this.#flush !== null || !this.#database.dirty) return false;
    return nowMs - this.#lastMs >= this.#intervalMs || this.#database.flushWanted;
  }

  /** Takes the state as of the commit `sequence`, whose record is `position`. */
  begin(nowMs: number, sequence: number, position: Buffer): void {
    this.#lastMs = nowMs;
    this.#flush = { pending: this.#database.beginFlush(position), sequence, encoded: false, writing: false };
  }

  /** Encodes the next slice, or all that is left when rows wait anyway. */
  encode(whole: boolean): void {
    const flush = this.#flush;
    if (flush === null || flush.encoded) return;
    flush.encoded = flush.pending.encode(whole ? Number.POSITIVE_INFINITY : sliceBytes);
    this.#writeIfReady();
  }

  /** Every commit up to `sequence` is durable: starts writing what waited for one of them. */
  durable(sequence: number): void {
    this.#durableSequence = Math.max(this.#durableSequence, sequence);
    this.#writeIfReady();
  }

  #writeIfReady(): void {
    const flush = this.#flush;
    if (flush === null || flush.writing || !flush.encoded || flush.sequence > this.#durableSequence) return;
    flush.writing = true;
    this.#events.writing(flush.sequence);
    flush.pending.write().then(() => {
      this.#flush = null;
      this.#events.written();
    }, this.#events.failed);
  }
}

import type { PendingFlush, StateDatabase } from "../state/state-database.ts";

interface Flush {
  readonly pending: PendingFlush;
  /** The commit whose state it holds. */
  readonly sequence: number;
  writing: boolean;
}

/**
 * Writes a task's state to disk now and then: the state as of a commit, in one batch with that commit's record, and only
 * once the commit is durable. Rows processed meanwhile belong to the next batch.
 */
export class StateFlusher {
  readonly #database: StateDatabase;
  readonly #intervalMs: number;
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
      readonly written: () => void;
      readonly failed: (error: unknown) => void;
      readonly writing: (sequence: number) => void;
    },
  ) {
    this.#database = database;
    this.#intervalMs = options.intervalMs;
    this.#lastMs = options.nowMs;
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
    this.#flush = { pending: this.#database.beginFlush(position), sequence, writing: false };
  }

  /** Every commit up to `sequence` is durable: starts writing what waited for one of them. */
  durable(sequence: number): void {
    const flush = this.#flush;
    if (flush === null || flush.writing || flush.sequence > sequence) return;
    flush.writing = true;
    this.#events.writing(flush.sequence);
    flush.pending.write().then(() => {
      this.#flush = null;
      this.#events.written();
    }, this.#events.failed);
  }
}

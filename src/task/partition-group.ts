import type { Clock } from "../core/clock.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import type { Row } from "./row.ts";

/** One of the ordered streams of rows that a sub-topology of a task merges. */
export interface RowSource {
  /** Looks for what has become visible; afterwards the fields below tell of it. */
  refresh(): void;
  /** Whether a row waits at the head. */
  readonly ready: boolean;
  /** Of the head when `ready`; else the frontier: nothing that sorts before it will come. */
  readonly orderTimeMs: number;
  readonly rank: number;
  /** Offset or row counter of the head. */
  readonly sequence: number;
  /** Whether it has shown everything that its log holds now. */
  readonly caughtUp: boolean;
  /** Grows whenever the source shows a row or a new frontier. */
  readonly spoken: number;
  /** Takes the head off; only when `ready`. */
  take(): Row;
}

/** Where the order of a stage stands, as a commit record keeps it. */
export interface OrderPosition {
  readonly orderTimeMs: number;
  readonly rank: number;
  /** Source of the row that time and rank are of. Older releases did not write it; it is `lastSource` then. */
  readonly reachedSource?: number;
  /** The last row taken: place of its source in the merge, and its sequence there; -1 and -1 before the first one. */
  readonly lastSource: number;
  readonly lastSequence: number;
}

/** What happened out of the order of event time because a source was not waited for. */
export interface Choice {
  /** The row taken late: source and sequence, and how many in a row. */
  readonly source: number;
  readonly sequence: number;
  count: number;
  /** The row it was taken after. */
  readonly afterSource: number;
  readonly afterSequence: number;
}

/**
 * The one order of a sub-topology: rows of several sources ascending by (order time, rank, source, sequence), whatever
 * the speed at which sources deliver.
 *
 * A row may go when every other source shows a later row or frontier. A source that is behind is waited for without
 * limit, so a catch-up over months keeps event-time order. A source that has caught up is waited for `mergeWaitMs` and
 * then passed over until it speaks again, so that an idle partition never stops the stream; a row that thereby comes
 * after a later one is recorded as a choice.
 */
export class PartitionGroup {
  readonly #sources: readonly RowSource[];
  readonly #clock: Clock;
  readonly #mergeWaitMs: number;
  readonly #finite: boolean;
  /** `spoken` of a source when it was passed over; -1 when it is waited for. */
  readonly #passedAt: number[];
  #blockedSince = -1;
  #lastTime = beginningOfTimeMs;
  #lastRank = 0;
  /** Source of the row that time and rank are of; the last row may be another, which came too late. */
  #reachedSource = -1;
  #lastSource = -1;
  #lastSequence = -1;
  #choices: Choice[] = [];

  /**
   * @param finite a source that has caught up is at its end: nothing is waited for, nothing passed over (a run until
   *   the end of its input)
   */
  constructor(sources: readonly RowSource[], clock: Clock, mergeWaitMs: number, finite: boolean) {
    this.#sources = sources;
    this.#clock = clock;
    this.#mergeWaitMs = mergeWaitMs;
    this.#finite = finite;
    this.#passedAt = sources.map(() => -1);
  }

  /** Order time of the last row taken. */
  get orderTimeMs(): number {
    return this.#lastTime;
  }

  /** Continues the order where a commit record left it. */
  resumeAt({ orderTimeMs, rank, lastSource, lastSequence, reachedSource = lastSource }: OrderPosition): void {
    this.#lastTime = orderTimeMs;
    this.#lastRank = rank;
    this.#reachedSource = reachedSource;
    this.#lastSource = lastSource;
    this.#lastSequence = lastSequence;
  }

  /** Source of the row that the order has reached; -1 before the first one. */
  get reachedSource(): number {
    return this.#reachedSource;
  }
  /** Source of the last row taken; -1 before the first one. */
  get lastSource(): number {
    return this.#lastSource;
  }
  /** Sequence of the last row taken; -1 before the first one. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  get rank(): number {
    return this.#lastRank;
  }

  /** Moves the order on without a row: a tick after silence. */
  advanceTo(orderTimeMs: number): void {
    if (orderTimeMs <= this.#lastTime) return;
    this.#lastTime = orderTimeMs;
    this.#lastRank = 0;
    this.#reachedSource = -1;
  }

  refresh(): void {
    for (const source of this.#sources) if (!source.ready) source.refresh();
  }

  /** The next row in order, or null when there is none or one must be waited for. */
  next(): Row | null {
    for (;;) {
      const first = this.#first();
      if (first < 0) return null;
      const source = this.#sources[first] as RowSource;
      if (source.ready) return this.#take(first, source);
      source.refresh();
      if (source.ready) continue;
      if (!this.#passOver(first, source)) return null;
    }
  }

  /** The source whose head or frontier sorts first, passed-over and ended ones left out; -1 when nothing is left. */
  #first(): number {
    const sources = this.#sources;
    let first = -1;
    let firstTime = 0;
    let firstRank = 0;
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i] as RowSource;
      if (!source.ready && this.#ignored(i, source)) {
        // A transaction may have rows here and in the source that is about to give one: both or none must be seen.
        source.refresh();
        if (!source.ready && this.#ignored(i, source)) continue;
      }
      const time = source.orderTimeMs;
      const rank = source.rank;
      if (first < 0 || time < firstTime || (time === firstTime && rank < firstRank)) {
        first = i;
        firstTime = time;
        firstRank = rank;
      }
    }
    return first;
  }

  #ignored(index: number, source: RowSource): boolean {
    if (this.#finite) return source.caughtUp;
    const passedAt = this.#passedAt[index] as number;
    if (passedAt < 0) return false;
    if (passedAt === source.spoken) return true;
    this.#passedAt[index] = -1;
    return false;
  }

  #passedOver(): boolean {
    if (this.#finite) return false;
    for (let i = 0; i < this.#sources.length; i++) {
      const source = this.#sources[i] as RowSource;
      if (!source.ready && this.#ignored(i, source)) return true;
    }
    return false;
  }

  /** Whether a silent source need not be waited for any longer. */
  #passOver(index: number, source: RowSource): boolean {
    if (this.#finite) return source.caughtUp;
    if (!source.caughtUp || !this.#anyReady()) return false;
    const now = this.#clock.monotonic();
    if (this.#blockedSince < 0) this.#blockedSince = now;
    if (now - this.#blockedSince < this.#mergeWaitMs) return false;
    this.#passedAt[index] = source.spoken;
    return true;
  }

  #anyReady(): boolean {
    for (const source of this.#sources) if (source.ready) return true;
    return false;
  }

  #take(index: number, source: RowSource): Row {
    this.#blockedSince = -1;
    const time = source.orderTimeMs;
    const rank = source.rank;
    const sequence = source.sequence;
    const row = source.take();
    const before =
      time < this.#lastTime ||
      (time === this.#lastTime && (rank < this.#lastRank || (rank === this.#lastRank && index < this.#reachedSource)));
    if (before) {
      this.#choose(index, sequence);
      row.orderTimeMs = this.#lastTime;
      if (rank < this.#lastRank) row.rank = this.#lastRank;
    } else {
      this.#lastTime = time;
      this.#lastRank = rank;
      this.#reachedSource = index;
    }
    this.#lastSource = index;
    this.#lastSequence = sequence;
    return row;
  }

  #choose(source: number, sequence: number): void {
    const last = this.#choices.at(-1);
    if (
      last !== undefined &&
      last.source === source &&
      last.sequence + last.count === sequence &&
      this.#lastSource === source
    ) {
      last.count++;
      return;
    }
    this.#choices.push({
      source,
      sequence,
      count: 1,
      afterSource: this.#lastSource,
      afterSequence: this.#lastSequence,
    });
  }

  /** What was taken out of order since the last call. */
  takeChoices(): readonly Choice[] {
    const taken = this.#choices;
    if (taken.length > 0) this.#choices = [];
    return taken;
  }

  /** Whether every source has shown all there is and every row was taken. */
  caughtUp(): boolean {
    for (const source of this.#sources) if (source.ready || !source.caughtUp) return false;
    return true;
  }

  /** Whether a row waits for a source that has caught up: the group wants to be asked again within `mergeWaitMs`. */
  waiting(): boolean {
    return this.#blockedSince >= 0;
  }

  /**
   * What may be promised downstream: nothing that sorts before (time, rank) will be emitted. `into` avoids an object a
   * commit.
   */
  frontier(into: { orderTimeMs: number; rank: number }): void {
    // A source that was passed over may speak again: its row then takes the time that the order has reached by then.
    const first = this.#passedOver() ? -1 : this.#first();
    const source = first < 0 ? undefined : (this.#sources[first] as RowSource);
    if (
      source === undefined ||
      source.orderTimeMs < this.#lastTime ||
      (source.orderTimeMs === this.#lastTime && source.rank < this.#lastRank)
    ) {
      into.orderTimeMs = this.#lastTime;
      into.rank = this.#lastRank;
    } else {
      into.orderTimeMs = source.orderTimeMs;
      into.rank = source.rank;
    }
  }
}

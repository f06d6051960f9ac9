import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Gauge, Meter } from "../core/meter.ts";
import { systemTimers, type Timers } from "../core/timers.ts";
import type { Cursor, Log, RecordBatch } from "../log/log.ts";
import { nextBatch } from "../log/record-at.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { StateDatabase } from "../state/state-database.ts";
import { type CommitRecord, parseCommitRecord, sequenceOf, splitCommit } from "./commit-record.ts";
import { trimmedByOwner } from "./lane.ts";

/** How long changes are applied before the event loop turns: other tasks of the thread go on meanwhile. In ms. */
const sliceMs = 2;
/** The same in batches, for a clock that stands still. */
const sliceBatches = 64;
/** Between two reports of how far it is, in ms. */
const reportEveryMs = 100;

export interface CommitReplayOptions {
  readonly partition: number;
  /** The commits topic of the application. */
  readonly topic: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly timers?: Timers | undefined;
  readonly meter: Meter;
  readonly database: StateDatabase;
  /** Told how far it is: offsets of the commits topic behind it, and in all. First with 0, last with all. */
  readonly progress: (applied: number, total: number) => void;
  /** Gives the replay up. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Applies the changelogs of the commits that a database has not seen. State that no longer fits the bound on memory is
 * written on the way, each time as of a commit that is durable, while the next commits are applied.
 */
export class CommitReplay {
  readonly #options: CommitReplayOptions;
  readonly #remaining: Gauge;
  /** The last commit that the state holds. */
  #sequence: number;
  readonly #local: CommitRecord | null;
  /** Its record when it was applied here; null as long as it is the local one. */
  #json: Buffer | null = null;
  #confirmed: boolean;
  #durableEnd = -1;
  #writing: Promise<void> = Promise.resolve();
  #turnedMs: number;
  #batches = 0;
  #reportedMs: number;

  /** @param local of the state on disk; null when there is none */
  constructor(options: CommitReplayOptions, local: CommitRecord | null) {
    this.#options = options;
    this.#local = local;
    this.#sequence = local?.sequence ?? -1;
    // Without `newerFrom` the first commit to be read is the one after the local one.
    this.#confirmed = local === null || local.newerFrom === undefined;
    this.#remaining = remainingCommits(options.meter, options.partition);
    this.#turnedMs = this.#reportedMs = options.clock.monotonic();
  }

  /**
   * @param end of the commits topic
   * @returns the record of the last commit, or null when there was none
   * @throws KAPPA_STATE_CORRUPT when the log does not hold what follows the local state; KAPPA_LOG_UNAVAILABLE when it does
   *   not show all of it; the reason of the signal
   */
  async run(end: number): Promise<CommitRecord | null> {
    const { log, topic, partition, signal } = this.#options;
    const local = this.#local;
    const start = Number(await log.startOffset(topic, partition));
    const from = local === null ? await restoreFrom(log, topic, partition, start, end, signal) : newerFromOf(local);
    if (local !== null && (from < start || from > end))
      throw this.#ofAnotherLog(`the log holds ${start} to ${end}, not ${from}`);
    const cursor = await log.openCursor(topic, partition, BigInt(from), "written");
    try {
      await this.#apply(cursor, from, end);
    } finally {
      cursor.close();
      await this.#writing;
    }
    this.#remaining.set(0);
    if (!this.#confirmed) throw this.#ofAnotherLog(`which does not hold that commit from ${from} to ${end}`);
    return this.#json === null ? local : parseCommitRecord(this.#json);
  }

  async #apply(cursor: Cursor, from: number, end: number): Promise<void> {
    const { database, signal } = this.#options;
    const reader = new RecordBatchReader();
    const next = (): Promise<RecordBatch | undefined> => batchBefore(cursor, end, signal);
    this.#report(from, from, end);
    for (let batch = await next(); batch !== undefined; batch = await next()) {
      reader.reset(batch.bytes);
      while (reader.next()) {
        const { json, changelog } = splitCommit(reader.value() as Buffer);
        if (this.#follows(sequenceOf(json))) {
          database.applyChangelog(changelog);
          this.#json = json;
        }
      }
      const position = Number(cursor.position);
      if (database.overfull) await this.#write(position);
      await this.#pass(Math.min(position, end), from, end);
    }
    this.#report(end, from, end);
  }

  /** Whether a commit is the next one; one that the state holds already is not. @throws when one between is missing */
  #follows(sequence: number): boolean {
    const local = this.#local;
    if (local !== null && sequence <= local.sequence) {
      this.#confirmed ||= sequence === local.sequence;
      return false;
    }
    const first = this.#json === null;
    if (sequence !== this.#sequence + 1 && !(first && local === null)) {
      if (first) throw this.#ofAnotherLog(`the next commit that the log holds is ${sequence}`);
      const { partition } = this.#options;
      const message = `commit ${sequence} of task ${partition} comes after commit ${this.#sequence}: the log has lost some`;
      throw new KappaError("KAPPA_LOG_CORRUPT", message, { partition });
    }
    this.#sequence = sequence;
    return true;
  }

  /** Begins to write what is dirty, unless the commits that it includes could still be taken back. */
  async #write(next: number): Promise<void> {
    const { log, topic, partition, database } = this.#options;
    if (next > this.#durableEnd) this.#durableEnd = Number(await log.endOffset(topic, partition, "durable"));
    if (next > this.#durableEnd || this.#json === null) return;
    await this.#writing;
    this.#writing = database.beginFlush(this.#json).write(false);
    this.#writing.catch(() => {}); // whoever waits for it sees it
  }

  /** Lets others have a turn when it is time. */
  async #pass(next: number, from: number, end: number): Promise<void> {
    const { clock, timers = systemTimers } = this.#options;
    const nowMs = clock.monotonic();
    if (nowMs - this.#reportedMs >= reportEveryMs) {
      this.#reportedMs = nowMs;
      this.#report(next, from, end);
    }
    if (nowMs - this.#turnedMs < sliceMs && ++this.#batches < sliceBatches) return;
    await timers.turn();
    this.#options.signal?.throwIfAborted();
    this.#turnedMs = clock.monotonic();
    this.#batches = 0;
  }

  #report(next: number, from: number, end: number): void {
    this.#remaining.set(end - next);
    if (end > from) this.#options.progress(next - from, end - from);
  }

  #ofAnotherLog(detail: string): KappaError {
    const { partition } = this.#options;
    return new KappaError(
      "KAPPA_STATE_CORRUPT",
      `local state of task ${partition} is at commit ${this.#local?.sequence}; ${detail}: it is of another log, or the log was cut`,
      { partition },
    );
  }
}

/** Commits that the restore of a task has still to apply. Who gives a restore up says that nothing remains. */
export function remainingCommits(meter: Meter, partition: number): Gauge {
  return meter.gauge("kappa_restore_remaining_commits", String(partition));
}

function newerFromOf({ newerFrom, sequence }: CommitRecord): number {
  return newerFrom ?? sequence + 1;
}

/**
 * @returns undefined at the end, and only there: a broker that has just come to lead a partition shows less for a moment
 * @throws KAPPA_TASK_FENCED when what is read was trimmed meanwhile; KAPPA_LOG_UNAVAILABLE
 */
async function batchBefore(cursor: Cursor, end: number, signal?: AbortSignal): Promise<RecordBatch | undefined> {
  if (Number(cursor.position) >= end) return undefined;
  let batch: RecordBatch | undefined;
  try {
    batch = await nextBatch(cursor, signal);
  } catch (error) {
    throw trimmedByOwner(error);
  }
  const { position } = cursor;
  if (batch !== undefined || Number(position) >= end) return batch;
  throw new KappaError(
    "KAPPA_LOG_UNAVAILABLE",
    `commits are shown up to ${position}, and ended at ${end} a moment ago: the log does not show all it holds`,
    { position, end },
  );
}

/**
 * Where a restore from nothing begins: as the last commit names it, else at the start.
 *
 * @throws KAPPA_LOG_TRUNCATED when commits are gone that only somebody else can have deleted: what a task trims lies before
 *   the commit that its last one names. Without them it would restore half of its state, or begin at the start of its
 *   input and do everything a second time
 */
async function restoreFrom(
  log: Log,
  topic: string,
  partition: number,
  start: number,
  end: number,
  signal?: AbortSignal,
): Promise<number> {
  // A log may end with markers that are no records.
  for (let back = 1; ; back *= 2) {
    const from = Math.max(start, end - back);
    const cursor = await log.openCursor(topic, partition, BigInt(from), "written");
    const reader = new RecordBatchReader();
    let json: Buffer | null = null;
    try {
      const next = (): Promise<RecordBatch | undefined> => batchBefore(cursor, end, signal);
      for (let batch = await next(); batch !== undefined; batch = await next()) {
        reader.reset(batch.bytes);
        while (reader.next()) json = splitCommit(reader.value() as Buffer).json;
      }
    } finally {
      cursor.close();
    }
    if (json !== null) {
      const needed = parseCommitRecord(json).restoreFrom;
      if (needed < start) throw commitsGone(topic, partition, start, needed);
      return needed;
    }
    if (from === start) break;
  }
  if (start > 0) throw commitsGone(topic, partition, start, 0);
  return start;
}

function commitsGone(topic: string, partition: number, start: number, needed: number): KappaError {
  return new KappaError(
    "KAPPA_LOG_TRUNCATED",
    `${topic}[${partition}] begins at ${start}, commits from ${needed} on are needed: somebody has deleted them; ` +
      "run under a new application id from the beginning",
    { topic, partition, start, needed },
  );
}

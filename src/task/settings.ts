import type { DurationMs } from "../core/time.ts";
import type { TimeBounds } from "./input-decoder.ts";

/** How tasks run. */
export interface TaskSettings {
  /** Shortest time between the starts of two rounds of commits of a thread, unless rows are left over. Default 2. */
  readonly commitIntervalMs: DurationMs;
  /** Rows a stage takes into one commit. Bounds memory and the time a commit holds up the others of its thread. Default 2,000. */
  readonly commitRecordsMax: number;
  /** Commits of a task that may be on their way to the log. A crash repeats at most these. Default 3. */
  readonly commitsInFlightMax: number;
  /** How long a source that has caught up is waited for before another's row overtakes it. Default 2. */
  readonly mergeWaitMs: DurationMs;
  /**
   * How long a partition of a repartition topic that gets no rows may wait for the frontier alone. Default 0: it comes
   * with every commit.
   */
  readonly frontierIntervalMs: DurationMs;
  /** Rows a task may be ahead, in event time, of the slowest task its rows are merged with. Default 20,000. */
  readonly bufferedRecordsMax: number;
  /** Memory for state, over all tasks of the process and with LevelDB's buffers, in bytes. Default 256 MiB. */
  readonly cacheBytes: number;
  /**
   * Longest time between two writes of the state to disk; what a restart replays at most. Default 10,000; over Kafka 2,000,
   * since a take-over waits for it.
   */
  readonly flushIntervalMs: DurationMs;
  /**
   * How long a task that sends to others may be silent before it says again where it stands; a transaction each time. In
   * one process all tasks listen from the beginning, and it is not needed: default Infinity. Where processes share the
   * tasks (default 5,000 there) it bounds how long the others wait for a task that is idle, whatever they have missed,
   * and an idle owner finds out by it that another has taken its task and given it back.
   */
  readonly frontierRepeatMs: DurationMs;
  readonly timeBounds: TimeBounds;
  /** Whether the run ends where the inputs ended when it started. */
  readonly untilEnd: boolean;
}

/**
 * What is better over Kafka, where a commit costs three round trips and a marker in each partition it wrote: fewer and
 * larger commits, to fewer partitions.
 */
export const kafkaSettings = {
  commitIntervalMs: 10,
  mergeWaitMs: 5,
  frontierIntervalMs: 20,
  flushIntervalMs: 2000,
} as const satisfies Partial<TaskSettings>;

export const defaultSettings: TaskSettings = {
  commitIntervalMs: 2,
  commitRecordsMax: 2000,
  commitsInFlightMax: 3,
  mergeWaitMs: 2,
  frontierIntervalMs: 0,
  bufferedRecordsMax: 20_000,
  cacheBytes: 256 * 1024 * 1024,
  flushIntervalMs: 10_000,
  frontierRepeatMs: Number.POSITIVE_INFINITY,
  timeBounds: { earliestMs: Date.UTC(2000, 0, 1), latestMs: Date.UTC(2100, 0, 1) },
  untilEnd: false,
};

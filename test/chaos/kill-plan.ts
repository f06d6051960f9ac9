/** Steps at which a kill can be told to strike: those of a task's cycle, and the two of the journal's owner. */
export const killSteps = [
  "read",
  "process",
  "score",
  "write",
  "journal write",
  "fsync",
  "durable",
  "state batch",
] as const;

export type KillStep = (typeof killSteps)[number];

/** The environment variable that carries a `KillPlan` as JSON into the process that is to die. */
export const killPlanVariable = "KAPPA_TEST_KILL";

/** When a process kills itself: at the first event of `step` for which all the minimums are reached. */
export interface KillPlan {
  readonly step: KillStep;
  /**
   * False: as the step begins. True: after one more turn of the thread's event loop, when what the step has asked of
   * the disk is under way or just done.
   */
  readonly during: boolean;
  /** Input records that the application has taken, since its first start. */
  readonly takenMin: number;
  /** Input records taken since this process recovered. */
  readonly recordsMin: number;
  /** Milliseconds since the engine's threads started. */
  readonly engineMsMin: number;
  /** For a kill before the engine starts: so many events of `step` have been seen. 0 waits for the engine. */
  readonly appendEvents: number;
  /** File that receives a `KillReport`, as JSON. */
  readonly report: string;
}

/** What a process leaves behind: where it was when it died. */
export interface KillReport {
  readonly step: KillStep;
  /** `handbook-3`, or `journal`. */
  readonly task: string;
  /** Of the commit; for the journal, of the next frame. */
  readonly sequence: number;
  /** Next offset of each of the task's input partitions; empty for the journal. */
  readonly offsets: Readonly<Record<string, number>>;
  /** Input records taken since the first start. */
  readonly taken: number;
  /** Input records taken since this process recovered. */
  readonly records: number;
  /** Since the process started. */
  readonly processMs: number;
  /** Since its engine threads started; -1 before. */
  readonly engineMs: number;
}

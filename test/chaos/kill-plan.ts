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

/** The environment variable that carries a `KillOrder` as JSON into the process that is to die. */
export const killOrderVariable = "KAPPA_TEST_KILL";

/** When a process kills itself. */
export type KillPlan =
  | {
      readonly at: "step";
      /** At the first event of it for which all the minimums are reached. */
      readonly step: KillStep;
      /**
       * False: as the step begins. True: after one more turn of the thread's event loop, when what the step has asked
       * of the disk is under way or just done.
       */
      readonly during: boolean;
      /** Input records that the application's tasks have taken since its first start, as far as they have recovered. */
      readonly takenMin: number;
      /** Input records taken since this process recovered. */
      readonly recordsMin: number;
    }
  | {
      /** While input is appended, before the engine starts: when so many groups of frames have reached the step. */
      readonly at: "append";
      readonly step: "journal write" | "fsync";
      readonly groups: number;
    }
  | {
      /** By the clock of the process that started it, whatever it is doing: that one kills, the tap keeps the report. */
      readonly at: "time";
      /** Since the process was started. */
      readonly processMs: number;
    };

/** What a process is told. */
export interface KillOrder {
  readonly plan: KillPlan;
  /** File that receives a `KillReport`, as JSON. */
  readonly report: string;
}

/** What a process that was killed before its first step would have reported. */
export const recovering: Omit<KillReport, "processMs"> = {
  step: "restart",
  task: "",
  sequence: 0,
  offsets: {},
  takenByTask: {},
  records: 0,
  engineMs: -1,
};

/** What a process leaves behind: where it was when it died. */
export interface KillReport {
  /** The step it was at, or had been at last; "restart" before the first. */
  readonly step: KillStep | "restart";
  /** `handbook-3`, `journal`; empty before the first step. */
  readonly task: string;
  /** Of the commit; for the journal, of the next frame. */
  readonly sequence: number;
  /** Next offset of each of the task's input partitions; empty for the journal. */
  readonly offsets: Readonly<Record<string, number>>;
  /** Input records that each task has taken since its first start, by its number; only tasks that have recovered. */
  readonly takenByTask: Readonly<Record<number, number>>;
  /** Input records taken since this process recovered, over all tasks. */
  readonly records: number;
  /** Since the process started. */
  readonly processMs: number;
  /** Since its engine threads started; -1 before. */
  readonly engineMs: number;
}

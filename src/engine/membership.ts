import { KappaError } from "../core/errors.ts";

/** Which tasks this process runs, and in which run of the application. */
export interface Ownership {
  readonly partitions: readonly number[];
  /**
   * Number of the run: the same for all processes of an application that run together, higher than that of any run
   * before. Only frames of the same run can say that their writer has caught up.
   */
  readonly generation: number;
}

/** Where each input of a task stands that is durable, by topic. */
export type TaskPositions = Readonly<Record<string, number>>;

/** What an engine tells of itself when tasks are shared out. */
export interface MembershipEvents {
  /** The tasks that this process is to run from now on; those that it is not, it closes and then calls `released`. */
  owned(ownership: Ownership): void;
  /** The process waits for room or rights for its identity; without a reason: it goes on. */
  held(reason: string | null): void;
  /** Nothing more can be said of the group: the application has to end. */
  failed(error: unknown): void;
}

/** What is known here of the processes that share the tasks. */
export interface GroupView {
  /** Whether this process is counted in; until then, or again, it does not know what it may run. */
  readonly joined: boolean;
  /** Number of the run; see `Ownership`. */
  readonly run: number;
  /** Address for queries by task, as far as processes have told one. */
  readonly owners: Readonly<Record<number, string>>;
}

/** How the processes of an application share its tasks. */
export interface Membership {
  readonly group: GroupView;
  join(events: MembershipEvents): Promise<void>;
  /** The tasks that were taken away are closed. */
  released(partitions: readonly number[]): void;
  /** A task found that another process has opened it: says when and whether it is still ours, by `owned`. */
  fenced(partition: number): void;
  /** For tools that show lag. */
  progressed(positions: ReadonlyMap<number, TaskPositions>): void;
  /** Address of the process that runs a task; undefined when it is not known. */
  ownerOf(partition: number): string | undefined;
  leave(): Promise<void>;
}

/** The one process of an application on the embedded log: all tasks are its own. */
export class SoleMembership implements Membership {
  readonly group: GroupView;
  readonly #ownership: Ownership;
  #events: MembershipEvents | null = null;

  constructor(ownership: Ownership) {
    this.#ownership = ownership;
    this.group = { joined: true, run: ownership.generation, owners: {} };
  }

  join(events: MembershipEvents): Promise<void> {
    this.#events = events;
    events.owned(this.#ownership);
    return Promise.resolve();
  }

  released(): void {}

  fenced(partition: number): void {
    const message = `task ${partition} was opened a second time; run the application once on this log`;
    this.#events?.failed(new KappaError("KAPPA_TASK_FENCED", message, { partition }));
  }

  progressed(): void {}

  ownerOf(): undefined {}

  leave(): Promise<void> {
    return Promise.resolve();
  }
}

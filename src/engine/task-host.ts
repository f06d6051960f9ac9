import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { remainingCommits } from "../task/commit-replay.ts";
import type { Task } from "../task/task.ts";
import { openTask, type TaskSurroundings, tellDiscarded } from "../task/task-opener.ts";
import type { TaskDatabases } from "./task-databases.ts";
import type { ThreadReport } from "./thread-protocol.ts";

/** Between two attempts to open a task that the surroundings keep closed, in ms; doubled up to the second. */
const retryMs = 100;
const retryMaxMs = 10_000;

/** The tasks that an engine thread has been told to run. */
interface Order {
  readonly version: number;
  readonly partitions: ReadonlySet<number>;
  readonly generation: number;
}

interface Retry {
  readonly atMs: number;
  readonly attempts: number;
}

export interface TaskHostOptions {
  /** All but the generation, which comes with the order. */
  readonly around: Omit<TaskSurroundings, "generation">;
  readonly databases: Pick<TaskDatabases, "distrust">;
  readonly clock: Clock;
  readonly report: (message: ThreadReport) => void;
  /** Called when a task was opened or could not be. */
  readonly wake: () => void;
}

/**
 * The tasks of one engine thread: opens and closes them as the thread is told, and opens anew those that failed. A task
 * is opened beside the work of the others.
 */
export class TaskHost {
  readonly #options: TaskHostOptions;
  #tasks: readonly Task[] = [];
  /** The run that each task was opened in. */
  readonly #generations = new WeakMap<Task, number>();
  #order: Order = { version: -1, partitions: new Set(), generation: 0 };
  /** Tasks that are being opened, each with what settles once it is open or could not be, and what gives it up. */
  readonly #opening = new Map<number, { readonly settled: Promise<void>; readonly abort: AbortController }>();
  readonly #retries = new Map<number, Retry>();
  /** Tasks whose state the system did not let be written or read, which was told; by partition. */
  readonly #held = new Set<number>();
  /** The state on disk that each task was opened with. */
  readonly #openedAt = new WeakMap<Task, Buffer | null>();
  /** Opened by another process: not tried again before the next order. */
  readonly #fenced = new Set<number>();
  #failure: unknown = null;
  /** Last version that was reported as released, as running and as ended. */
  #released = -1;
  #running = -1;
  #ended = -1;

  constructor(options: TaskHostOptions) {
    this.#options = options;
  }

  /** Open tasks. The array is never written: a round goes over the one it began with. */
  get tasks(): readonly Task[] {
    return this.#tasks;
  }

  /** Takes effect at the next `settle`. */
  own(version: number, partitions: readonly number[], generation: number): void {
    for (const partition of this.#order.partitions)
      if (!partitions.includes(partition)) this.#restoresNothing(partition);
    this.#order = { version, partitions: new Set(partitions), generation };
    for (const [partition, { abort }] of this.#opening) if (!partitions.includes(partition)) abort.abort();
    this.#fenced.clear();
    this.#retries.clear();
    // Of what others run from now on nothing more is said.
    for (const partition of this.#held) if (!this.#order.partitions.has(partition)) this.#held.delete(partition);
  }

  /**
   * Between two rounds: closes what is not ours, begins to open what is. A task of another run is opened anew: what it
   * says of having caught up would count in that run only, and the others would wait for it for ever.
   *
   * @throws what ends the process
   */
  async settle(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    for (let task = this.#unwanted(); task !== undefined; task = this.#unwanted()) {
      this.#remove(task);
      // What the log did not take is done again by the next owner.
      await task.close().catch(() => {});
    }
    // Read behind the last close: another order may have come during it.
    const { partitions, version } = this.#order;
    for (const task of this.#tasks) this.#goOnIfWritten(task);
    for (const partition of partitions) this.#openIfDue(partition);
    if (this.#released < version && [...this.#opening.keys()].every((partition) => partitions.has(partition))) {
      this.#released = version;
      this.#options.report({ kind: "released", version });
    }
    if (this.#running < version && this.#tasks.length === partitions.size && this.#opening.size === 0) {
      this.#running = version;
      this.#options.report({ kind: "running", version });
    }
  }

  #unwanted(): Task | undefined {
    const { partitions, generation } = this.#order;
    return this.#tasks.find((task) => !partitions.has(task.partition) || this.#generations.get(task) !== generation);
  }

  #remove(task: Task): void {
    this.#tasks = this.#tasks.filter((each) => each !== task);
  }

  #openIfDue(partition: number): void {
    if (this.#opening.has(partition) || this.#fenced.has(partition)) return;
    if (this.#tasks.some((task) => task.partition === partition)) return;
    const retry = this.#retries.get(partition);
    if (retry !== undefined && this.#options.clock.monotonic() < retry.atMs) return;
    const { generation } = this.#order;
    const abort = new AbortController();
    const { signal } = abort;
    const settled = openTask(partition, { ...this.#options.around, generation, signal })
      .then(
        (task) => {
          this.#generations.set(task, generation);
          this.#openedAt.set(task, task.database.position);
          this.#tasks = [...this.#tasks, task].sort((a, b) => a.partition - b.partition);
          // While it is not known whether the disk takes anything, the next attempt is as far away as the last one was.
          if (!this.#held.has(partition)) this.#retries.delete(partition);
        },
        (error: unknown) => {
          if (signal.aborted) this.#restoresNothing(partition);
          else this.#refused(partition, error);
        },
      )
      .finally(() => {
        this.#opening.delete(partition);
        this.#options.wake();
      });
    this.#opening.set(partition, { settled, abort });
  }

  /** A held task that was opened goes on once the disk has taken a state, or nothing waits to be written. */
  #goOnIfWritten(task: Task): void {
    const { partition, database } = task;
    if (!this.#held.has(partition)) return;
    if ((database.dirty || database.flushing) && database.position === this.#openedAt.get(task)) return;
    this.#held.delete(partition);
    this.#retries.delete(partition);
    this.#options.report({ kind: "held", partition, reason: null });
  }

  /** A restore that is not gone on with would be shown, and raise an alarm, for ever. */
  #restoresNothing(partition: number): void {
    remainingCommits(this.#options.around.meter, partition).set(0);
  }

  /** What becomes of a task that failed with an error. */
  #refused(partition: number, error: unknown): void {
    const recovery = error instanceof KappaError ? error.recovery : "stop";
    if (error instanceof KappaError && error.code === "KAPPA_STATE_FAILED" && !this.#held.has(partition)) {
      this.#held.add(partition);
      this.#options.report({ kind: "held", partition, reason: error.message });
    }
    // What even a restore from the log alone cannot mend is tried again, not at once.
    if (recovery === "retry" || recovery === "restore-task") {
      const attempts = this.#retries.get(partition)?.attempts ?? 0;
      const waitMs = Math.min(retryMaxMs, retryMs * 2 ** attempts);
      this.#retries.set(partition, { atMs: this.#options.clock.monotonic() + waitMs, attempts: attempts + 1 });
    } else if (recovery === "close-task") {
      this.#fenced.add(partition);
      this.#restoresNothing(partition);
      this.#options.report({ kind: "fenced", partition });
    } else this.#failure ??= error;
  }

  /**
   * A task failed in a cycle. What the cycle had done is in no commit, and is done again once the task is open anew: from
   * its local state, or from the log alone when that is what failed.
   *
   * @throws an error that no opening mends
   */
  async failed(task: Task, error: unknown): Promise<void> {
    this.#remove(task);
    await task.close().catch(() => {});
    if (error instanceof KappaError && error.recovery === "restore-task") {
      const { around, databases } = this.#options;
      tellDiscarded(task.partition, around, error);
      databases.distrust(task.partition);
    } else this.#refused(task.partition, error);
    if (this.#failure !== null) throw this.#failure;
  }

  /** Whether every task that was ordered is open and at its end; says so once. */
  reportEnd(): void {
    const { version, partitions } = this.#order;
    if (this.#ended === version || this.#opening.size > 0 || this.#tasks.length !== partitions.size) return;
    if (!this.#tasks.every((task) => task.finished)) return;
    this.#ended = version;
    this.#options.report({ kind: "ended", version });
  }

  /** @throws the first error of a task; all are closed */
  async close(): Promise<void> {
    this.own(this.#order.version, [], 0);
    // One that fails, or is long in opening, must not keep the others from closing: their locks and what they have under way.
    const open = this.#tasks;
    const closed = await Promise.allSettled(open.map((task) => task.close()));
    await Promise.all([...this.#opening.values()].map(({ settled }) => settled));
    const late = this.#tasks.filter((task) => !open.includes(task));
    closed.push(...(await Promise.allSettled(late.map((task) => task.close()))));
    const failed = closed.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}

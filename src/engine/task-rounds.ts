import type { Clock } from "../core/clock.ts";
import type { Timers } from "../core/timers.ts";
import type { ThreadLog } from "../log/thread-log.ts";
import type { GlobalTable } from "../task/global-table.ts";
import type { TaskSettings } from "../task/settings.ts";
import type { Task } from "../task/task.ts";
import { SweepTurns } from "./sweep-turns.ts";
import type { TaskHost } from "./task-host.ts";

/** How often a thread tells of its progress, in ms. */
const progressEveryMs = 500;

/** How long a thread without a task waits before it looks around again, in ms. */
const idleMs = 100;

export interface TaskRoundsOptions {
  readonly host: Pick<TaskHost, "tasks" | "settle" | "failed" | "reportEnd">;
  readonly log: Pick<ThreadLog, "changed" | "gather" | "release">;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly settings: Pick<TaskSettings, "commitIntervalMs" | "untilEnd">;
  /** Read on before each round. */
  readonly globalTables: readonly Pick<GlobalTable, "refresh">[];
  /** Called between two rounds, every 500 ms at most. */
  readonly progress: () => void;
  /** Ends the rounds, and what they wait for. */
  readonly signal: AbortSignal;
}

/**
 * Rounds of one cycle a task. Tasks of a thread commit together: the journal then writes and syncs them as a group, and
 * what they send each other arrives at once. A round that leaves rows behind is followed by the next without a pause;
 * else one begins when `commitIntervalMs` has passed and there is news. Between rounds the event loop turns, so that
 * messages come through.
 */
export class TaskRounds {
  readonly #options: TaskRoundsOptions;
  readonly #sweeps = new SweepTurns();
  /** Ends a pause, or a wait for the log. */
  #wake: (() => void) | null = null;
  #toldMs = 0;

  constructor(options: TaskRoundsOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.wake(), { once: true });
  }

  /** Something cannot wait: what is waited for between two rounds ends now. */
  wake(): void {
    this.#wake?.();
  }

  /** @throws what ends the process */
  async run(): Promise<void> {
    const { host, log, clock, timers, settings, signal } = this.#options;
    while (!signal.aborted) {
      const startMs = clock.monotonic();
      await host.settle();
      const worked = await this.#round();
      const endMs = clock.monotonic();
      this.#tell(endMs);
      const swept = await this.#sweep(endMs, worked);
      if (worked && host.tasks.some((task) => task.full)) {
        await timers.turn();
        continue;
      }
      if (!worked && !swept) {
        if (settings.untilEnd) host.reportEnd();
        await this.#unlessWoken(log.changed(Math.min(idleMs, ...host.tasks.map((task) => task.waitMs))));
      }
      await this.#pauseUntil(startMs + settings.commitIntervalMs);
    }
  }

  /** @returns whether any task did anything */
  async #round(): Promise<boolean> {
    const { host, log, globalTables } = this.#options;
    for (const table of globalTables) table.refresh();
    let worked = false;
    log.gather?.();
    try {
      for (const task of host.tasks) if (await this.#cycle(task)) worked = true;
    } finally {
      log.release?.();
    }
    return worked;
  }

  async #cycle(task: Task): Promise<boolean> {
    try {
      return await task.cycle();
    } catch (error) {
      await this.#options.host.failed(task, error);
      return true;
    }
  }

  #tell(nowMs: number): void {
    if (nowMs - this.#toldMs < progressEveryMs) return;
    this.#toldMs = nowMs;
    this.#options.progress();
  }

  /** Sweeps a few entities of the next task when it is time. @returns whether it did */
  async #sweep(nowMs: number, worked: boolean): Promise<boolean> {
    const { host } = this.#options;
    if (!this.#sweeps.come(nowMs, worked)) return false;
    const task = this.#sweeps.next(host.tasks, (each, busy) => each.sweepDue(busy));
    if (task === undefined) return false;
    try {
      await task.sweep(this.#sweeps.entities);
    } catch (error) {
      await host.failed(task, error);
    }
    return true;
  }

  async #unlessWoken(promise: Promise<void>): Promise<void> {
    if (this.#options.signal.aborted) return;
    await Promise.race([
      promise,
      new Promise<void>((resolve) => {
        this.#wake = resolve;
      }),
    ]);
    this.#wake = null;
  }

  async #pauseUntil(timeMs: number): Promise<void> {
    const { clock, timers, signal } = this.#options;
    const pauseMs = timeMs - clock.monotonic();
    if (pauseMs <= 0 || signal.aborted) return await timers.turn();
    const pause = new AbortController();
    this.#wake = () => pause.abort();
    await timers.sleep(pauseMs, pause.signal);
    this.#wake = null;
  }
}

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { EmbeddedSchemaRegistry } from "../codec/embedded-schema-registry.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import { ThreadFileLog } from "../log/file-log-thread.ts";
import { ThreadMeter } from "../observability/thread-meter.ts";
import type { Scorer } from "../scoring/scorer.ts";
import { LevelBackend } from "../state/level-backend.ts";
import { StateDatabase } from "../state/state-database.ts";
import { inputSerde, isGlobalTable } from "../task/application.ts";
import { GlobalTable } from "../task/global-table.ts";
import { loadModels } from "../task/models.ts";
import type { Task, TaskTap } from "../task/task.ts";
import { openTask, type TaskSurroundings } from "../task/task-opener.ts";
import { cacheShares } from "./cache-shares.ts";
import { SweepTurns } from "./sweep-turns.ts";
import type { ThreadOrder, ThreadReport, ThreadRequest } from "./thread-protocol.ts";
import { loadTopology } from "./topology-module.ts";

/** How often a thread reports its progress and metrics, in ms. */
const reportIntervalMs = 500;

export interface WorkerOptions {
  readonly order: ThreadOrder;
  readonly clock: Clock;
  readonly report: (message: ThreadReport) => void;
  readonly tap: TaskTap;
}

/** One engine thread: opens its tasks and runs their cycles in turn until it is told to stop or the input has ended. */
export class EngineWorker {
  readonly #options: WorkerOptions;
  readonly #meter = new ThreadMeter();
  readonly #tasks: Task[] = [];
  #globalTables: GlobalTable[] = [];
  #stopping = false;
  #endPause: (() => void) | null = null;
  #lastReportMs = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** A message from the main thread. */
  receive(message: unknown): void {
    const request = message as ThreadRequest;
    if (request.kind === "stop") {
      this.#stopping = true;
      this.#endPause?.();
      return;
    }
    this.#answer(request).then(
      (answer) => this.#options.report({ kind: "answer", token: request.token, answer }),
      (error: unknown) => {
        const code = error instanceof KappaError ? error.code : "KAPPA_ENGINE_FAILED";
        this.#options.report({ kind: "refused", token: request.token, code, message: messageOf(error) });
      },
    );
  }

  async #answer(request: Exclude<ThreadRequest, { kind: "stop" }>): Promise<unknown> {
    if (request.kind === "count") {
      let count = 0;
      for (const task of this.#tasks) count += await task.stores.count(request.store);
      return count;
    }
    const task = this.#tasks.find(({ partition }) => partition === request.partition);
    if (task === undefined)
      throw new KappaError("KAPPA_USAGE", `partition ${request.partition} is not run by this thread`);
    const asOfMs = request.asOfMs ?? Math.min(task.stores.orderTimeMs(request.store), task.orderTimeMs);
    if (asOfMs === beginningOfTimeMs) return null; // nothing was read yet
    const value = task.stores.read(request.store, request.key, asOfMs);
    return value === null ? null : { asOfMs, value };
  }

  async run(): Promise<void> {
    let failure: unknown;
    const { order, clock } = this.#options;
    const topology = await loadTopology(order.topology);
    const log = ThreadFileLog.of(order.log);
    let scorers = new Map<number, Scorer>();
    try {
      const meter = this.#meter.open();
      const registry = await EmbeddedSchemaRegistry.open(order.registryDir);
      scorers = await loadModels(topology, clock, meter);
      this.#globalTables = topology.nodes.filter(isGlobalTable).map((node) => {
        const { timeBounds } = order.settings;
        const keepFaults = order.partitions.includes(0);
        return new GlobalTable({ node, log, serde: inputSerde(node, registry), timeBounds, keepFaults });
      });
      const around: TaskSurroundings = {
        topology,
        partitions: order.partitionCount,
        log,
        registry,
        schemaIds: order.schemaIds,
        settings: order.settings,
        clock,
        meter,
        globalTables: new Map(this.#globalTables.map((table) => [table.node.id, table])),
        scorers,
        generation: order.generation,
        ends: order.ends,
        openDatabase: (partition, discard) => this.#openDatabase(partition, discard),
        tap: this.#options.tap,
        onRestore: (partition, applied, total) =>
          this.#options.report({ kind: "restoring", partition, applied, total }),
      };
      for (const partition of order.partitions) this.#tasks.push(await openTask(partition, around));
      this.#options.report({ kind: "running" });
      await this.#loop(log, around);
    } catch (error) {
      failure = error;
    } finally {
      // One that fails must not keep the others from closing: their locks and what they have under way.
      const closed = await Promise.allSettled(this.#tasks.map((task) => task.close()));
      for (const table of this.#globalTables) table.close();
      for (const scorer of new Set(scorers.values())) await scorer.close();
      await log.close();
      this.#reportProgress();
      failure ??= closed.find((outcome) => outcome.status === "rejected")?.reason;
    }
    if (failure !== undefined) throw failure;
  }

  async #openDatabase(partition: number, discard: boolean): Promise<StateDatabase> {
    const { order } = this.#options;
    const path = join(order.stateDir, String(partition));
    if (discard) await rm(path, { recursive: true, force: true });
    const { entityBytes, ...levelShares } = cacheShares(Math.floor(order.settings.cacheBytes / order.partitionCount));
    const backend = await LevelBackend.open({ path, ...levelShares });
    try {
      return await StateDatabase.open({ backend, cacheBytes: entityBytes });
    } catch (error) {
      await backend.close();
      throw error;
    }
  }

  /**
   * Rounds of one cycle a task. Tasks of a thread commit together: the journal then writes and syncs them as a group, and
   * what they send each other arrives at once. A round that leaves rows behind is followed by the next without a pause;
   * else one begins when `commitIntervalMs` has passed and there is news. Between rounds the event loop turns, so that
   * messages come through.
   */
  async #loop(log: ThreadFileLog, around: TaskSurroundings): Promise<void> {
    const { clock, order } = this.#options;
    const { commitIntervalMs, untilEnd } = order.settings;
    const sweep = new SweepTurns(this.#tasks.length);
    while (!this.#stopping) {
      const startMs = clock.monotonic();
      for (const table of this.#globalTables) table.refresh();
      let worked = false;
      log.gather();
      try {
        for (let i = 0; i < this.#tasks.length; i++) if (await this.#cycle(i, around)) worked = true;
      } finally {
        log.release();
      }
      const endMs = clock.monotonic();
      if (endMs - this.#lastReportMs >= reportIntervalMs) {
        this.#lastReportMs = endMs;
        this.#reportProgress();
      }
      const swept = await this.#sweep(sweep, endMs, worked, around);
      if (worked && this.#tasks.some((task) => task.full)) {
        await turn();
        continue;
      }
      if (!worked && !swept) {
        if (untilEnd && this.#tasks.every((task) => task.finished)) return;
        await log.changed(Math.min(...this.#tasks.map((task) => task.waitMs)));
      }
      await this.#pauseUntil(startMs + commitIntervalMs);
    }
  }

  /** A pause that a request to stop ends. */
  async #pauseUntil(timeMs: number): Promise<void> {
    const pauseMs = timeMs - this.#options.clock.monotonic();
    if (pauseMs <= 0 || this.#stopping) return await turn();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = null;
  }

  /** @returns whether the task did anything */
  async #cycle(index: number, around: TaskSurroundings): Promise<boolean> {
    const task = this.#tasks[index] as Task;
    try {
      return await task.cycle();
    } catch (error) {
      this.#tasks[index] = await this.#restored(task, error, around);
      return true;
    }
  }

  /** Sweeps a few entities of the next task when it is time. @returns whether it did */
  async #sweep(turns: SweepTurns, nowMs: number, worked: boolean, around: TaskSurroundings): Promise<boolean> {
    if (!turns.come(nowMs, worked)) return false;
    const index = turns.next((i, busy) => (this.#tasks[i] as Task).sweepDue(busy));
    const task = this.#tasks[index];
    if (task === undefined) return false;
    try {
      await task.sweep(turns.entities);
    } catch (error) {
      this.#tasks[index] = await this.#restored(task, error, around);
    }
    return true;
  }

  /**
   * The task anew, its state restored from the log, when the local state turned out to be damaged: LevelDB does not look
   * at a block before it is read. What the broken cycle had done was in no commit, and is done again.
   *
   * @throws any other error
   */
  async #restored(task: Task, error: unknown, around: TaskSurroundings): Promise<Task> {
    if (!(error instanceof KappaError) || error.recovery !== "restore-task") throw error;
    const { order } = this.#options;
    around.meter.counter("kappa_state_discarded_total", around.topology.applicationId).add(1);
    await task.close().catch(() => {});
    await rm(join(order.stateDir, String(task.partition)), { recursive: true, force: true });
    return openTask(task.partition, around);
  }

  #reportProgress(): void {
    for (const task of this.#tasks) task.sample();
    const tasks = this.#tasks.map((task) => ({
      partition: task.partition,
      sequence: task.sequence,
      orderTimeMs: task.orderTimeMs,
      lag: task.lag,
      cachedBytes: task.database.cachedBytes,
    }));
    this.#options.report({ kind: "progress", tasks, metrics: this.#meter.report() });
  }
}

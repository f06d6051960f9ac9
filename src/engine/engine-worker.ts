import { openSchemaRegistry } from "../codec/registry-place.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import { systemTimers } from "../core/timers.ts";
import { openThreadLog, type ThreadLog } from "../log/thread-log.ts";
import { ThreadMeter } from "../observability/thread-meter.ts";
import type { Scorer } from "../scoring/scorer.ts";
import { inputSerde, isGlobalTable, lookUpTopics } from "../task/application.ts";
import { GlobalTable } from "../task/global-table.ts";
import { loadModels } from "../task/models.ts";
import type { Task, TaskTap } from "../task/task.ts";
import type { TakeOverTap, TaskSurroundings } from "../task/task-opener.ts";
import type { Topology } from "../topology/graph.ts";
import { LevelFolders } from "./level-folders.ts";
import { TaskDatabases } from "./task-databases.ts";
import { TaskHost } from "./task-host.ts";
import { TaskRounds } from "./task-rounds.ts";
import type { InputWait, ThreadOrder, ThreadReport, ThreadRequest } from "./thread-protocol.ts";
import { loadTopology } from "./topology-module.ts";

export interface WorkerOptions {
  readonly order: ThreadOrder;
  readonly clock: Clock;
  readonly report: (message: ThreadReport) => void;
  readonly tap: TaskTap;
  readonly takeOverTap?: TakeOverTap;
}

/** One engine thread: opens its tasks and runs their cycles in turn until it is told to stop or the input has ended. */
export class EngineWorker {
  readonly #options: WorkerOptions;
  readonly #meter = new ThreadMeter();
  #host: TaskHost | null = null;
  /** What was ordered before the host was there. */
  #ordered: (ThreadRequest & { kind: "own" }) | null = null;
  #rounds: TaskRounds | null = null;
  readonly #globalTables: GlobalTable[] = [];
  /** Ends the rounds, and what waits for a service before the first one. */
  readonly #stop = new AbortController();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** A message from the main thread. */
  receive(message: unknown): void {
    const request = message as ThreadRequest;
    if (request.kind === "stop") {
      this.#stop.abort();
      return;
    }
    if (request.kind === "own") {
      this.#ordered = request;
      this.#own();
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

  #own(): void {
    if (this.#host === null || this.#ordered === null) return;
    const { version, partitions, generation } = this.#ordered;
    this.#host.own(version, partitions, generation);
    this.#rounds?.wake();
  }

  get #tasks(): readonly Task[] {
    return this.#host?.tasks ?? [];
  }

  async #answer(request: Exclude<ThreadRequest, { kind: "stop" | "own" }>): Promise<unknown> {
    if (request.kind === "count") {
      let count = 0;
      for (const task of this.#tasks) count += await task.stores.count(request.store);
      return count;
    }
    const task = this.#tasks.find(({ partition }) => partition === request.partition);
    if (task === undefined)
      throw new KappaError("KAPPA_STATE_RESTORING", `task ${request.partition} is not open yet; try again`);
    const asOfMs = request.asOfMs ?? Math.min(task.stores.orderTimeMs(request.store), task.orderTimeMs);
    if (asOfMs === beginningOfTimeMs) return null; // nothing was read yet
    const value = task.stores.read(request.store, request.key, asOfMs);
    return value === null ? null : { asOfMs, value };
  }

  async run(): Promise<void> {
    let failure: unknown;
    const { order, clock } = this.#options;
    const topology = await loadTopology(order.topology);
    const log = await openThreadLog(order.log);
    let scorers = new Map<number, Scorer>();
    let registry: SchemaRegistry | null = null;
    try {
      const meter = this.#meter.open();
      registry = await openSchemaRegistry(order.registry, { clock, meter });
      scorers = await loadModels(topology, clock, meter);
      await lookUpTopics(topology, log);
      await this.#openGlobalTables(topology, log, registry);
      const databases = new TaskDatabases({
        folders: new LevelFolders(order.stateDir),
        taskBytes: Math.floor(order.settings.cacheBytes / order.partitionCount),
        evades: order.log.kind === "kafka",
      });
      const around: Omit<TaskSurroundings, "generation"> = {
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
        ends: order.ends,
        openDatabase: (partition, discard) => databases.open(partition, discard),
        tap: this.#options.tap,
        takeOverTap: this.#options.takeOverTap,
        onDiscard: (partition, reason) => this.#options.report({ kind: "discarded", partition, reason }),
        onRestore: (partition, applied, total) =>
          this.#options.report({ kind: "restoring", partition, applied, total }),
      };
      const report = (message: ThreadReport): void => {
        // Whoever hears that all tasks are open must not see some that are not.
        if (message.kind === "running") this.#reportProgress();
        this.#options.report(message);
      };
      this.#host = new TaskHost({ around, databases, clock, report, wake: () => this.#rounds?.wake() });
      this.#rounds = new TaskRounds({
        host: this.#host,
        log,
        clock,
        timers: systemTimers,
        settings: order.settings,
        globalTables: this.#globalTables,
        progress: () => this.#reportProgress(),
        signal: this.#stop.signal,
      });
      report({ kind: "ready" });
      this.#own();
      await this.#rounds.run();
    } catch (error) {
      failure = error;
    } finally {
      await this.#host?.close().catch((error: unknown) => {
        failure ??= error;
      });
      for (const table of this.#globalTables) table.close();
      for (const scorer of new Set(scorers.values())) await scorer.close();
      await registry?.close();
      await log.close();
      this.#reportProgress();
    }
    if (failure !== undefined) throw failure;
  }

  async #openGlobalTables(topology: Topology, log: ThreadLog, registry: SchemaRegistry): Promise<void> {
    const { timeBounds } = this.#options.order.settings;
    for (const node of topology.nodes.filter(isGlobalTable)) {
      const serde = inputSerde(node, registry);
      const onWait = (reason: string): void => this.#reportProgress([{ topic: node.topic, partition: null, reason }]);
      // Task 0 answers for them, and any thread may be told to run it.
      const keepFaults = true;
      const { signal } = this.#stop;
      this.#globalTables.push(await GlobalTable.open({ node, log, serde, timeBounds, keepFaults, signal, onWait }));
    }
  }

  /** @param waits of what is not open yet */
  #reportProgress(waits: readonly InputWait[] = []): void {
    for (const task of this.#tasks) task.sample();
    const tasks = this.#tasks.map((task) => ({
      partition: task.partition,
      sequence: task.sequence,
      orderTimeMs: task.orderTimeMs,
      lag: task.lag,
      cachedBytes: task.database.cachedBytes,
      positions: task.positions,
    }));
    const all = [...waits, ...this.#waits()];
    this.#options.report({ kind: "progress", tasks, waits: all, metrics: this.#meter.report() });
  }

  /** Inputs that are paused. */
  #waits(): InputWait[] {
    const waits: InputWait[] = [];
    for (const { node, waitsFor } of this.#globalTables) {
      if (waitsFor !== null) waits.push({ topic: node.topic, partition: null, reason: waitsFor });
    }
    for (const { partition, stages } of this.#tasks) {
      for (const { node, waitsFor } of stages.flatMap(({ inputs }) => inputs)) {
        if (waitsFor !== null) waits.push({ topic: node.topic, partition, reason: waitsFor });
      }
    }
    return waits;
  }
}

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { EmbeddedSchemaRegistry } from "../codec/embedded-schema-registry.ts";
import { assert } from "../core/assert.ts";
import { type ErrorCode, errorCodes, KappaError } from "../core/errors.ts";
import type { OwnedFileLog } from "../log/file-log.ts";
import { partitionOf } from "../log/partitioner.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import { createTopics, partitionCount, partitionedInputs, registerSchemas } from "../task/application.ts";
import { defaultSettings, type TaskSettings } from "../task/settings.ts";
import { commitsTopic, type Topology } from "../topology/graph.ts";
import { Collector } from "./collector.ts";
import type { TaskProgress, ThreadOrder, ThreadReport, ThreadRequest } from "./thread-protocol.ts";
import { loadTopology, type TopologyModule } from "./topology-module.ts";

/**
 * New objects of an engine thread, in MB. Left alone V8 takes 128 on a large machine, which the bound on memory has no
 * room for, to save some 5 % of the processor time; rows and buffers die within a commit of a few MB.
 */
const youngGenerationMb = 24;

export interface EngineOptions {
  readonly topology: TopologyModule;
  /** The open log of `dataDir`; this process owns it. The engine does not close it. */
  readonly log: OwnedFileLog;
  /** Holds `registry/` and, unless `stateDir` says otherwise, `state/`. */
  readonly dataDir: string;
  readonly stateDir?: string;
  /** Engine threads; default: the cores of the machine, at most one a partition. */
  readonly threads?: number;
  readonly settings?: Partial<TaskSettings>;
  /** Receives what the threads measured. */
  readonly onMetrics?: (thread: number, report: MeterReport) => void;
}

/** What a store holds for a key, and the event time it is as of. */
export interface StoreAnswer {
  readonly asOfMs: number;
  readonly value: Readonly<Record<string, unknown>>;
}

export type EngineState = "RESTORING" | "RUNNING" | "PENDING_SHUTDOWN" | "NOT_RUNNING" | "ERROR";

interface EngineThread {
  readonly worker: Worker;
  readonly partitions: readonly number[];
  tasks: readonly TaskProgress[];
  running: boolean;
}

/**
 * Runs an application over the embedded log: one task a partition, spread over engine threads. The main thread stays
 * free for the journal and for HTTP.
 */
export class Engine {
  readonly topology: Topology;
  readonly partitions: number;
  /** Resolves when the input has ended or `stop` was called; rejects when a thread failed. */
  readonly finished: Promise<void>;
  readonly #options: EngineOptions;
  readonly #threads: EngineThread[] = [];
  readonly #collector = new Collector();
  readonly #waiting = new Map<
    number,
    { readonly resolve: (answer: unknown) => void; readonly reject: (error: unknown) => void }
  >();
  #finish: (() => void) | null = null;
  #fail: ((error: unknown) => void) | null = null;
  #state: EngineState = "RESTORING";
  #done = 0;
  #token = 0;
  readonly #restoring = new Map<number, { readonly applied: number; readonly total: number }>();

  private constructor(options: EngineOptions, topology: Topology, partitions: number) {
    this.#options = options;
    this.topology = topology;
    this.partitions = partitions;
    this.finished = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    // Whoever awaits it sees the failure; a caller that never does must not bring the process down by it.
    this.finished.catch(() => {});
  }

  /**
   * Checks the topology against the log, creates the topics it writes, registers its schemas and starts its threads.
   * Returns once they are started; restoring goes on.
   *
   * @throws KAPPA_TOPIC_UNKNOWN, KAPPA_TOPIC_MISMATCH, KAPPA_TOPOLOGY_INVALID, KAPPA_SCHEMA_INCOMPATIBLE
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const { log, dataDir } = options;
    const topology = await loadTopology(options.topology);
    const partitions = partitionCount(topology, log);
    await createTopics(topology, log, partitions);
    const registryDir = join(dataDir, "registry");
    const registry = await EmbeddedSchemaRegistry.open(registryDir);
    const schemaIds = await registerSchemas(topology, registry);
    const settings: TaskSettings = { ...defaultSettings, ...options.settings };
    const engine = new Engine(options, topology, partitions);
    const threads = Math.min(options.threads ?? availableParallelism(), partitions);
    for (let thread = 0; thread < threads; thread++) {
      const own = Array.from({ length: partitions }, (_, p) => p).filter((p) => p % threads === thread);
      const handle = log.threadHandle();
      const order: ThreadOrder = {
        thread,
        topology: options.topology,
        log: handle,
        partitions: own,
        partitionCount: partitions,
        registryDir,
        stateDir: join(options.stateDir ?? join(dataDir, "state"), topology.applicationId),
        schemaIds,
        settings,
        generation: engine.#generation(),
        ends: settings.untilEnd ? engine.#ends() : {},
      };
      engine.#startThread(order, own);
    }
    return engine;
  }

  /** Commits so far plus one: higher than in any run before that left a commit. */
  #generation(): number {
    const topic = commitsTopic(this.topology.applicationId);
    let commits = 1;
    for (let p = 0; p < this.partitions; p++) commits += Number(this.#options.log.endOffset(topic, p, "written"));
    return commits;
  }

  #ends(): Record<string, number[]> {
    const ends: Record<string, number[]> = {};
    for (const { topic } of partitionedInputs(this.topology)) {
      ends[topic] = Array.from({ length: this.partitions }, (_, p) =>
        Number(this.#options.log.endOffset(topic, p, "written")),
      );
    }
    return ends;
  }

  #startThread(order: ThreadOrder, partitions: readonly number[]): void {
    const number = order.thread;
    const module = new URL("./engine-thread.ts", import.meta.url);
    // The compiler renames what is imported, not what a URL names.
    if (!import.meta.url.endsWith(".ts")) module.pathname = module.pathname.replace(/\.ts$/, ".js");
    const worker = new Worker(module, {
      workerData: order,
      transferList: [order.log.port],
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    });
    const thread: EngineThread = { worker, partitions, tasks: [], running: false };
    this.#threads.push(thread);
    worker.on("message", (report: ThreadReport) => this.#receive(number, thread, report));
    worker.on("error", (error) =>
      this.#failed(
        new KappaError(
          "KAPPA_ENGINE_FAILED",
          `engine thread ${number} failed: ${error instanceof Error ? error.message : String(error)}`,
          { thread: number },
          error,
        ),
      ),
    );
    worker.on("exit", (code) => {
      if (code !== 0)
        this.#failed(
          new KappaError("KAPPA_ENGINE_FAILED", `engine thread ${number} ended with code ${code}`, { thread: number }),
        );
    });
  }

  #receive(number: number, thread: EngineThread, report: ThreadReport): void {
    switch (report.kind) {
      case "running":
        thread.running = true;
        for (const partition of thread.partitions) this.#restoring.delete(partition);
        if (this.#state === "RESTORING" && this.#threads.every(({ running }) => running)) this.#state = "RUNNING";
        break;
      case "restoring":
        if (report.applied >= report.total) this.#restoring.delete(report.partition);
        else this.#restoring.set(report.partition, report);
        break;
      case "progress":
        thread.tasks = report.tasks;
        this.#collector.stateHeld(this.tasks.reduce((bytes, { cachedBytes }) => bytes + cachedBytes, 0));
        this.#options.onMetrics?.(number, report.metrics);
        break;
      case "answer":
        this.#waiting.get(report.token)?.resolve(report.answer);
        this.#waiting.delete(report.token);
        break;
      case "refused":
        this.#waiting.get(report.token)?.reject(new KappaError(codeOf(report.code), report.message));
        this.#waiting.delete(report.token);
        break;
      case "finished":
        this.#done++;
        this.#refuseWaiting(new KappaError("KAPPA_ENGINE_FAILED", "the application has stopped"));
        if (this.#done === this.#threads.length) {
          this.#state = "NOT_RUNNING";
          this.#finish?.();
        }
        break;
      case "failed":
        this.#failed(new KappaError(codeOf(report.code), report.message, { thread: number }, report.stack));
        break;
      default:
        report satisfies never;
    }
  }

  #failed(error: KappaError): void {
    if (this.#state === "ERROR") return;
    this.#state = "ERROR";
    this.#refuseWaiting(error);
    for (const { worker } of this.#threads) void worker.terminate();
    this.#fail?.(error);
  }

  #refuseWaiting(error: KappaError): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Tasks as they last reported, by partition. */
  get tasks(): readonly TaskProgress[] {
    return this.#threads.flatMap(({ tasks }) => tasks).sort((a, b) => a.partition - b.partition);
  }

  /** Tasks that still apply commits, with how many of how many. */
  get restoring(): ReadonlyMap<number, { readonly applied: number; readonly total: number }> {
    return this.#restoring;
  }

  /**
   * What a store holds for a key; asks the task that owns the key.
   *
   * @param asOfMs event time; default: what the store has reached
   * @returns null when it holds nothing
   */
  async read(store: string, key: string | number, asOfMs: number | null = null): Promise<StoreAnswer | null> {
    const answer = await this.#ask(partitionOf(key, this.partitions), (token, partition) => ({
      kind: "read",
      token,
      partition,
      store,
      key,
      asOfMs,
    }));
    return answer as StoreAnswer | null;
  }

  /** Keys that a store holds, over all tasks. */
  async count(store: string): Promise<number> {
    let count = 0;
    for (const { partitions } of this.#threads) {
      count += (await this.#ask(partitions[0] as number, (token) => ({ kind: "count", token, store }))) as number;
    }
    return count;
  }

  #ask(partition: number, request: (token: number, partition: number) => ThreadRequest): Promise<unknown> {
    const thread = this.#threads.find(({ partitions }) => partitions.includes(partition));
    assert(thread !== undefined, () => `no thread runs partition ${partition} of ${this.partitions}`);
    if (this.#done > 0 || this.#state === "ERROR") {
      return Promise.reject(new KappaError("KAPPA_ENGINE_FAILED", "the application has stopped or is about to"));
    }
    const token = ++this.#token;
    return new Promise((resolve, reject) => {
      this.#waiting.set(token, { resolve, reject });
      thread.worker.postMessage(request(token, partition));
    });
  }

  /** Finishes the cycles under way, lets their commits become durable, writes the state, and ends the threads. */
  async stop(): Promise<void> {
    if (this.#state === "RUNNING" || this.#state === "RESTORING") this.#state = "PENDING_SHUTDOWN";
    const stop: ThreadRequest = { kind: "stop" };
    for (const { worker } of this.#threads) worker.postMessage(stop);
    await this.finished;
  }
}

function codeOf(code: string): ErrorCode {
  return code in errorCodes ? (code as ErrorCode) : "KAPPA_ENGINE_FAILED";
}

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { RegistryPlace } from "../codec/registry-place.ts";
import { type ErrorCode, errorCodes, KappaError, messageOf } from "../core/errors.ts";
import { noWarn, type Warn } from "../core/warn.ts";
import { KafkaLog } from "../log/kafka-log.ts";
import { partitionOf } from "../log/partitioner.ts";
import { movedWith, type SharedLog, threadHandle } from "../log/thread-log.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import type { OnlineAddress } from "../serving/online-protocol.ts";
import { OnlineServing } from "../serving/online-serving.ts";
import { createTopics, partitionCount, partitionedInputs } from "../task/application.ts";
import { defaultSettings, kafkaSettings, type TaskSettings } from "../task/settings.ts";
import { commitsTopic, type Topology } from "../topology/graph.ts";
import { Collector } from "./collector.ts";
import { InputWaits } from "./input-waits.ts";
import { InputWatch } from "./input-watch.ts";
import { refuseLostCommits } from "./lost-commits.ts";
import { type GroupView, type Membership, type Ownership, SoleMembership } from "./membership.ts";
import { registerPatiently } from "./schema-registration.ts";
import type { InputWait, TaskProgress, ThreadOrder, ThreadReport, ThreadRequest } from "./thread-protocol.ts";
import { loadTopology, type TopologyModule } from "./topology-module.ts";

/**
 * New objects of an engine thread, in MB. Left alone V8 takes 128 on a large machine, which the bound on memory has no
 * room for, to save some 5 % of the processor time; rows and buffers die within a commit of a few MB.
 */
const youngGenerationMb = 24;

/** `TaskSettings.frontierRepeatMs` where other processes may have some of the tasks. */
const sharedFrontierRepeatMs = 5000;

export interface EngineOptions {
  readonly topology: TopologyModule;
  /** The open log. The engine does not close it. */
  readonly log: SharedLog;
  /** How tasks are shared with other processes; default: all of them are run here. */
  readonly membership?: (topology: Topology, partitions: number) => Membership;
  /** Holds `registry/` and, unless `stateDir` says otherwise, `state/`. */
  readonly dataDir: string;
  readonly stateDir?: string;
  /** Engine threads; default: the cores of the machine, at most one a partition. */
  readonly threads?: number;
  readonly settings?: Partial<TaskSettings>;
  /** A schema registry over HTTP, with the API of Confluent's. Default: one of the application's own, in `dataDir`. */
  readonly registry?: {
    readonly kind: "confluent";
    readonly url: string;
    readonly apiKey?: string;
    readonly apiSecret?: string;
    /** Whether schemas of outputs that the registry does not hold are added to it. Default true. */
    readonly autoRegister?: boolean;
  };
  /** Told when something around the application keeps it from going on, and when it goes on. */
  readonly onWarning?: Warn;
  /** Gives up a start that waits for a service. */
  readonly signal?: AbortSignal;
  /** Redis for the tables that the topology serves; default: they are not served. */
  readonly online?: OnlineAddress;
  /** Receives what the threads measured. */
  readonly onMetrics?: (thread: number, report: MeterReport) => void;
}

/** What a store holds for a key, and the event time it is as of. */
export interface StoreAnswer {
  readonly asOfMs: number;
  readonly value: Readonly<Record<string, unknown>>;
}

export type EngineState = "REBALANCING" | "RESTORING" | "RUNNING" | "PENDING_SHUTDOWN" | "NOT_RUNNING" | "ERROR";

interface EngineThread {
  readonly worker: Worker;
  readonly partitions: Set<number>;
  tasks: readonly TaskProgress[];
  waits: readonly InputWait[];
  /** Whether it could run tasks. */
  ready: boolean;
  /** Newest order that it has carried out, in three respects; see `ThreadReport`. */
  released: number;
  running: number;
  ended: number;
}

/**
 * Runs an application: one task a partition, spread over the processes that share them and the engine threads of each. The
 * main thread stays free for the journal or the group, and for HTTP.
 */
export class Engine {
  readonly topology: Topology;
  readonly partitions: number;
  /** Resolves when the input has ended or `stop` was called; rejects when a thread failed. */
  readonly finished: Promise<void>;
  readonly #options: EngineOptions;
  readonly #threads: EngineThread[] = [];
  readonly #collector = new Collector();
  readonly #waits: InputWaits;
  readonly #inputs: InputWatch;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (answer: unknown) => void; readonly reject: (error: unknown) => void }
  >();
  #finish: (() => void) | null = null;
  #fail: ((error: unknown) => void) | null = null;
  #state: EngineState = "REBALANCING";
  #membership: Membership | null = null;
  /** Number of the newest order to the threads. */
  #version = 0;
  #done = 0;
  #token = 0;
  /** Whether the inputs had an end and came to it. */
  #inputsEnded = false;
  /** Tables kept in the online store; null when the topology has none, or no store was given. */
  readonly serving: OnlineServing | null;
  readonly #restoring = new Map<number, { readonly applied: number; readonly total: number }>();

  private constructor(options: EngineOptions, topology: Topology, partitions: number) {
    this.#options = options;
    this.#waits = new InputWaits(options.onWarning ?? noWarn);
    this.#inputs = new InputWatch({
      log: options.log,
      topics: partitionedInputs(topology).map(({ topic }) => topic),
      partitions,
      failed: (error) => this.#failed(error),
    });
    this.topology = topology;
    this.partitions = partitions;
    const { log, online, onMetrics } = options;
    const registry = registryPlace(options);
    this.serving = OnlineServing.of(topology, { tasks: partitions, log, registry, address: online, onMetrics });
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
   * @throws KAPPA_SERVICE_REFUSED, KAPPA_SCHEMA_UNREGISTERED; one that is away is waited for
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const { log, dataDir } = options;
    const topology = await loadTopology(options.topology);
    const partitions = await partitionCount(topology, log);
    const stateDir = join(options.stateDir ?? join(dataDir, "state"), topology.applicationId);
    await refuseLostCommits(topology.applicationId, log, stateDir);
    await createTopics(topology, log, partitions);
    const registry = registryPlace(options);
    const schemaIds = await registerPatiently(topology, registry, options.onWarning ?? noWarn, options.signal);
    const settings: TaskSettings = {
      ...defaultSettings,
      ...(log instanceof KafkaLog ? kafkaSettings : {}),
      ...(options.membership === undefined ? {} : { frontierRepeatMs: sharedFrontierRepeatMs }),
      ...options.settings,
    };
    const engine = new Engine(options, topology, partitions);
    const ends = settings.untilEnd ? await engine.#ends() : {};
    const threads = Math.min(options.threads ?? availableParallelism(), partitions);
    for (let thread = 0; thread < threads; thread++) {
      engine.#startThread({
        thread,
        topology: options.topology,
        log: threadHandle(log),
        partitionCount: partitions,
        registry,
        stateDir,
        schemaIds,
        settings,
        ends,
      });
    }
    engine.#inputs.start();
    // With others it joins when its threads are ready: a task that was given to it before would be run by nobody.
    if (options.membership === undefined) await engine.#join();
    return engine;
  }

  async #join(): Promise<void> {
    const { topology, partitions } = this;
    const { membership } = this.#options;
    const all = Array.from({ length: partitions }, (_, p) => p);
    this.#membership =
      membership === undefined
        ? new SoleMembership({ partitions: all, generation: await this.#generation() })
        : membership(topology, partitions);
    await this.#membership.join({
      owned: (ownership) => this.#own(ownership),
      failed: (error) => this.#failed(asEngineError(error)),
    });
  }

  /** Tells the threads what to run: a task stays where it is, a new one goes to the thread that has the fewest. */
  #own({ partitions, generation }: Ownership): void {
    if (this.#state === "PENDING_SHUTDOWN" || this.#state === "NOT_RUNNING" || this.#state === "ERROR") return;
    const wanted = new Set(partitions);
    const same = this.owned.length === wanted.size && this.owned.every((partition) => wanted.has(partition));
    if (!same || this.#state === "REBALANCING") this.#state = "RESTORING";
    for (const { partitions: own } of this.#threads) {
      for (const partition of own) {
        if (wanted.has(partition)) wanted.delete(partition);
        else own.delete(partition);
      }
    }
    for (const partition of [...wanted].sort((a, b) => a - b)) {
      const idlest = this.#threads.reduce((least, each) =>
        each.partitions.size < least.partitions.size ? each : least,
      );
      idlest.partitions.add(partition);
    }
    const version = ++this.#version;
    for (const { worker, partitions: own } of this.#threads) {
      const order: ThreadRequest = { kind: "own", version, partitions: [...own], generation };
      worker.postMessage(order);
    }
    this.serving?.own(partitions);
  }

  /** Whether every thread has carried out the newest order. */
  #all(what: "released" | "running" | "ended"): boolean {
    return this.#threads.every((thread) => thread[what] === this.#version);
  }

  /** Partitions whose tasks this process was told to run. */
  get owned(): readonly number[] {
    return this.#threads.flatMap(({ partitions }) => [...partitions]).sort((a, b) => a - b);
  }

  /** Commits so far plus one: higher than in any run before that left a commit. */
  async #generation(): Promise<number> {
    const topic = commitsTopic(this.topology.applicationId);
    let commits = 1;
    for (let p = 0; p < this.partitions; p++) {
      commits += Number(await this.#options.log.endOffset(topic, p, "written"));
    }
    return commits;
  }

  async #ends(): Promise<Record<string, number[]>> {
    const ends: Record<string, number[]> = {};
    for (const { topic } of partitionedInputs(this.topology)) {
      const own: number[] = [];
      for (let p = 0; p < this.partitions; p++) {
        own.push(Number(await this.#options.log.endOffset(topic, p, "written")));
      }
      ends[topic] = own;
    }
    return ends;
  }

  #startThread(order: ThreadOrder): void {
    const number = order.thread;
    const module = new URL("./engine-thread.ts", import.meta.url);
    // The compiler renames what is imported, not what a URL names.
    if (!import.meta.url.endsWith(".ts")) module.pathname = module.pathname.replace(/\.ts$/, ".js");
    const worker = new Worker(module, {
      workerData: order,
      transferList: movedWith(order.log),
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    });
    const thread: EngineThread = {
      worker,
      partitions: new Set(),
      tasks: [],
      waits: [],
      ready: false,
      released: 0,
      running: 0,
      ended: 0,
    };
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
      case "ready":
        thread.ready = true;
        if (this.#options.membership !== undefined && this.#threads.every(({ ready }) => ready)) this.#joinOthers();
        break;
      case "released":
        thread.released = report.version;
        if (this.#all("released")) this.#membership?.released(this.owned);
        break;
      case "running":
        thread.running = report.version;
        for (const partition of thread.partitions) this.#restoring.delete(partition);
        if (this.#state === "RESTORING" && this.#all("running")) this.#state = "RUNNING";
        break;
      case "ended":
        thread.ended = report.version;
        // A process that waits for its share of the tasks is not at an end.
        if (!this.#all("ended") || this.owned.length === 0) break;
        this.#inputsEnded = true;
        void this.stop().catch(() => {});
        break;
      case "fenced":
        this.#membership?.fenced(report.partition);
        break;
      case "discarded": {
        const { partition: task, reason } = report;
        this.#options.onWarning?.({ task, reason }, "state discarded: it is built again from the log");
        break;
      }
      case "restoring":
        if (report.applied >= report.total) this.#restoring.delete(report.partition);
        else this.#restoring.set(report.partition, report);
        break;
      case "progress":
        thread.tasks = report.tasks;
        thread.waits = report.waits;
        this.#waits.tell(this.waits);
        this.#collector.stateHeld(this.tasks.reduce((bytes, { cachedBytes }) => bytes + cachedBytes, 0));
        this.#options.onMetrics?.(number, report.metrics);
        this.#membership?.progressed(new Map(this.tasks.map(({ partition, positions }) => [partition, positions])));
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
        if (this.#done === this.#threads.length) void this.#leave();
        break;
      case "failed":
        this.#failed(new KappaError(codeOf(report.code), report.message, { thread: number }, report.stack));
        break;
      default:
        report satisfies never;
    }
  }

  #joinOthers(): void {
    if (this.#state !== "REBALANCING") return;
    this.#join().catch((error: unknown) => this.#failed(asEngineError(error)));
  }

  /** Only now that its tasks are closed may others have them. */
  async #leave(): Promise<void> {
    this.#inputs.stop();
    await this.#membership?.leave().catch(() => {});
    await this.serving?.end(this.#inputsEnded);
    if (this.#state === "ERROR") return;
    this.#state = "NOT_RUNNING";
    this.#finish?.();
  }

  #failed(error: KappaError): void {
    if (this.#state === "ERROR") return;
    this.#state = "ERROR";
    this.#refuseWaiting(error);
    this.#inputs.stop();
    for (const { worker } of this.#threads) void worker.terminate();
    this.serving?.close();
    void this.#membership?.leave().catch(() => {});
    this.#fail?.(error);
  }

  #refuseWaiting(error: KappaError): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  /** REBALANCING while the group does not count this process in, whatever its threads still do. */
  get state(): EngineState {
    const active = this.#state === "RESTORING" || this.#state === "RUNNING";
    return active && !this.group.joined ? "REBALANCING" : this.#state;
  }

  /** The processes that share the tasks, as this one knows them. */
  get group(): GroupView {
    return this.#membership?.group ?? { joined: false, run: 0, owners: {} };
  }

  /** Tasks as they last reported, by partition. */
  get tasks(): readonly TaskProgress[] {
    return this.#threads.flatMap(({ tasks }) => tasks).sort((a, b) => a.partition - b.partition);
  }

  /** Inputs that wait for a service: for the schema of a record, from a registry that does not answer. */
  get waits(): readonly InputWait[] {
    return this.#threads.flatMap(({ waits }) => waits);
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

  /** Keys that a store holds, over all tasks of this process. */
  async count(store: string): Promise<number> {
    let count = 0;
    for (const thread of this.#threads) {
      count += (await this.#askThread(thread, (token) => ({ kind: "count", token, store }))) as number;
    }
    return count;
  }

  #ask(partition: number, request: (token: number, partition: number) => ThreadRequest): Promise<unknown> {
    const thread = this.#threads.find(({ partitions }) => partitions.has(partition));
    if (thread === undefined) {
      const owner = this.#membership?.ownerOf(partition);
      const where = owner === undefined ? "no process is known to run it; try again" : `ask ${owner}`;
      const message = `task ${partition} is not run by this process: ${where}`;
      return Promise.reject(new KappaError("KAPPA_STATE_ELSEWHERE", message, { partition, owner }));
    }
    return this.#askThread(thread, (token) => request(token, partition));
  }

  #askThread(thread: EngineThread, request: (token: number) => ThreadRequest): Promise<unknown> {
    if (this.#done > 0 || this.#state === "ERROR") {
      return Promise.reject(new KappaError("KAPPA_ENGINE_FAILED", "the application has stopped or is about to"));
    }
    const token = ++this.#token;
    return new Promise((resolve, reject) => {
      this.#waiting.set(token, { resolve, reject });
      thread.worker.postMessage(request(token));
    });
  }

  /** Finishes the cycles under way, lets their commits become durable, writes the state, and ends the threads. */
  async stop(): Promise<void> {
    const running = this.#state !== "ERROR" && this.#state !== "NOT_RUNNING" && this.#state !== "PENDING_SHUTDOWN";
    if (running) this.#state = "PENDING_SHUTDOWN";
    const stop: ThreadRequest = { kind: "stop" };
    for (const { worker } of this.#threads) worker.postMessage(stop);
    await this.finished;
  }
}

function registryPlace({ registry, dataDir }: EngineOptions): RegistryPlace {
  const folder = join(dataDir, "registry");
  return registry === undefined ? { kind: "embedded", folder } : { ...registry, cacheFolder: folder };
}

function asEngineError(error: unknown): KappaError {
  return error instanceof KappaError ? error : new KappaError("KAPPA_ENGINE_FAILED", messageOf(error), {}, error);
}

function codeOf(code: string): ErrorCode {
  return code in errorCodes ? (code as ErrorCode) : "KAPPA_ENGINE_FAILED";
}

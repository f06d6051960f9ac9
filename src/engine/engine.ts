import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { RegistryPlace } from "../codec/registry-place.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { noWarn, type Warn } from "../core/warn.ts";
import { KafkaLog } from "../log/kafka-log.ts";
import { partitionOf } from "../log/partitioner.ts";
import { type SharedLog, threadHandle } from "../log/thread-log.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import type { OnlineAddress } from "../serving/online-protocol.ts";
import { OnlineServing } from "../serving/online-serving.ts";
import { createTopics, partitionCount, partitionedInputs } from "../task/application.ts";
import { defaultSettings, kafkaSettings, type TaskSettings } from "../task/settings.ts";
import { commitsTopic, type Topology } from "../topology/graph.ts";
import { Collector } from "./collector.ts";
import { EngineThreads, type RestoreProgress } from "./engine-threads.ts";
import { InputWaits } from "./input-waits.ts";
import { InputWatch } from "./input-watch.ts";
import { refuseLostCommits } from "./lost-commits.ts";
import { type GroupView, type Membership, type Ownership, SoleMembership } from "./membership.ts";
import { registerPatiently } from "./schema-registration.ts";
import type { InputWait, TaskProgress } from "./thread-protocol.ts";
import { loadTopology, type TopologyModule } from "./topology-module.ts";

/** `TaskSettings.frontierRepeatMs` where other processes may have some of the tasks. */
const sharedFrontierRepeatMs = 5000;

export interface EngineOptions {
  readonly topology: TopologyModule;
  /** The open log. The engine does not close it. */
  readonly log: SharedLog;
  /**
   * How tasks are shared with other processes; default: all of them are run here. Told the folder of the application's
   * local state, which is `<stateDir>/<application>`.
   */
  readonly membership?: (topology: Topology, partitions: number, stateFolder: string) => Membership;
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
  /** Folder of the application's local state. */
  readonly #stateFolder: string;
  readonly #threads: EngineThreads;
  readonly #collector = new Collector();
  readonly #waits: InputWaits;
  readonly #inputs: InputWatch;
  #finish: (() => void) | null = null;
  #fail: ((error: unknown) => void) | null = null;
  #state: EngineState = "REBALANCING";
  #membership: Membership | null = null;
  /** Whether the inputs had an end and came to it. */
  #inputsEnded = false;
  /** Tables kept in the online store; null when the topology has none, or no store was given. */
  readonly serving: OnlineServing | null;

  private constructor(options: EngineOptions, topology: Topology, partitions: number, stateFolder: string) {
    this.#options = options;
    this.#stateFolder = stateFolder;
    this.#threads = new EngineThreads({
      ready: () => this.#joinOthers(),
      released: () => this.#membership?.released(this.owned),
      running: () => {
        if (this.#state === "RESTORING") this.#state = "RUNNING";
      },
      ended: () => this.#ended(),
      fenced: (partition) => this.#membership?.fenced(partition),
      discarded: (task, reason) =>
        options.onWarning?.({ task, reason }, "state discarded: it is built again from the log"),
      held: (task, reason) =>
        reason === null
          ? options.onWarning?.({ task }, "task goes on: its state can be written again")
          : options.onWarning?.({ task, reason }, "task waits: its state cannot be written; it goes on by itself"),
      progressed: (thread, metrics) => this.#progressed(thread, metrics),
      finished: () => void this.#leave(),
      failed: (error) => this.#failed(error),
    });
    this.#waits = new InputWaits(options.onWarning ?? noWarn);
    this.#inputs = new InputWatch({
      log: options.log,
      topics: partitionedInputs(topology).map(({ topic }) => topic),
      partitions,
      failed: (error) => this.#failed(asEngineError(error)),
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
    const stateFolder = join(options.stateDir ?? join(dataDir, "state"), topology.applicationId);
    await refuseLostCommits(topology.applicationId, log, stateFolder);
    await createTopics(topology, log, partitions);
    const registry = registryPlace(options);
    const schemaIds = await registerPatiently(topology, registry, options.onWarning ?? noWarn, options.signal);
    const settings: TaskSettings = {
      ...defaultSettings,
      ...(log instanceof KafkaLog ? kafkaSettings : {}),
      ...(options.membership === undefined ? {} : { frontierRepeatMs: sharedFrontierRepeatMs }),
      ...options.settings,
    };
    const engine = new Engine(options, topology, partitions, stateFolder);
    try {
      const ends = settings.untilEnd ? await engine.#ends() : {};
      const threads = Math.min(options.threads ?? availableParallelism(), partitions);
      for (let thread = 0; thread < threads; thread++) {
        engine.#threads.start({
          thread,
          topology: options.topology,
          log: threadHandle(log),
          partitionCount: partitions,
          registry,
          stateDir: stateFolder,
          schemaIds,
          settings,
          ends,
        });
      }
      engine.#inputs.start();
      // With others it joins when its threads are ready: a task that was given to it before would be run by nobody.
      if (options.membership === undefined) await engine.#join();
    } catch (error) {
      engine.#failed(asEngineError(error));
      throw error;
    }
    return engine;
  }

  async #join(): Promise<void> {
    const { topology, partitions } = this;
    const { membership, onWarning: warn = noWarn } = this.#options;
    const all = Array.from({ length: partitions }, (_, p) => p);
    this.#membership =
      membership === undefined
        ? new SoleMembership({ partitions: all, generation: await this.#generation() })
        : membership(topology, partitions, this.#stateFolder);
    await this.#membership.join({
      owned: (ownership) => this.#own(ownership),
      held: (reason) =>
        reason === null
          ? warn({}, "process joins its group: its identity can be written again")
          : warn({ reason }, "process waits to join its group: its identity cannot be written; it goes on by itself"),
      failed: (error) => this.#failed(asEngineError(error)),
    });
  }

  #own(ownership: Ownership): void {
    const { partitions } = ownership;
    if (this.#state === "PENDING_SHUTDOWN" || this.#state === "NOT_RUNNING" || this.#state === "ERROR") return;
    const wanted = new Set(partitions);
    const same = this.owned.length === wanted.size && this.owned.every((partition) => wanted.has(partition));
    if (!same || this.#state === "REBALANCING") this.#state = "RESTORING";
    this.#threads.own(ownership);
    this.serving?.own(partitions);
  }

  /** Partitions whose tasks this process was told to run. */
  get owned(): readonly number[] {
    return this.#threads.owned;
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

  #ended(): void {
    // A process that waits for its share of the tasks is not at an end.
    if (this.owned.length === 0) return;
    this.#inputsEnded = true;
    void this.stop().catch(() => {});
  }

  #progressed(thread: number, metrics: MeterReport): void {
    const { tasks } = this;
    this.#waits.tell(this.waits);
    this.#collector.stateHeld(tasks.reduce((bytes, { cachedBytes }) => bytes + cachedBytes, 0));
    this.#options.onMetrics?.(thread, metrics);
    this.#membership?.progressed(new Map(tasks.map(({ partition, positions }) => [partition, positions])));
  }

  #joinOthers(): void {
    if (this.#options.membership === undefined || this.#state !== "REBALANCING") return;
    this.#join().catch((error: unknown) => this.#failed(asEngineError(error)));
  }

  /** Only now that its tasks are closed may others have them. */
  async #leave(): Promise<void> {
    this.#threads.refuse(new KappaError("KAPPA_ENGINE_FAILED", "the application has stopped"));
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
    this.#threads.refuse(error);
    this.#inputs.stop();
    this.#threads.terminate();
    this.serving?.close();
    void this.#membership?.leave().catch(() => {});
    this.#fail?.(error);
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
    return this.#threads.tasks;
  }

  /** Inputs that wait for a service: for the schema of a record, from a registry that does not answer. */
  get waits(): readonly InputWait[] {
    return this.#threads.waits;
  }

  /** Tasks that still apply commits, with how many of how many. */
  get restoring(): ReadonlyMap<number, RestoreProgress> {
    return this.#threads.restoring;
  }

  /**
   * What a store holds for a key; asks the task that owns the key.
   *
   * @param asOfMs event time; default: what the store has reached
   * @returns null when it holds nothing
   */
  async read(store: string, key: string | number, asOfMs: number | null = null): Promise<StoreAnswer | null> {
    this.#checkRunning();
    const partition = partitionOf(key, this.partitions);
    const answer = this.#threads.ask(partition, (token) => ({ kind: "read", token, partition, store, key, asOfMs }));
    if (answer !== null) return (await answer) as StoreAnswer | null;
    const owner = this.#membership?.ownerOf(partition);
    const where = owner === undefined ? "no process is known to run it; try again" : `ask ${owner}`;
    const message = `task ${partition} is not run by this process: ${where}`;
    throw new KappaError("KAPPA_STATE_ELSEWHERE", message, { partition, owner });
  }

  /** Keys that a store holds, over all tasks of this process. */
  async count(store: string): Promise<number> {
    this.#checkRunning();
    const counts = await this.#threads.askAll((token) => ({ kind: "count", token, store }));
    return counts.reduce<number>((sum, count) => sum + (count as number), 0);
  }

  #checkRunning(): void {
    if (this.#state === "NOT_RUNNING" || this.#state === "PENDING_SHUTDOWN" || this.#state === "ERROR") {
      throw new KappaError("KAPPA_ENGINE_FAILED", "the application has stopped or is about to");
    }
  }

  /** Finishes the cycles under way, lets their commits become durable, writes the state, and ends the threads. */
  async stop(): Promise<void> {
    const running = this.#state !== "ERROR" && this.#state !== "NOT_RUNNING" && this.#state !== "PENDING_SHUTDOWN";
    if (running) this.#state = "PENDING_SHUTDOWN";
    this.#threads.stop();
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

import type { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { noMeter } from "../../src/core/meter.ts";
import { GroupMembership } from "../../src/engine/group-membership.ts";
import { TaskDatabases } from "../../src/engine/task-databases.ts";
import { TaskHost } from "../../src/engine/task-host.ts";
import { TaskRounds } from "../../src/engine/task-rounds.ts";
import type { ThreadReport } from "../../src/engine/thread-protocol.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { partitionedInputs } from "../../src/task/application.ts";
import type { TaskSettings } from "../../src/task/settings.ts";
import type { Task, TaskTap } from "../../src/task/task.ts";
import type { TakeOverTap } from "../../src/task/task-opener.ts";
import type { Topology } from "../../src/topology/graph.ts";
import type { GroupCoordinator } from "./group-coordinator.ts";
import type { Incarnation } from "./incarnation.ts";
import { ProcessFolders } from "./process-folders.ts";
import { ProcessLog, type ProcessLogOptions } from "./process-log.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** What all processes of an application are started with. */
export interface Application {
  readonly topology: Topology;
  readonly partitions: number;
  readonly settings: TaskSettings;
  readonly registry: MemorySchemaRegistry;
  readonly schemaIds: Readonly<Record<string, number>>;
  readonly sessionTimeoutMs: number;
  readonly scorersOf: (incarnation: Incarnation) => ReadonlyMap<number, Scorer>;
}

export interface ProcessOptions {
  readonly application: Application;
  readonly incarnation: Incarnation;
  readonly disk: SimulatedDisk;
  readonly group: GroupCoordinator;
  readonly log: ProcessLogOptions;
  readonly tap: TaskTap;
  readonly takeOverTap: TakeOverTap;
  /** Told that local state was thrown away, and why. */
  readonly discarded: (partition: number, reason: string) => void;
  /** Told why the process ended of itself; not when it was told to. */
  readonly failed: (error: unknown) => void;
}

/**
 * A process of the application with one engine thread, from its start to its death: the membership, the host of tasks,
 * its rounds, the choice of databases and the tasks are the shipped ones. What `Engine` and `EngineWorker` tell each other
 * for them is here, since those start threads.
 */
export class SimulatedProcess {
  readonly incarnation: Incarnation;
  readonly #options: ProcessOptions;
  readonly #log: ProcessLog;
  readonly #membership: GroupMembership;
  readonly #host: TaskHost;
  readonly #rounds: TaskRounds;
  readonly #stop = new AbortController();
  #owned: readonly number[] = [];
  #version = 0;

  constructor(options: ProcessOptions) {
    const { application, incarnation, disk, group } = options;
    const { topology, partitions, sessionTimeoutMs, settings } = application;
    const clock = options.log.clock;
    this.#options = options;
    this.incarnation = incarnation;
    this.#log = new ProcessLog(options.log);
    const databases = new TaskDatabases({
      folders: new ProcessFolders(disk, incarnation),
      taskBytes: Math.floor(settings.cacheBytes / partitions),
      evades: true,
    });
    this.#membership = new GroupMembership({
      kafka: { bootstrapServers: [], clientId: "" },
      applicationId: topology.applicationId,
      topics: partitionedInputs(topology).map(({ topic }) => topic),
      partitions,
      stateDir: "",
      sessionTimeoutMs,
      clock,
      timers: incarnation,
      client: group.client(incarnation),
      // A process that comes back is a new member here: the harder case.
      claimIdentity: () => Promise.resolve({ id: "", release: () => Promise.resolve() }),
      writtenMs: (partition) => disk.found(partition)[0]?.openedMs,
      url: () => null,
    });
    this.#host = new TaskHost({
      around: {
        topology,
        partitions,
        log: this.#log,
        registry: application.registry,
        schemaIds: application.schemaIds,
        settings,
        clock,
        timers: incarnation,
        meter: noMeter,
        globalTables: new Map(),
        scorers: application.scorersOf(incarnation),
        ends: {},
        openDatabase: (partition, discard) => databases.open(partition, discard),
        tap: options.tap,
        takeOverTap: options.takeOverTap,
        onDiscard: options.discarded,
      },
      databases,
      clock,
      report: (message) => this.#receive(message),
      wake: () => this.#rounds.wake(),
    });
    this.#rounds = new TaskRounds({
      host: this.#host,
      log: this.#log,
      clock,
      timers: incarnation,
      settings,
      globalTables: [],
      progress: () => this.#membership.progressed(new Map(this.tasks.map((task) => [task.partition, task.positions]))),
      signal: this.#stop.signal,
    });
  }

  get tasks(): readonly Task[] {
    return this.#host.tasks;
  }

  /** Whether the disk holds a database of a task that was damaged. */
  harmed(partition: number): boolean {
    return this.#options.disk.harmed(partition);
  }

  /** Runs until `stop` or until it fails. */
  async run(): Promise<void> {
    try {
      await this.#membership.join({
        owned: ({ partitions, generation }) => this.#own(partitions, generation),
        held: () => {},
        failed: (error) => this.#options.failed(error),
      });
      await this.#rounds.run();
      await this.#host.close().catch(() => {});
      await this.#membership.leave();
      await this.#log.close();
    } catch (error) {
      void this.#membership.leave();
      this.#options.failed(error);
    }
  }

  #own(partitions: readonly number[], generation: number): void {
    if (this.#stop.signal.aborted) return;
    this.#owned = partitions;
    this.#host.own(++this.#version, partitions, generation);
    this.#rounds.wake();
  }

  #receive(message: ThreadReport): void {
    if (message.kind === "released") {
      if (message.version === this.#version) this.#membership.released(this.#owned);
    } else if (message.kind === "fenced") this.#membership.fenced(message.partition);
  }

  /** As SIGTERM: finishes what is under way and leaves the group. */
  stop(): void {
    this.#stop.abort();
  }
}

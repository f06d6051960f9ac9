import { type Clock, systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { systemTimers, type Timers } from "../core/timers.ts";
import { type GroupAssignment, type GroupClient, KafkaGroup, type MemberState } from "../log/kafka-group.ts";
import type { KafkaOptions } from "../log/kafka-options.ts";
import { partitionedInputs } from "../task/application.ts";
import type { Topology } from "../topology/graph.ts";
import { type HeldIdentity, MemberIdentity } from "./member-identity.ts";
import type { GroupView, Membership, MembershipEvents, TaskPositions } from "./membership.ts";
import { taskFolders } from "./task-folders.ts";

export interface GroupMembershipOptions {
  readonly kafka: KafkaOptions;
  readonly applicationId: string;
  /** Partitioned inputs of the application. */
  readonly topics: readonly string[];
  readonly partitions: number;
  /** Folder of the application's databases: a task goes by preference to who has its state. */
  readonly stateDir: string;
  /** Default 6,000. */
  readonly sessionTimeoutMs?: number;
  readonly clock: Clock;
  /** Default: those of the system. */
  readonly timers?: Timers;
  /** Default: connections of its own. */
  readonly client?: GroupClient;
  /** Who this process is across restarts; default: an identity held in `stateDir`. */
  readonly claimIdentity?: (stateDir: string) => Promise<HeldIdentity>;
  /** When the local state of a task was last written, in ms; default: as the files in `stateDir` say. */
  readonly writtenMs?: (partition: number) => number | undefined;
  /** Address for queries; null when this process answers none. */
  readonly url: () => string | null;
}

const sessionTimeoutMsDefault = 6000;

/** Between two times that positions are told for tools, in ms. */
const positionsEveryMs = 1000;

/** Between two looks at whether fenced tasks are still ours, in ms. */
const fencedEveryMs = 200;

/** Between two attempts to claim an identity where the disk takes none, in ms; doubled up to the second. */
const claimMs = 100;
const claimMaxMs = 10_000;

/** The processes of an application as one consumer group of Kafka, named as the application. */
export class GroupMembership implements Membership {
  readonly #options: GroupMembershipOptions;
  #group: KafkaGroup | null = null;
  #identity: HeldIdentity | null = null;
  #events: MembershipEvents | null = null;
  #assignment: GroupAssignment | null = null;
  /** Tasks that may still be open here. */
  #open: readonly number[] = [];
  /** Fenced tasks that wait until the coordinator has confirmed the membership after this, as `Clock.monotonic`. */
  readonly #fenced = new Map<number, number>();
  #retrying = false;
  #run = 0;
  #toldMs = 0;
  readonly #leaving = new AbortController();

  constructor(options: GroupMembershipOptions) {
    this.#options = options;
  }

  get #left(): boolean {
    return this.#leaving.signal.aborted;
  }

  async join(events: MembershipEvents): Promise<void> {
    const options = this.#options;
    this.#events = events;
    const identity = await this.#claim(events);
    if (identity === undefined) return;
    if (this.#left) {
      await identity.release();
      return;
    }
    this.#identity = identity;
    this.#group = new KafkaGroup({
      instanceId: identity.id,
      kafka: options.kafka,
      groupId: options.applicationId,
      topics: options.topics,
      tasks: options.partitions,
      clock: options.clock,
      timers: options.timers,
      client: options.client,
      sessionTimeoutMs: options.sessionTimeoutMs ?? sessionTimeoutMsDefault,
      state: () => this.#state(),
      assigned: (assignment) => this.#assigned(assignment),
      lost: () => this.#lost(),
      failed: (error) => events.failed(error),
    });
    this.#group.start();
  }

  /** Waits for a disk that is full or may not be written, as tasks do. @returns undefined when it is left meanwhile */
  async #claim(events: MembershipEvents): Promise<HeldIdentity | undefined> {
    const { stateDir, timers = systemTimers } = this.#options;
    const { claimIdentity = (folder) => MemberIdentity.claim(folder) } = this.#options;
    for (let failures = 0; !this.#left; failures++) {
      try {
        const identity = await claimIdentity(stateDir);
        if (failures > 0 && !this.#left) events.held(null);
        return identity;
      } catch (error) {
        if (!(error instanceof KappaError) || error.code !== "KAPPA_STATE_FAILED") throw error;
        if (failures === 0 && !this.#left) events.held(error.message);
      }
      await timers.sleep(Math.min(claimMaxMs, claimMs * 2 ** failures), this.#leaving.signal);
    }
    return undefined;
  }

  #state(): MemberState {
    const { partitions, writtenMs: writtenMsOf = this.#openedMs() } = this.#options;
    const stored: Record<number, number> = {};
    for (let partition = 0; partition < partitions; partition++) {
      const writtenMs = writtenMsOf(partition);
      if (writtenMs !== undefined) stored[partition] = writtenMs;
    }
    return { owned: this.#open, stored, url: this.#options.url(), run: this.#run };
  }

  /** By task: when the newest of its databases was opened. */
  #openedMs(): (task: number) => number | undefined {
    const folders = taskFolders(this.#options.stateDir);
    return (task) => folders.get(task)?.[0]?.openedMs;
  }

  #assigned(assignment: GroupAssignment): void {
    const revoked = this.#open.some((partition) => !assignment.tasks.includes(partition));
    this.#run = assignment.run;
    this.#assignment = assignment;
    // What is taken away stays open until `released`.
    this.#open = [...new Set([...this.#open, ...assignment.tasks])].sort((a, b) => a - b);
    this.#events?.owned({ partitions: assignment.tasks, generation: assignment.run });
    if (!revoked) this.#open = assignment.tasks;
  }

  #lost(): void {
    this.#assignment = null;
    this.#open = [];
    this.#events?.owned({ partitions: [], generation: this.#run });
  }

  released(partitions: readonly number[]): void {
    const others = this.#open.some((partition) => !partitions.includes(partition));
    this.#open = partitions;
    // Others wait for what was given up.
    if (others) this.#group?.rejoin();
  }

  /**
   * Either another process has the task, and this one will hear from the coordinator that it is out; or it was a
   * transaction that took too long, and the task is still ours.
   */
  fenced(partition: number): void {
    if (this.#left) return;
    this.#fenced.set(partition, this.#options.clock.monotonic());
    if (!this.#retrying) void this.#retryFenced();
  }

  async #retryFenced(): Promise<void> {
    const { timers = systemTimers } = this.#options;
    this.#retrying = true;
    while (this.#fenced.size > 0) {
      await timers.sleep(fencedEveryMs);
      const confirmed = [...this.#fenced].filter(([, sinceMs]) => (this.#group?.confirmedMs ?? 0) > sinceMs);
      for (const [partition] of confirmed) this.#fenced.delete(partition);
      const assignment = this.#assignment;
      if (confirmed.length > 0 && assignment !== null)
        this.#events?.owned({ partitions: assignment.tasks, generation: assignment.run });
    }
    this.#retrying = false;
  }

  progressed(positions: ReadonlyMap<number, TaskPositions>): void {
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - this.#toldMs < positionsEveryMs) return;
    this.#toldMs = nowMs;
    void this.#group?.commitOffsets(positions).catch(() => {});
  }

  get group(): GroupView {
    return { joined: this.#assignment !== null, run: this.#run, owners: this.#assignment?.owners ?? {} };
  }

  ownerOf(partition: number): string | undefined {
    return this.#assignment?.owners[partition];
  }

  async leave(): Promise<void> {
    this.#leaving.abort();
    this.#fenced.clear();
    await this.#group?.leave();
    await this.#identity?.release();
  }
}

export interface GroupOptions {
  /** As the log was opened with. */
  readonly kafka: KafkaOptions;
  /**
   * How long the brokers wait for a sign of life of this process before its tasks go to others, in ms. Default 6,000, which
   * is also the least that brokers allow unless told otherwise.
   */
  readonly sessionTimeoutMs?: number;
  /** Where this process answers `Engine.read` for others, as they are told by `KAPPA_STATE_ELSEWHERE`; default: nowhere. */
  readonly url?: () => string | null;
}

/**
 * Lets any number of processes share the tasks of an application, as one consumer group with the name of the application:
 *
 *     const log = await KafkaLog.open(kafka);
 *     const engine = await Engine.start({ topology, log, dataDir: ".kappa", membership: groupMembership({ kafka }) });
 *
 * Each process claims an identity beside its local state and keeps it over restarts, so that it is given its tasks again;
 * a task goes by preference to who holds its state.
 *
 * @returns what `Engine.start` takes as `membership`; without it one process runs all tasks, and a second one fences them
 */
export function groupMembership(
  options: GroupOptions,
): (topology: Topology, partitions: number, stateFolder: string) => Membership {
  const { kafka, sessionTimeoutMs, url = () => null } = options;
  return (topology, partitions, stateFolder) =>
    new GroupMembership({
      kafka,
      applicationId: topology.applicationId,
      topics: partitionedInputs(topology).map(({ topic }) => topic),
      partitions,
      stateDir: stateFolder,
      ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
      clock: systemClock,
      url,
    });
}

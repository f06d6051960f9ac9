import { AssignerProtocol } from "kafkajs";
import type { GroupMember } from "kafkajs/src/cluster/index.js";
import type { Clock } from "../core/clock.ts";
import { systemTimers, type Timers } from "../core/timers.ts";
import { type AssignedMember, assignTasks } from "./kafka-assignment.ts";
import { KafkaClient } from "./kafka-client.ts";
import { coordinatorAt, type GroupCoordinator } from "./kafka-coordinator.ts";
import { kafkaError, typeOf } from "./kafka-error.ts";
import type { KafkaOptions } from "./kafka-options.ts";

/** What a member says of itself; travels as user data of the group protocol. */
export interface MemberState {
  readonly owned: readonly number[];
  readonly stored: Readonly<Record<number, number>>;
  /** Where it answers queries; null when it does not. */
  readonly url: string | null;
  /** Number of the run that it takes part in; 0 when it has just come. */
  readonly run: number;
}

/** What a member is told. */
export interface GroupAssignment {
  readonly tasks: readonly number[];
  readonly run: number;
  /** Tasks that nobody is given in this round: each waits until its owner has given it up, which brings another round. */
  readonly withheld: readonly number[];
  /** Addresses by task, as far as members have one. */
  readonly owners: Readonly<Record<number, string>>;
}

/** What a member of a group needs of the cluster. */
export interface GroupClient extends Pick<KafkaClient, "refresh" | "close"> {
  coordinator(kind: "group", id: string): Promise<GroupCoordinator>;
}

export interface KafkaGroupOptions {
  readonly kafka: KafkaOptions;
  readonly groupId: string;
  /** Who this process is across restarts: one that comes back within the session has its tasks at once. */
  readonly instanceId: string;
  /** Input topics, for tools that look at the group; they all have as many partitions as there are tasks. */
  readonly topics: readonly string[];
  readonly tasks: number;
  /** How long the coordinator waits for a sign of life before it shares a member's tasks out, in ms. */
  readonly sessionTimeoutMs: number;
  readonly clock: Clock;
  /** Default: those of the system. */
  readonly timers?: Timers | undefined;
  /** How to reach the coordinator; default: by connections of its own. */
  readonly client?: GroupClient | undefined;
  /** What to say of this process now. */
  readonly state: () => MemberState;
  readonly assigned: (assignment: GroupAssignment) => void;
  /** The membership has ended without us: the tasks may be others' by now. */
  readonly lost: () => void;
  /** The broker refuses: it makes no sense to try again. */
  readonly failed: (error: unknown) => void;
}

const protocolName = "kappa-sticky";
const protocolVersion = 1;

/** How long a member may take to join a round that another has begun, in ms; it hears of it at its next heartbeat. */
const rebalanceTimeoutMs = 10_000;
/** Heartbeats in a session. Also how soon a change is heard of. */
const heartbeatsPerSession = 6;
const backoffMs = 50;
const backoffMaxMs = 1000;

/**
 * This process as a member of a consumer group. The protocol is the classic one, on kafkajs' calls to the coordinator: its
 * own consumer would stop all partitions in every round, and send no heartbeat while state is restored. Here the tasks run
 * on through a round; what the group decides only reaches them when it differs from what they do.
 */
export class KafkaGroup {
  readonly #options: KafkaGroupOptions;
  readonly #client: GroupClient;
  readonly #timers: Timers;
  readonly #closing = new AbortController();
  #coordinator: GroupCoordinator | undefined;
  #memberId = "";
  #generation = -1;
  /** Set when this member wants another round. */
  #rejoin = false;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  /** When the coordinator was last heard to count us in. */
  #confirmedMs = 0;

  constructor(options: KafkaGroupOptions) {
    this.#options = options;
    this.#client = options.client ?? clientOf(options.kafka);
    this.#timers = options.timers ?? systemTimers;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Asks for another round of sharing out. */
  rejoin(): void {
    this.#rejoin = true;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#join();
        failures = 0;
        await this.#beat();
      } catch (error) {
        if (signal.aborted) return;
        if (this.#mend(error)) continue;
        await this.#timers.sleep(Math.min(backoffMaxMs, backoffMs * 2 ** failures++), signal);
      }
    }
  }

  /** @returns whether to go on at once */
  #mend(error: unknown): boolean {
    switch (typeOf(error)) {
      case "REBALANCE_IN_PROGRESS":
        return true;
      case "FENCED_INSTANCE_ID":
      case "UNKNOWN_MEMBER_ID":
      case "ILLEGAL_GENERATION":
        this.#lose();
        return true;
      case "NOT_COORDINATOR_FOR_GROUP":
      case "GROUP_COORDINATOR_NOT_AVAILABLE":
      case "GROUP_LOAD_IN_PROGRESS":
        this.#coordinator = undefined;
        return false;
      default: {
        this.#coordinator = undefined;
        const { groupId } = this.#options;
        const ours = kafkaError(error, `cannot take part in group ${groupId}`, { right: `Read on group ${groupId}` });
        if (ours.recovery === "refuse") {
          this.#options.failed(ours);
          this.#closing.abort();
        } else void this.#client.refresh();
        return false;
      }
    }
  }

  #lose(): void {
    this.#memberId = "";
    this.#generation = -1;
    this.#options.lost();
  }

  async #coordinate(): Promise<GroupCoordinator> {
    this.#coordinator ??= await this.#client.coordinator("group", this.#options.groupId);
    return this.#coordinator;
  }

  async #join(): Promise<void> {
    const { groupId, sessionTimeoutMs, topics, state } = this.#options;
    const { signal } = this.#closing;
    const coordinator = await this.#coordinate();
    signal.throwIfAborted();
    this.#rejoin = false;
    const fresh = this.#memberId === "";
    const userData = Buffer.from(JSON.stringify(state()));
    const metadata = AssignerProtocol.MemberMetadata.encode({
      version: protocolVersion,
      topics: [...topics],
      userData,
    });
    const joined = await coordinator.joinGroup({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      memberId: this.#memberId,
      groupInstanceId: this.#options.instanceId,
      groupProtocols: [{ name: protocolName, metadata }],
    });
    this.#memberId = joined.memberId;
    this.#generation = joined.generationId;
    signal.throwIfAborted();
    const { memberAssignment } = await coordinator.syncGroup({
      groupId,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment: joined.leaderId === joined.memberId ? this.#share(joined.members) : [],
    });
    this.#confirmedMs = this.#options.clock.monotonic();
    const decoded = AssignerProtocol.MemberAssignment.decode(memberAssignment);
    if (decoded === null) return;
    const assignment = JSON.parse(decoded.userData.toString()) as GroupAssignment;
    this.#options.assigned(assignment);
    // One that died while it gave up a task and is back under its name is told what the last round was, without another
    // one: the task would wait for it for ever.
    if (fresh && assignment.withheld.length > 0) this.#rejoin = true;
  }

  /** As the member that leads this round. */
  #share(members: readonly GroupMember[]): { memberId: string; memberAssignment: Buffer }[] {
    const { topics, tasks } = this.#options;
    const states = members.map(({ memberId, memberMetadata }) => ({ id: memberId, ...stateIn(memberMetadata) }));
    const assigned = assignTasks(states, tasks);
    // A run lasts as long as one member of it is there.
    const run = Math.max(...states.map((each) => each.run)) || this.#options.clock.now();
    const owners = ownersOf(states, assigned);
    const given = new Set([...assigned.values()].flat());
    const withheld = Array.from({ length: tasks }, (_, task) => task).filter((task) => !given.has(task));
    return [...assigned].map(([memberId, own]) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({
        version: protocolVersion,
        assignment: Object.fromEntries(topics.map((topic) => [topic, own])),
        userData: Buffer.from(JSON.stringify({ tasks: own, run, withheld, owners } satisfies GroupAssignment)),
      }),
    }));
  }

  /** Heartbeats until another round is due. @throws what the coordinator says of it */
  async #beat(): Promise<void> {
    const { groupId, sessionTimeoutMs } = this.#options;
    while (!this.#closing.signal.aborted && !this.#rejoin) {
      await this.#pause(sessionTimeoutMs / heartbeatsPerSession);
      if (this.#closing.signal.aborted || this.#rejoin) return;
      const coordinator = await this.#coordinate();
      await coordinator.heartbeat({ groupId, groupGenerationId: this.#generation, memberId: this.#memberId });
      this.#confirmedMs = this.#options.clock.monotonic();
    }
  }

  async #pause(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await this.#timers.sleep(ms, woken.signal);
    this.#wake = undefined;
  }

  /** When the coordinator last counted this process in; as `Clock.monotonic`. */
  get confirmedMs(): number {
    return this.#confirmedMs;
  }

  /** Tells where inputs stand. For tools that show lag: nothing here reads it, so a failure is no matter. */
  async commitOffsets(positions: ReadonlyMap<number, Readonly<Record<string, number>>>): Promise<void> {
    if (this.#generation < 0) return;
    const topics = new Map<string, { partition: number; offset: string }[]>();
    for (const [partition, inputs] of positions) {
      for (const [topic, offset] of Object.entries(inputs)) {
        const partitions = topics.get(topic) ?? [];
        partitions.push({ partition, offset: String(offset) });
        topics.set(topic, partitions);
      }
    }
    if (topics.size === 0) return;
    const coordinator = await this.#coordinate();
    await coordinator.offsetCommit({
      groupId: this.#options.groupId,
      groupGenerationId: this.#generation,
      memberId: this.#memberId,
      topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })),
    });
  }

  /** Leaves the group, so that the others need not wait for the session to end. */
  async leave(): Promise<void> {
    this.#closing.abort();
    this.#wake?.();
    const memberId = this.#memberId;
    if (memberId !== "") {
      const left = this.#coordinate().then((coordinator) =>
        coordinator.leaveGroup({ groupId: this.#options.groupId, memberId }),
      );
      const waited = new AbortController();
      await Promise.race([left.catch(() => {}), this.#timers.sleep(backoffMaxMs, waited.signal)]);
      waited.abort();
    }
    await this.#client.close();
    await this.#running;
  }
}

function stateIn(metadata: Buffer): MemberState {
  const decoded = AssignerProtocol.MemberMetadata.decode(metadata);
  if (decoded === null) return { owned: [], stored: {}, url: null, run: 0 };
  return JSON.parse(decoded.userData.toString()) as MemberState;
}

/** Who answers for each task: whoever is to run it, or still does. */
function ownersOf(
  members: readonly (AssignedMember & MemberState)[],
  assigned: ReadonlyMap<string, readonly number[]>,
): Record<number, string> {
  const owners: Record<number, string> = {};
  for (const { owned, url } of members) if (url !== null) for (const task of owned) owners[task] = url;
  for (const { id, url } of members) if (url !== null) for (const task of assigned.get(id) ?? []) owners[task] = url;
  return owners;
}

function clientOf(kafka: KafkaOptions): GroupClient {
  const client = new KafkaClient(kafka);
  return {
    coordinator: async (kind, id) => coordinatorAt(await client.coordinator(kind, id)),
    refresh: () => client.refresh(),
    close: () => client.close(),
  };
}

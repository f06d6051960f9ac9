import type { GroupCoordinator as GroupBroker } from "../../src/log/kafka-coordinator.ts";
import type { GroupClient } from "../../src/log/kafka-group.ts";
import type { Incarnation } from "./incarnation.ts";
import { type Network, Refusal } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";

type JoinRequest = Parameters<GroupBroker["joinGroup"]>[0];
type Joined = Awaited<ReturnType<GroupBroker["joinGroup"]>>;
type SyncRequest = Parameters<GroupBroker["syncGroup"]>[0];
type Synced = Awaited<ReturnType<GroupBroker["syncGroup"]>>;

interface Member {
  readonly id: string;
  readonly sessionTimeoutMs: number;
  metadata: Buffer;
  heardMs: number;
  join: ((joined: Joined) => void) | null;
  sync: { readonly resolve: (synced: Synced) => void; readonly reject: (error: Refusal) => void } | null;
  assignment: Buffer;
}

/** The broker that it runs on. */
const coordinator = 0;

/** How long the first member of a group waits for others, in ms. */
const firstRoundMs = 50;

/**
 * The coordinator of a consumer group, in the classic protocol: members join, one of them shares out, all are told;
 * whoever is not heard of for the time of a session is out, and hears so when it speaks again. It sees members by
 * their requests alone, so one that is stopped goes on believing what it last heard.
 */
export class GroupCoordinator {
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #members = new Map<string, Member>();
  #phase: "empty" | "joining" | "sharing" | "stable" = "empty";
  #generation = 0;
  #leader = "";
  #named = 0;
  /** Counts rounds of joining, so that the end of one finds its own. */
  #round = 0;

  constructor(scheduler: Scheduler, network: Network) {
    this.#scheduler = scheduler;
    this.#network = network;
  }

  /** The way of one process to it. */
  client(from: Incarnation): GroupClient {
    const closing = new AbortController();
    const ask = <Answer>(kind: string, handle: () => Answer | Promise<Answer>): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const closed = (): void => reject(new Error("the connection was closed"));
        if (closing.signal.aborted) closed();
        closing.signal.addEventListener("abort", closed, { once: true });
        this.#network.request(from, coordinator, kind, handle).then(resolve, reject);
      });
    const broker: GroupBroker = {
      joinGroup: (request) => ask("JoinGroup", () => this.#join(request)),
      syncGroup: (request) => ask("SyncGroup", () => this.#sync(request)),
      heartbeat: ({ memberId, groupGenerationId }) => ask("Heartbeat", () => this.#beat(memberId, groupGenerationId)),
      leaveGroup: ({ memberId }) => ask("LeaveGroup", () => this.#leave(memberId)),
      offsetCommit: ({ memberId, groupGenerationId }) =>
        ask("OffsetCommit", () => void this.#member(memberId, groupGenerationId)),
    };
    return {
      coordinator: () => Promise.resolve(broker),
      refresh: () => Promise.resolve(),
      close: async () => closing.abort(),
    };
  }

  #join({ memberId, sessionTimeout, rebalanceTimeout, groupProtocols }: JoinRequest): Promise<Joined> {
    let member = this.#members.get(memberId);
    const metadata = groupProtocols[0]?.metadata ?? Buffer.alloc(0);
    if (member === undefined) {
      if (memberId !== "") throw new Refusal("UNKNOWN_MEMBER_ID");
      // Names ascend as those of a real group do not: which member leads is the coordinator's affair.
      const id = `member-${++this.#named}`;
      const fresh = { metadata, heardMs: 0, join: null, sync: null, assignment: Buffer.alloc(0) };
      member = { id, sessionTimeoutMs: sessionTimeout, ...fresh };
      this.#members.set(id, member);
    }
    member.metadata = metadata;
    const joining = member;
    return new Promise((resolve) => {
      joining.join = resolve;
      if (this.#phase !== "joining") this.#prepare(this.#phase === "empty" ? firstRoundMs : rebalanceTimeout);
      this.#completeIfAll();
    });
  }

  #prepare(timeoutMs: number): void {
    const first = this.#phase === "empty";
    this.#phase = "joining";
    for (const member of this.#members.values()) {
      member.sync?.reject(new Refusal("REBALANCE_IN_PROGRESS"));
      member.sync = null;
    }
    const round = ++this.#round;
    this.#scheduler.after(timeoutMs, () => {
      if (this.#phase === "joining" && this.#round === round) this.#complete();
    });
    this.#firstRound = first ? round : -1;
  }

  /** The round that waits for more members although all that are known are there; -1 for none. */
  #firstRound = -1;

  #completeIfAll(): void {
    if (this.#phase !== "joining" || this.#round === this.#firstRound) return;
    if ([...this.#members.values()].every(({ join }) => join !== null)) this.#complete();
  }

  #complete(): void {
    for (const member of [...this.#members.values()]) if (member.join === null) this.#members.delete(member.id);
    const members = [...this.#members.values()];
    this.#generation++;
    if (members.length === 0) {
      this.#phase = "empty";
      return;
    }
    this.#phase = "sharing";
    if (!this.#members.has(this.#leader)) this.#leader = (members[0] as Member).id;
    for (const member of members) {
      const leads = member.id === this.#leader;
      member.join?.({
        generationId: this.#generation,
        leaderId: this.#leader,
        memberId: member.id,
        members: leads ? members.map(({ id, metadata }) => ({ memberId: id, memberMetadata: metadata })) : [],
      });
      member.join = null;
      member.assignment = Buffer.alloc(0);
      this.#heard(member);
    }
  }

  #member(id: string, generation: number): Member {
    const member = this.#members.get(id);
    if (member === undefined) throw new Refusal("UNKNOWN_MEMBER_ID");
    if (generation !== this.#generation) throw new Refusal("ILLEGAL_GENERATION");
    return member;
  }

  #sync({ memberId, generationId, groupAssignment }: SyncRequest): Promise<Synced> {
    const member = this.#member(memberId, generationId);
    if (this.#phase === "joining") throw new Refusal("REBALANCE_IN_PROGRESS");
    this.#heard(member);
    if (this.#phase === "stable") return Promise.resolve({ memberAssignment: member.assignment });
    return new Promise((resolve, reject) => {
      member.sync = { resolve, reject };
      if (memberId !== this.#leader) return;
      for (const { memberId: id, memberAssignment } of groupAssignment) {
        const assigned = this.#members.get(id);
        if (assigned !== undefined) assigned.assignment = memberAssignment;
      }
      this.#phase = "stable";
      for (const each of this.#members.values()) {
        each.sync?.resolve({ memberAssignment: each.assignment });
        each.sync = null;
      }
    });
  }

  #beat(id: string, generation: number): void {
    this.#heard(this.#member(id, generation));
    if (this.#phase === "joining") throw new Refusal("REBALANCE_IN_PROGRESS");
  }

  /** A sign of life; another one must come within the session. */
  #heard(member: Member): void {
    const heardMs = this.#scheduler.monotonic();
    member.heardMs = heardMs;
    this.#scheduler.after(member.sessionTimeoutMs, () => {
      if (this.#members.get(member.id) !== member || member.heardMs !== heardMs || member.join !== null) return;
      // A coordinator that was away knows of no time in which it could have heard of anyone.
      if (this.#network.isUp(coordinator)) this.#leave(member.id);
      else this.#heard(member);
    });
  }

  #leave(id: string): void {
    if (!this.#members.delete(id)) throw new Refusal("UNKNOWN_MEMBER_ID");
    if (this.#members.size === 0) {
      this.#phase = "empty";
      this.#round++;
      this.#generation++;
      return;
    }
    if (this.#phase !== "joining") this.#prepare(rebalanceTimeoutMs);
    this.#completeIfAll();
  }
}

/** Where a member left: as long as those that are left have to join, in ms. */
const rebalanceTimeoutMs = 10_000;

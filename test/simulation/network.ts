import type { Incarnation } from "./incarnation.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** What a broker answers instead of a result, by the name that kafkajs gives it. */
export class Refusal extends Error {
  readonly type: string;

  constructor(type: string) {
    super(`the broker says ${type}`);
    this.type = type;
  }
}

/** Of the next request to which it applies. */
export type RequestFault =
  /** It never arrives. */
  | "lost"
  /** It arrives long after its sender gave up. */
  | "late"
  /** It is carried out, but nobody hears of it. */
  | "unanswered"
  /** It is carried out, and again later; only the first is heard of. */
  | "twice";

/** What can come over requests: a fault of one, or something that lasts and counts once. */
export type NetworkFault = RequestFault | "outage" | "storm";

/** How the network is while it is not calm. Shares are of requests. */
export interface Weather {
  readonly faultShare: number;
  /** Longest that a request or an answer is under way, in ms. */
  readonly delayMs: number;
}

/** Something that goes wrong for a while, and whether a request has met it yet. */
interface Trouble {
  met: boolean;
}

/** Share of requests under way that are lost with their sender. */
const lostAfterDeath = 0.3;

/** How long a request or its second copy may be on a detour, in ms. */
const detourMs = 3000;

/**
 * A broker under the rules that kafkajs speaks cannot tell a second `EndTxn` from that of the next transaction. What
 * keeps the writer from harm is that a connection keeps its order: the second comes before whatever is sent next.
 */
const inOrder = new Set(["EndTxn"]);

const ignore = (): void => {};

export const requestFaults: readonly RequestFault[] = ["lost", "late", "unanswered", "twice"];

/**
 * Requests of processes to brokers. A request is carried out at some time between its sending and its answer, also when
 * its sender has died meanwhile; what goes wrong with it the sender only hears as a connection that ended.
 */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  /** Told of each fault when it came true. */
  readonly #suffered: (fault: NetworkFault) => void;
  /** Of each broker; null while it runs. */
  readonly #outages: (Trouble | null)[];
  /** Longest that a packet is under way in calm weather, in ms. */
  usualDelayMs = 0.5;
  #storm: (Weather & Trouble) | null = null;
  /** Faults that wait for a request of a kind. */
  readonly #planned = new Map<string, RequestFault[]>();

  constructor(scheduler: Scheduler, random: Random, brokers: number, suffered: (fault: NetworkFault) => void) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#suffered = suffered;
    this.#outages = new Array(brokers).fill(null);
  }

  set weather(weather: Weather) {
    this.#storm = { ...weather, met: false };
  }

  calmDown(): void {
    this.#storm = null;
  }

  setUp(broker: number, up: boolean): void {
    this.#outages[broker] = up ? null : { met: false };
  }

  isUp(broker: number): boolean {
    return this.#outages[broker] === null;
  }

  #meet(trouble: Trouble, fault: NetworkFault): void {
    if (trouble.met) return;
    trouble.met = true;
    this.#suffered(fault);
  }

  /** The next request of a kind is not answered. */
  plan(kind: string, fault: RequestFault): void {
    const planned = this.#planned.get(kind);
    if (planned === undefined) this.#planned.set(kind, [fault]);
    else planned.push(fault);
  }

  clear(): void {
    this.#planned.clear();
    this.#storm = null;
    this.#outages.fill(null);
  }

  /** How long a packet is under way. */
  delay(): number {
    const storm = this.#storm;
    const delayMs = this.#random.delay(0.05, storm?.delayMs ?? this.usualDelayMs);
    if (storm !== null && delayMs > this.usualDelayMs) this.#meet(storm, "storm");
    return delayMs;
  }

  /**
   * @param kind `EndTxn`, `Fetch`, ...
   * @param handle what the broker does; it may throw a `Refusal`, or answer later
   * @returns the answer; rejects with a refusal of the broker, or when the connection ended
   */
  request<Answer>(
    from: Incarnation,
    broker: number,
    kind: string,
    handle: () => Answer | Promise<Answer>,
  ): Promise<Answer> {
    if (!from.alive) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      const planned = this.#planned.get(kind)?.shift();
      // One that comes twice is counted when it has.
      if (planned !== undefined && planned !== "twice") this.#suffered(planned);
      const fault = planned ?? this.#faultOfStorm();
      const heard = fault === undefined || fault === "twice";
      const cut = (): void => reject(new Error(`connection to broker ${broker} ended during ${kind}`));
      // A connection that is cut is seen at once; one that hangs only by a timeout.
      if (!heard)
        from.after(this.#random.chance(0.5) ? this.#random.delay(1, 50) : this.#random.between(500, 2000), cut);
      if (fault === "lost") return;
      const underWayMs = fault === "late" ? this.#random.between(5, detourMs) : this.delay();
      this.#scheduler.after(underWayMs, () => {
        // What a process had handed to its system is sent after its death, as a rule.
        if (!from.alive && this.#random.chance(lostAfterDeath)) return;
        if (!this.#reaches(broker)) {
          if (heard) from.after(this.#random.delay(0.5, 20), cut);
          return;
        }
        const againMs = fault === "twice" ? this.#repeat(broker, handle, planned === "twice") : 0;
        // A broker that lets an answer wait keeps the newer of two copies, and the first is never answered.
        if (againMs > 0) from.after(againMs + detourMs, cut);
        const heldMs = inOrder.has(kind) ? againMs : 0;
        const answered = (value: Answer): void => from.after(heldMs + this.delay(), () => resolve(value));
        const refused = (error: unknown): void => from.after(heldMs + this.delay(), () => reject(error));
        try {
          const answer = handle();
          if (answer instanceof Promise) answer.then(heard ? answered : ignore, heard ? refused : ignore);
          else if (heard) answered(answer);
        } catch (error) {
          if (heard) refused(error);
        }
      });
    });
  }

  #reaches(broker: number): boolean {
    const outage = this.#outages[broker];
    if (outage === null || outage === undefined) return true;
    this.#meet(outage, "outage");
    return false;
  }

  /** Carries a request out once more. @returns in how many ms */
  #repeat(broker: number, handle: () => unknown, counted: boolean): number {
    const againMs = this.#random.one([1, 20, detourMs]) * (1 - this.#random.fraction());
    this.#scheduler.after(againMs, () => {
      if (!this.#reaches(broker)) return;
      if (counted) this.#suffered("twice");
      try {
        const answer = handle();
        if (answer instanceof Promise) answer.catch(ignore);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    });
    return againMs;
  }

  #faultOfStorm(): RequestFault | undefined {
    const storm = this.#storm;
    if (storm === null || storm.faultShare === 0 || !this.#random.chance(storm.faultShare)) return undefined;
    this.#meet(storm, "storm");
    return this.#random.one(requestFaults);
  }
}

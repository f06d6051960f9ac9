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
  | "unanswered";

/** How the network is while it is not calm. Shares are of requests. */
export interface Weather {
  readonly faultShare: number;
  /** Longest that a request or an answer is under way, in ms. */
  readonly delayMs: number;
}

/** Share of requests under way that are lost with their sender. */
const lostAfterDeath = 0.3;

const ignore = (): void => {};

const faults: readonly RequestFault[] = ["lost", "late", "unanswered"];

/**
 * Requests of processes to brokers. A request is carried out at some time between its sending and its answer, also when
 * its sender has died meanwhile; what goes wrong with it the sender only hears as a connection that ended.
 */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  /** Whether each broker runs. */
  readonly #up: boolean[];
  /** Longest that a packet is under way in calm weather, in ms. */
  usualDelayMs = 0.5;
  #weather: Weather | null = null;
  /** Faults that wait for a request of a kind. */
  readonly #planned = new Map<string, RequestFault[]>();
  /** Faults that came true, for the report. */
  suffered = 0;

  constructor(scheduler: Scheduler, random: Random, brokers: number) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#up = new Array(brokers).fill(true);
  }

  set weather(weather: Weather) {
    this.#weather = weather;
  }

  calmDown(): void {
    this.#weather = null;
  }

  setUp(broker: number, up: boolean): void {
    this.#up[broker] = up;
  }

  isUp(broker: number): boolean {
    return this.#up[broker] === true;
  }

  /** The next request of a kind is not answered. */
  plan(kind: string, fault: RequestFault): void {
    const planned = this.#planned.get(kind);
    if (planned === undefined) this.#planned.set(kind, [fault]);
    else planned.push(fault);
  }

  clear(): void {
    this.#planned.clear();
    this.#weather = null;
    this.#up.fill(true);
  }

  /** How long a packet is under way. */
  delay(): number {
    return this.#random.delay(0.05, this.#weather?.delayMs ?? this.usualDelayMs);
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
      const fault = this.#faultOf(kind);
      const cut = (): void => reject(new Error(`connection to broker ${broker} ended during ${kind}`));
      if (fault !== undefined) {
        this.suffered++;
        // A connection that is cut is seen at once; one that hangs only by a timeout.
        from.after(this.#random.chance(0.5) ? this.#random.delay(1, 50) : this.#random.between(500, 2000), cut);
        if (fault === "lost") return;
      }
      const underWayMs = fault === "late" ? this.#random.between(5, 3000) : this.delay();
      this.#scheduler.after(underWayMs, () => {
        // What a process had handed to its system is sent after its death, as a rule.
        if (!from.alive && this.#random.chance(lostAfterDeath)) return;
        if (this.#up[broker] !== true) {
          if (fault === undefined) from.after(this.#random.delay(0.5, 20), cut);
          return;
        }
        const answered = (value: Answer): void => from.after(this.delay(), () => resolve(value));
        const refused = (error: unknown): void => from.after(this.delay(), () => reject(error));
        try {
          const answer = handle();
          if (answer instanceof Promise)
            answer.then(fault === undefined ? answered : ignore, fault === undefined ? refused : ignore);
          else if (fault === undefined) answered(answer);
        } catch (error) {
          if (fault === undefined) refused(error);
        }
      });
    });
  }

  #faultOf(kind: string): RequestFault | undefined {
    const planned = this.#planned.get(kind)?.shift();
    if (planned !== undefined) return planned;
    const faultShare = this.#weather?.faultShare ?? 0;
    return faultShare > 0 && this.#random.chance(faultShare) ? this.#random.one(faults) : undefined;
  }
}

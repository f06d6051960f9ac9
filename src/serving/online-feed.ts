import type { SchemaRegistry } from "../codec/schema-registry.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Counter, Gauge, Histogram } from "../core/meter.ts";
import type { Log } from "../log/log.ts";
import type { MeterScope } from "../observability/thread-meter.ts";
import type { OnlineBatch, OnlineStore } from "./online-store.ts";
import type { OnlineTable } from "./online-table.ts";
import { PartitionFollower } from "./partition-follower.ts";

/**
 * Shortest time between the starts of two rounds, in ms, unless records are left over: what commits every few ms goes out
 * together, so that a light load costs 50 calls a second and not one a commit.
 */
const roundMs = 20;

/** How often the store is asked whether it still is where it was left, in ms: one that comes back empty does not say so. */
const checkMs = 5000;

/** How long to wait for the log to say that there is more, in ms. */
const idleMs = 1000;

/** Between two attempts at a store that is away, in ms: the first and the longest. */
const retryMs = 100;
const retryMsMax = 1000;

export interface OnlineFeedOptions {
  readonly tables: readonly OnlineTable[];
  /** Tasks of the application; partition p of a topic is followed where task `p % tasks` is run. */
  readonly tasks: number;
  readonly log: Log;
  readonly store: OnlineStore;
  readonly registry: SchemaRegistry;
  readonly clock: Clock;
  readonly meter: { open(): MeterScope };
}

/** How the feed is getting on. */
export interface OnlineStatus {
  /** What is the matter; undefined while the store answers. */
  readonly trouble: string | undefined;
  /** Records that are durable and not in the store, of the partitions followed here, as far as they are known. */
  readonly lag: number;
}

/** When a feed that is to end gives up what is left to do. */
export interface OnlineEnding {
  /** Ms from now. */
  readonly limitMs: number;
  /** Ms in which the store takes nothing. */
  readonly patienceMs: number;
}

/** What a round left: records at hand, those that come by the next round, or nothing that was seen. */
type Left = "more" | "later" | "nothing";

/**
 * Keeps the tables of an application in the online store, apart from its tasks: what it does and where it stands is known
 * to the store alone, and a store that is away holds up nothing but itself.
 */
export class OnlineFeed {
  readonly #options: OnlineFeedOptions;
  readonly #followers = new Map<string, PartitionFollower>();
  readonly #up: Gauge;
  readonly #storeErrors: Counter;
  readonly #putSeconds: Histogram;
  /** Tasks that this process runs. */
  #owned: ReadonlySet<number> = new Set();
  /** Whether `#followers` are those of `#owned`. */
  #settled = true;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #trouble: string | undefined = "not yet connected";
  #ending: { readonly limitAtMs: number; readonly patienceMs: number; progressMs: number } | null = null;
  /** Whether something was said since the last pause. */
  #roused = false;
  #wake: (() => void) | null = null;
  #change: Promise<void> | null = null;

  constructor(options: OnlineFeedOptions) {
    this.#options = options;
    const meter = options.meter.open();
    this.#up = meter.gauge("kappa_online_store_up");
    this.#storeErrors = meter.counter("kappa_online_store_errors_total", "store");
    this.#putSeconds = meter.histogram("kappa_online_store_put_seconds");
  }

  /** The tasks that this process runs from now on. Others may run them for a while, too. */
  own(tasks: readonly number[]): void {
    this.#owned = new Set(tasks);
    this.#settled = false;
    this.#rouse();
  }

  #rouse(): void {
    this.#roused = true;
    this.#wake?.();
  }

  get status(): OnlineStatus {
    let lag = 0;
    for (const follower of this.#followers.values()) lag += follower.lag;
    return { trouble: this.#trouble, lag };
  }

  /** Gauges, now and then. */
  sample(): void {
    this.#up.set(this.#trouble === undefined ? 1 : 0);
    for (const follower of this.#followers.values()) follower.sample();
  }

  /** Follows until `end` was called and everything is in the store, or it gave up. @returns whether everything is */
  async run(): Promise<boolean> {
    let failures = 0;
    for (;;) {
      const startMs = this.#options.clock.monotonic();
      let left: Left = "nothing";
      try {
        left = await this.round();
        failures = 0;
        if (left === "nothing" && this.#ending !== null && (await this.#complete())) return true;
      } catch (error) {
        await this.failed(error);
        failures++;
      }
      if (this.#givenUp(left)) return false;
      if (failures > 0) {
        await this.#pause(Math.min(retryMs * 2 ** (failures - 1), retryMsMax));
        continue;
      }
      if (left === "more") continue;
      if (left === "nothing") await this.#pause(idleMs, this.#changed());
      await this.#pause(startMs + roundMs - this.#options.clock.monotonic());
    }
  }

  /** One waiter at a time is what a log takes. */
  #changed(): Promise<void> {
    this.#change ??= this.#options.log.changed(idleMs).finally(() => {
      this.#change = null;
    });
    return this.#change;
  }

  /** Lets `run` end. */
  end({ limitMs, patienceMs }: OnlineEnding): void {
    const nowMs = this.#options.clock.monotonic();
    this.#ending = { limitAtMs: nowMs + limitMs, patienceMs, progressMs: nowMs };
    this.#rouse();
  }

  #givenUp(left: Left): boolean {
    const ending = this.#ending;
    if (ending === null) return false;
    const nowMs = this.#options.clock.monotonic();
    if (left !== "nothing") ending.progressMs = nowMs;
    return nowMs >= ending.limitAtMs || nowMs - ending.progressMs >= ending.patienceMs;
  }

  /** Whether the store has everything that is durable now. */
  async #complete(): Promise<boolean> {
    for (const follower of this.#followers.values()) {
      const { topic, partition } = follower.place;
      if (!follower.reached(await this.#options.log.endOffset(topic, partition, "durable"))) return false;
    }
    return true;
  }

  async #pause(ms: number, change?: Promise<void>): Promise<void> {
    if (ms > 0 && !this.#roused) await this.#sleep(ms, change);
    this.#roused = false;
  }

  async #sleep(ms: number, change: Promise<void> | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    await (change === undefined ? woken : Promise.race([woken, change]));
    this.#wake = null;
    clearTimeout(timer);
  }

  /**
   * One batch of each partition that has more, all of them sent at once.
   *
   * @throws KAPPA_SERVICE_UNREACHABLE
   */
  async round(): Promise<Left> {
    const { store, clock } = this.#options;
    if (store.trouble !== undefined) throw new KappaError("KAPPA_SERVICE_UNREACHABLE", store.trouble);
    if (!this.#settled) await this.#follow();
    const followers = [...this.#followers.values()];
    await this.#check(followers);
    await Promise.all(followers.filter(({ openable }) => openable).map((follower) => follower.tryOpen()));
    const gathered: { readonly follower: PartitionFollower; readonly batch: OnlineBatch }[] = [];
    for (const follower of followers) {
      const batch = follower.gather();
      if (batch !== null) gathered.push({ follower, batch });
    }
    if (gathered.length > 0) {
      const startMs = clock.monotonic();
      const positions = await store.put(gathered.map(({ batch }) => batch));
      this.#putSeconds.observe((clock.monotonic() - startMs) / 1000);
      for (const [i, { follower }] of gathered.entries()) follower.settle(positions[i] ?? null);
    }
    this.#trouble = undefined;
    for (const follower of followers) await follower.learn();
    if (followers.some(({ drained }) => !drained)) return "more";
    return gathered.length > 0 ? "later" : "nothing";
  }

  async #check(followers: readonly PartitionFollower[]): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - this.#checkedMs < checkMs) return;
    await Promise.all(followers.map((follower) => follower.checkPlace()));
    await Promise.all(followers.map((follower) => follower.lookAhead()));
    this.#checkedMs = nowMs;
  }

  /** What was under way may have been taken or not: the store is asked where it is before anything is sent again. */
  async failed(error: unknown): Promise<void> {
    if (!(error instanceof KappaError) || error.recovery !== "retry") throw error;
    this.#storeErrors.add(1);
    this.#trouble = error.message;
    const followers = [...this.#followers.values()];
    for (const follower of followers) follower.forget();
    await Promise.all(followers.map((follower) => follower.lookAhead()));
  }

  /** Opens and closes followers until they are those of the tasks run here. */
  async #follow(): Promise<void> {
    const owned = this.#owned;
    const wanted = new Map<string, { readonly table: OnlineTable; readonly partition: number }>();
    let complete = true;
    for (const table of this.#options.tables) {
      const partitions = (await this.#options.log.topic(table.topic))?.partitions;
      if (partitions === undefined) complete = false;
      for (let partition = 0; partition < (partitions ?? 0); partition++) {
        if (owned.has(partition % this.#options.tasks)) wanted.set(`${table.name}:${partition}`, { table, partition });
      }
    }
    for (const [name, follower] of this.#followers) {
      if (wanted.has(name)) continue;
      follower.close();
      this.#followers.delete(name);
    }
    const { log, store, registry, clock } = this.#options;
    for (const [name, each] of wanted) {
      if (this.#followers.has(name)) continue;
      const meter = this.#options.meter.open();
      this.#followers.set(name, new PartitionFollower({ ...each, log, store, registry, clock, meter }));
    }
    // Asked again where they changed meanwhile.
    this.#settled = complete && owned === this.#owned;
  }

  close(): void {
    for (const follower of this.#followers.values()) follower.close();
    this.#followers.clear();
  }
}

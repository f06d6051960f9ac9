import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { KappaError } from "../../src/core/errors.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { ThreadMeter } from "../../src/observability/thread-meter.ts";
import { MemoryOnlineStore } from "../../src/serving/memory-online-store.ts";
import { OnlineFeed } from "../../src/serving/online-feed.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { hold, timeoutMs } from "../property/hold.ts";
import { FaultyOnlineStore, type PutFate } from "./faulty-online-store.ts";
import { appendDecisions, customers, type DecisionRecord, decision, ExpectedTables, shops } from "./served-topic.ts";

// Goal: whatever happens on the way, the store ends with the last record of each entity. Method: two processes that follow
// the same partitions, each put of which may be lost, taken without an answer or delivered much later, processes that
// crash and tasks that move, and a store that loses everything or comes back with what it once saved; then quiet.

const partitions = 3;

type Step =
  | { readonly kind: "append"; readonly records: readonly DecisionRecord[] }
  | { readonly kind: "round"; readonly feed: 0 | 1; readonly fate: PutFate }
  | { readonly kind: "both" }
  | { readonly kind: "deliver" }
  | { readonly kind: "crash"; readonly feed: 0 | 1 }
  | { readonly kind: "own"; readonly feed: 0 | 1; readonly tasks: readonly number[] }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "save" }
  | { readonly kind: "lose"; readonly to: "nothing" | "saved" };

const feed = fc.constantFrom<0 | 1>(0, 1);

const record: fc.Arbitrary<DecisionRecord> = fc
  .record({
    customer: fc.integer({ min: 0, max: 5 }),
    shop: fc.integer({ min: 0, max: 2 }),
    timeMs: fc.integer({ min: 0, max: 20 }),
    n: fc.integer({ min: 0, max: 1000 }),
    score: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
    gone: fc.boolean(),
  })
  .map(({ customer, shop, timeMs, n, score, gone }) => ({
    partition: customer % partitions,
    timeMs,
    customer: `c${customer}`,
    // Compared with 0 and -0 alike: JSON knows one zero.
    value: gone && n < 200 ? null : decision(`c${customer}`, n, { shop: `s${shop}`, score: score === 0 ? 0 : score }),
  }));

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      records: fc.array(record, { minLength: 1, maxLength: 8 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("round" as const),
      feed,
      fate: fc.constantFrom<PutFate>("answered", "lost", "unanswered", "delayed"),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: "both" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "deliver" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), feed }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("own" as const), feed, tasks: fc.subarray([0, 1, 2]) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(1, 1500, 6000) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "save" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("lose" as const),
      to: fc.constantFrom("nothing" as const, "saved" as const),
    }),
  },
);

class World {
  readonly log = new MemoryLog();
  readonly clock = new ManualClock();
  readonly store = new MemoryOnlineStore(this.clock);
  readonly expected = new ExpectedTables();
  readonly #delayed: (() => Promise<unknown>)[] = [];
  readonly #stores: FaultyOnlineStore[] = [];
  readonly #feeds: OnlineFeed[] = [];
  readonly #empty = this.store.save();
  #saved = this.#empty;

  async open(): Promise<void> {
    await this.log.createTopic("decisions", { partitions });
    for (const feed of [0, 1] as const) this.#start(feed);
  }

  #start(number: 0 | 1): void {
    const { log, clock } = this;
    const store = new FaultyOnlineStore(this.store, this.#delayed);
    const tables = [customers, shops];
    const registry = new MemorySchemaRegistry();
    const feed = new OnlineFeed({ tables, tasks: partitions, log, store, registry, clock, meter: new ThreadMeter() });
    feed.own([0, 1, 2]);
    this.#stores[number] = store;
    this.#feeds[number] = feed;
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case "append":
        for (const each of step.records) this.expected.add(each);
        return appendDecisions(this.log, step.records);
      case "round": {
        const store = this.#stores[step.feed];
        if (store !== undefined) store.fate = step.fate;
        await this.#round(step.feed);
        return;
      }
      case "both":
        await Promise.all([this.#round(0), this.#round(1)]);
        return;
      case "deliver":
        await this.#delayed.shift()?.();
        return;
      case "crash":
        return this.#start(step.feed);
      case "own":
        return this.#feeds[step.feed]?.own(step.tasks);
      case "pass":
        return this.clock.advance(step.ms);
      case "save":
        this.#saved = this.store.save();
        return;
      case "lose":
        return step.to === "nothing" ? this.#empty() : this.#saved();
      default:
        step satisfies never;
    }
  }

  /** @returns whether nothing was left to do */
  async #round(number: 0 | 1): Promise<boolean> {
    const feed = this.#feeds[number] as OnlineFeed;
    const store = this.#stores[number] as FaultyOnlineStore;
    try {
      return (await feed.round()) === "nothing";
    } catch (error) {
      assert.ok(error instanceof KappaError && error.code === "KAPPA_SERVICE_UNREACHABLE", String(error));
      await feed.failed(error);
      return false;
    } finally {
      store.fate = "answered";
    }
  }

  /** Late puts arrive, then both processes follow everything until neither finds more. */
  async settle(): Promise<void> {
    for (const feed of this.#feeds) feed.own([0, 1, 2]);
    for (const deliver of this.#delayed) await deliver();
    this.clock.advance(6000);
    for (let quiet = 0, rounds = 0; quiet < 4; rounds++) {
      assert.ok(rounds < 200, "it does not come to rest");
      const nothing = await this.#round(rounds % 2 === 0 ? 0 : 1);
      quiet = nothing ? quiet + 1 : 0;
      this.clock.advance(1500);
    }
  }
}

const rule = "the store ends with the last record of each entity, whatever happened on the way";

test(rule, { timeout: timeoutMs }, async () => {
  await hold(rule, 120, fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
    const world = new World();
    await world.open();
    for (const each of steps) await world.take(each);
    await world.settle();
    assert.deepEqual(await world.expected.heldBy(world.store), world.expected.all);
  });
});

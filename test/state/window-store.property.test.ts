// Goal: whatever the order of events, whenever state is flushed, evicted, restarted or restored from a trimmed changelog,
// windows tell what plain lists of events tell, once, in the documented order, to the last bit.

import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import type { Column } from "../../src/codec/column.ts";
import type { Aggregate } from "../../src/state/aggregate.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import type { StateKey } from "../../src/state/state-key.ts";
import type { KeyWindow } from "../../src/state/window.ts";
import { type WindowResult, WindowStore } from "../../src/state/window-store.ts";
import type { PlainEvent } from "./brute-force.ts";
import { type PlainResult, PlainWindows } from "./plain-windows.ts";

const columns: readonly Column[] = [
  { name: "shop", type: "text", nullable: true },
  { name: "cents", type: "integer", nullable: true },
  { name: "amount", type: "number", nullable: true },
  { name: "abroad", type: "boolean", nullable: true },
];

const aggregates: readonly Aggregate[] = [
  { kind: "count" },
  { kind: "count", column: "shop" },
  { kind: "sum", column: "cents" },
  { kind: "sum", column: "amount" },
  { kind: "mean", column: "amount", per: 100 },
  { kind: "variance", column: "amount" },
  { kind: "sd", column: "cents" },
  { kind: "min", column: "amount" },
  { kind: "max", column: "cents" },
  { kind: "distinct", column: "shop" },
  { kind: "first", column: "shop", size: 2 },
  { kind: "last", column: "abroad", size: 3 },
  { kind: "latest", column: "amount" },
  { kind: "top", column: "shop", size: 2 },
  { kind: "percentile", column: "amount", fraction: 0.3 },
  { kind: "ratio", column: "abroad" },
];

const durations = { graceMs: fc.constantFrom(0, 0, 7, 40) };
const anyWindow: fc.Arbitrary<KeyWindow> = fc.oneof(
  fc.record({ kind: fc.constant("tumbling" as const), sizeMs: fc.constantFrom(1, 10, 64), ...durations }),
  fc
    .tuple(fc.constantFrom(1, 4, 10), fc.integer({ min: 2, max: 6 }), durations.graceMs)
    .map(([advanceMs, times, graceMs]) => ({
      kind: "hopping" as const,
      sizeMs: advanceMs * times,
      advanceMs,
      graceMs,
    })),
  fc.record({ kind: fc.constant("session" as const), gapMs: fc.constantFrom(1, 8, 25), ...durations }),
);

/** Amounts whose exact sum takes many bits, and cancels. None whose square underflows: there variances are not exact. */
const amount = fc.oneof(
  fc.constantFrom(0.1, 1e16, -1e16, 1e-20, 2 ** 60, -(2 ** 60), 2 ** 400, 0),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }).map((x) => (Math.abs(x) < 1e-100 ? 0 : x)),
);
const values = fc.record({
  shop: fc.option(fc.constantFrom("a", "b", "c", "ü", "日本"), { freq: 5 }),
  cents: fc.option(fc.oneof(fc.integer({ min: -500, max: 500 }), fc.constantFrom(2 ** 52, -(2 ** 52))), { freq: 5 }),
  amount: fc.option(amount, { freq: 5 }),
  abroad: fc.option(fc.boolean(), { freq: 5 }),
});
type Values = typeof values extends fc.Arbitrary<infer V> ? V : never;

const key: fc.Arbitrary<StateKey> = fc.constantFrom("c1", "c2", "é", 7, -3);

type Step =
  | { readonly kind: "event"; readonly key: StateKey; readonly byMs: number; readonly values: Values }
  | { readonly kind: "commit" | "flush" | "sweep" | "restart" | "lose" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 14,
    arbitrary: fc.record({
      kind: fc.constant("event" as const),
      key,
      byMs: fc.oneof(fc.integer({ min: -30, max: 10 }), fc.integer({ min: 0, max: 4 }), fc.constantFrom(300)),
      values,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("commit", "flush", "sweep", "restart", "lose") }) },
);

/** Both, side by side: the store with a tiny cache, and the lists. */
class Pair {
  readonly #window: KeyWindow;
  readonly #plain: PlainWindows;
  readonly #commits: { readonly orderTimeMs: number; readonly changes: Buffer }[] = [];
  #flushed = 0;
  #backend = new MemoryBackend();
  #database!: StateDatabase;
  #store!: WindowStore;
  #orderTimeMs: number;

  constructor(window: KeyWindow, startMs: number) {
    this.#window = window;
    this.#orderTimeMs = startMs;
    this.#plain = new PlainWindows(window, aggregates);
  }

  async open(): Promise<void> {
    this.#database = await StateDatabase.open({ backend: this.#backend, cacheBytes: 4000 });
    const named = aggregates.map((aggregate, i) => ({ name: `a${i}`, aggregate }));
    this.#store = new WindowStore(this.#database, {
      name: "windows",
      columns,
      window: this.#window,
      aggregates: named,
    });
  }

  async run(step: Step): Promise<void> {
    if (step.kind === "event") return this.#event(step.key, this.#orderTimeMs + step.byMs, step.values);
    this.#commits.push({ orderTimeMs: this.#orderTimeMs, changes: this.#database.takeChangelog() });
    if (step.kind === "flush") {
      const flush = this.#database.beginFlush(Buffer.alloc(1));
      flush.encode(100);
      await flush.write();
      this.#flushed = this.#commits.length;
    }
    if (step.kind === "sweep") {
      await this.#database.sweep(100);
      this.#commits.push({ orderTimeMs: this.#orderTimeMs, changes: this.#database.takeChangelog() });
    }
    if (step.kind === "restart" || step.kind === "lose") await this.#restart(step.kind === "lose");
  }

  #event(key: StateKey, timeMs: number, values: Values): void {
    if (timeMs > this.#orderTimeMs) this.advance(timeMs);
    const nowMs = this.#orderTimeMs;
    const event: PlainEvent = { timeMs, values };
    const late = this.#plain.late(key, timeMs, nowMs);
    assert.equal(this.#store.late(key, timeMs, nowMs), late);
    const expected = this.#plain.add(key, event, nowMs);
    const { shop, cents, amount, abroad } = values;
    const numbers = Float64Array.of(
      cents ?? Number.NaN,
      amount ?? Number.NaN,
      abroad === null ? Number.NaN : Number(abroad),
    );
    this.#store.update(key, timeMs, nowMs, numbers, [shop]);
    const told: PlainResult[] = [];
    this.#store.updated((result) => told.push(copyOf(result)));
    assert.deepEqual(told, expected);
  }

  advance(orderTimeMs: number): void {
    const expected = this.#plain.close(orderTimeMs);
    const told: PlainResult[] = [];
    const before = this.#store.nextCloseMs;
    if (expected.length > 0) assert.ok(before <= orderTimeMs, `next close ${before}, due by ${orderTimeMs}`);
    if (before <= orderTimeMs) this.#store.closeUpTo(orderTimeMs, (result) => told.push(copyOf(result)));
    assert.deepEqual(told, expected);
    this.#orderTimeMs = orderTimeMs;
  }

  async #restart(lost: boolean): Promise<void> {
    // What is older than the database remembers may be trimmed off the log.
    const trimmedMs = this.#orderTimeMs - this.#database.retentionMs;
    if (lost) {
      this.#backend = new MemoryBackend();
      this.#flushed = this.#commits.findIndex(({ orderTimeMs }) => orderTimeMs >= trimmedMs);
    }
    await this.open();
    for (const { changes } of this.#commits.slice(this.#flushed)) this.#database.applyChangelog(changes);
  }

  async end(): Promise<void> {
    this.advance(this.#orderTimeMs + 1000);
    assert.equal(this.#plain.openCount, 0);
    assert.equal(this.#store.nextCloseMs, Number.POSITIVE_INFINITY);
    assert.equal(await this.#database.count("windows"), 0);
    this.#database.takeChangelog();
    await this.#database.beginFlush(Buffer.alloc(1)).write();
    for await (const [key] of this.#backend.entries(Buffer.from([1]), Buffer.from([3]))) {
      assert.fail(`after all windows closed the disk still holds ${key.toString("hex")}`);
    }
  }
}

function copyOf({ key, startMs, endMs, results }: WindowResult): PlainResult {
  return { key, startMs, endMs, results: [...results] };
}

test("windows tell what lists of events tell, through flushes, evictions, restarts and restores", async () => {
  const start = fc.constantFrom(0, -500, 1_700_000_000_000);
  await fc.assert(
    fc.asyncProperty(
      anyWindow,
      start,
      fc.array(step, { maxLength: 60, size: "max" }),
      async (window, startMs, steps) => {
        const pair = new Pair(window, startMs);
        await pair.open();
        for (const each of steps) await pair.run(each);
        await pair.end();
      },
    ),
    { numRuns: 250 },
  );
});

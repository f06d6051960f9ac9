// Goal: features equal those of a plain list of events, bit for bit, whatever happens to the store meanwhile. Method:
// random events with ties, out of order, late and marked, over few keys and a tiny cache; between them flushes that are
// written or lost, evictions, crashes with a restore from the changelog, and queries. The plain list is never disturbed.

import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import type { Aggregate } from "../../src/state/aggregate.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { Reservoir } from "../../src/state/reservoir.ts";
import type { ReservoirOptions } from "../../src/state/reservoir-plan.ts";
import { type PendingFlush, StateDatabase } from "../../src/state/state-database.ts";
import type { EventWindow } from "../../src/state/window.ts";
import { bruteForce, type Horizon, type PlainEvent } from "./brute-force.ts";

const graceMs = 40;

const allKinds: readonly Aggregate[] = [
  { kind: "count" },
  { kind: "count", column: "shop" },
  { kind: "sum", column: "cents" },
  { kind: "sum", column: "amount" },
  { kind: "mean", column: "amount", per: 100 },
  { kind: "variance", column: "amount" },
  { kind: "sd", column: "cents" },
  { kind: "min", column: "amount" },
  { kind: "max", column: "amount" },
  { kind: "distinct", column: "shop" },
  { kind: "first", column: "shop", size: 2 },
  { kind: "last", column: "abroad", size: 3 },
  { kind: "latest", column: "amount" },
  { kind: "top", column: "shop", size: 2 },
  { kind: "percentile", column: "amount", fraction: 0.3 },
  { kind: "ratio", column: "fraud" },
  { kind: "sum", column: "fraud" },
];

const foldableKinds = allKinds.filter(({ kind }) =>
  ["count", "sum", "mean", "variance", "sd", "min", "max", "ratio"].includes(kind),
);

const slidingWindow: fc.Arbitrary<EventWindow> = fc.record({
  kind: fc.constant("sliding" as const),
  sizeMs: fc.integer({ min: 1, max: 120 }),
  delayMs: fc.constantFrom(0, 0, 30),
  closed: fc.constantFrom("right" as const, "both" as const),
  excludeCurrent: fc.boolean(),
});
const countWindow: fc.Arbitrary<EventWindow> = fc.record({
  kind: fc.constant("count" as const),
  size: fc.integer({ min: 1, max: 6 }),
  excludeCurrent: fc.boolean(),
});
const unboundedWindow: fc.Arbitrary<EventWindow> = fc.record({
  kind: fc.constant("unbounded" as const),
  excludeCurrent: fc.boolean(),
});

/** Amounts whose exact sum takes many bits, and cancels. */
const amount = fc.oneof(
  fc.constantFrom(
    0.1,
    0.2,
    0.3,
    -0.1,
    1e16,
    -1e16,
    2 ** 60,
    3e-9,
    -2.5e-20,
    1e-300,
    7,
    2 ** 450,
    1e200,
    Number.NEGATIVE_INFINITY,
  ),
  // Squares of much smaller numbers fall below what a double can hold: there the variance is no longer exact.
  fc.double({ noNaN: true, min: -1000, max: 1000 }).map((value) => (Math.abs(value) < 1e-100 ? 0 : value)),
  fc.constant(null),
);

interface Insert {
  readonly kind: "event";
  readonly key: string | number;
  readonly backMs: number;
  readonly amount: number | null;
  readonly cents: number;
  readonly shop: string | null;
  readonly abroad: boolean | null;
}
/** `settled` is a flush that is written at once; `flush` and `written` leave room for rows in between. */
/** Bytes of entities that one step of a flush encodes: fewer than there are. */
const encodedBytes = 200;

type Upkeep = "commit" | "flush" | "encoded" | "written" | "settled" | "crash" | "wiped" | "sweep";
const upkeep: readonly Upkeep[] = [
  "commit",
  "flush",
  "encoded",
  "written",
  "settled",
  "settled",
  "settled",
  "crash",
  "wiped",
  "sweep",
];

type Step =
  | Insert
  | { readonly kind: "mark"; readonly pick: number; readonly wrong: boolean }
  | { readonly kind: Upkeep }
  | { readonly kind: "advance"; readonly byMs: number }
  | { readonly kind: "read"; readonly key: string | number; readonly backMs: number };

const key = fc.constantFrom<string | number>("a", "a", "a", "ab", 7, -1);
const event: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("event" as const),
  key,
  backMs: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 60 }) },
    fc.integer({ min: 0, max: 300 }),
  ),
  amount,
  cents: fc.oneof(
    fc.integer({ min: -5, max: 100_000 }),
    fc.constantFrom(Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
  ),
  shop: fc.constantFrom("x", "y", "ü", null),
  abroad: fc.constantFrom(true, false, null),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: event },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("mark" as const), pick: fc.nat(), wrong: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom(...upkeep),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("advance" as const),
      byMs: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 80 })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("read" as const), key, backMs: fc.integer({ min: -50, max: 200 }) }),
  },
);

interface Shape {
  readonly windows: EventWindow[];
  readonly picks: { readonly window: number; readonly aggregate: Aggregate }[];
  readonly chunkRows: number;
}

function shape(window: fc.Arbitrary<EventWindow>, kinds: readonly Aggregate[]): fc.Arbitrary<Shape> {
  return fc.record({
    windows: fc.array(window, { minLength: 1, maxLength: 4 }),
    picks: fc.array(fc.record({ window: fc.nat(), aggregate: fc.constantFrom(...kinds) }), {
      minLength: 1,
      maxLength: 10,
    }),
    chunkRows: fc.constantFrom(2, 3, 5, 128),
  });
}

function optionsOf({ windows, picks, chunkRows }: Shape): ReservoirOptions {
  return {
    name: "events",
    columns: [
      { name: "id", type: "integer", nullable: false },
      { name: "amount", type: "number", nullable: true },
      { name: "cents", type: "integer", nullable: false },
      { name: "shop", type: "text", nullable: true },
      { name: "abroad", type: "boolean", nullable: true },
    ],
    marks: ["fraud"],
    idColumn: "id",
    windows,
    features: picks.map(({ window, aggregate }, i) => ({ name: `f${i}`, window: window % windows.length, aggregate })),
    graceMs,
    chunkRows,
  };
}

/** The store under test, with the log that a task would keep of it. */
class Subject {
  readonly #options: ReservoirOptions;
  #backend = new MemoryBackend();
  #database: StateDatabase | null = null;
  #pending: { readonly flush: PendingFlush } | null = null;
  readonly #log: Buffer[] = [];
  reservoir: Reservoir | null = null;

  constructor(options: ReservoirOptions) {
    this.#options = options;
  }

  async open(): Promise<Reservoir> {
    this.#database = await StateDatabase.open({ backend: this.#backend, cacheBytes: 700 });
    this.reservoir = new Reservoir(this.#database, this.#options);
    const from = this.#database.position === null ? 0 : Number(this.#database.position.toString());
    for (const entry of this.#log.slice(from)) this.#database.applyChangelog(entry);
    this.#pending = null;
    return this.reservoir;
  }

  async run(kind: Upkeep): Promise<void> {
    const database = this.#database as StateDatabase;
    if (kind === "sweep") {
      await database.sweep(3);
      return;
    }
    this.#log.push(database.takeChangelog());
    if ((kind === "flush" || kind === "settled") && this.#pending === null) {
      this.#pending = { flush: database.beginFlush(Buffer.from(`${this.#log.length}`)) };
    }
    if (kind === "encoded") this.#pending?.flush.encode(encodedBytes);
    if ((kind === "written" || kind === "settled") && this.#pending !== null) {
      await this.#pending.flush.write();
      this.#pending = null;
    }
    if (kind === "wiped") this.#backend = new MemoryBackend();
    if (kind === "crash" || kind === "wiped") await this.open();
  }
}

/** The plain list, and what counts when. */
class Oracle {
  readonly #options: ReservoirOptions;
  readonly #reachMs: number;
  readonly #folds: boolean;
  readonly #events = new Map<string | number, (PlainEvent & { id: number; values: Record<string, unknown> })[]>();
  readonly everything: { key: string | number; timeMs: number; id: number }[] = [];

  constructor(options: ReservoirOptions) {
    this.#options = options;
    const unbounded = options.windows.some(({ kind }) => kind === "unbounded");
    const used = options.features.filter(({ window }) => options.windows[window]?.kind === "unbounded");
    this.#folds =
      unbounded &&
      used.every(
        ({ aggregate }) => aggregate.column !== "fraud" && foldableKinds.some(({ kind }) => kind === aggregate.kind),
      );
    const reaches = options.windows.map((window) =>
      window.kind === "sliding" ? window.sizeMs + window.delayMs + (window.closed === "both" ? 1 : 0) : 0,
    );
    this.#reachMs = unbounded && !this.#folds ? Number.POSITIVE_INFINITY : Math.max(...reaches);
  }

  #horizon(orderTimeMs: number): Horizon {
    return { floorMs: orderTimeMs - graceMs - this.#reachMs, boundaryMs: orderTimeMs - graceMs };
  }

  #list(key: string | number) {
    return this.#events.get(key) ?? [];
  }

  observe(insert: Insert, id: number, timeMs: number, orderTimeMs: number): unknown[] {
    const { cents, shop, abroad, key } = insert;
    const amount = insert.amount !== null && Math.abs(insert.amount) <= 2 ** 450 ? insert.amount : null;
    const late = timeMs < orderTimeMs - graceMs ? this.#horizon(orderTimeMs) : null;
    const asOfMs = late !== null && this.#folds ? Math.max(timeMs, late.floorMs) : timeMs;
    const event = { id, timeMs: asOfMs, values: { id, amount, cents, shop, abroad, fraud: 0 } };
    const list = [...this.#list(key)];
    let at = list.length;
    while (at > 0 && (list[at - 1] as PlainEvent).timeMs > asOfMs) at--;
    list.splice(at, 0, event);
    if (late === null) {
      this.#events.set(key, list);
      this.everything.push({ key, timeMs, id });
    }
    return this.#answers(list, at, asOfMs, late);
  }

  read(key: string | number, asOfMs: number, orderTimeMs: number): unknown[] {
    const late = asOfMs < orderTimeMs - graceMs ? this.#horizon(orderTimeMs) : null;
    const at = late !== null && this.#folds ? Math.max(asOfMs, late.floorMs) : asOfMs;
    return this.#answers(this.#list(key), null, at, late);
  }

  #answers(list: PlainEvent[], own: number | null, asOfMs: number, late: Horizon | null): unknown[] {
    return this.#options.features.map(({ window, aggregate }) =>
      bruteForce(list, own, asOfMs, { window: this.#options.windows[window] as EventWindow, aggregate }, late),
    );
  }

  mark(key: string | number, timeMs: number, id: number, orderTimeMs: number): boolean {
    const list = this.#list(key);
    const at = list.findIndex((event) => event.timeMs === timeMs && event.id === id);
    if (at < 0) return false;
    const { floorMs, boundaryMs } = this.#horizon(orderTimeMs);
    const newer = list.filter((event, i) => i >= at && event.timeMs <= boundaryMs).length;
    const kept = Math.max(0, ...this.#options.windows.map((window) => (window.kind === "count" ? window.size : 0)));
    if (timeMs <= floorMs && newer > kept) return false;
    (list[at] as { values: Record<string, unknown> }).values.fraud = 1;
    return true;
  }
}

async function compare(options: ReservoirOptions, steps: readonly Step[]): Promise<void> {
  const subject = new Subject(options);
  await subject.open();
  const oracle = new Oracle(options);
  let orderTimeMs = 1000;
  let id = 0;
  for (const [i, step] of steps.entries()) {
    const reservoir = subject.reservoir as Reservoir;
    const where = `step ${i}: ${JSON.stringify(step)}`;
    const out: unknown[] = [];
    if (step.kind === "event") {
      const timeMs = orderTimeMs - step.backMs;
      const abroad = step.abroad === null ? Number.NaN : Number(step.abroad);
      const numbers = Float64Array.of(id, step.amount ?? Number.NaN, step.cents, abroad);
      const late = timeMs < orderTimeMs - graceMs;
      reservoir.observe(step.key, timeMs, orderTimeMs, late, numbers, [step.shop], out);
      assert.deepEqual(out, oracle.observe(step, id++, timeMs, orderTimeMs), where);
    } else if (step.kind === "advance") {
      orderTimeMs += step.byMs;
    } else if (step.kind === "read") {
      reservoir.read(step.key, orderTimeMs - step.backMs, orderTimeMs, out);
      assert.deepEqual(out, oracle.read(step.key, orderTimeMs - step.backMs, orderTimeMs), where);
    } else if (step.kind === "mark") {
      const event = oracle.everything[step.pick % Math.max(1, oracle.everything.length)];
      if (event === undefined) continue;
      const wanted = step.wrong && step.pick % 5 === 0 ? -1 : event.id;
      const marked = reservoir.mark(event.key, event.timeMs, wanted, "fraud", orderTimeMs);
      assert.equal(marked, oracle.mark(event.key, event.timeMs, wanted, orderTimeMs), where);
    } else {
      await subject.run(step.kind);
    }
  }
}

const steps = fc.array(step, { minLength: 20, maxLength: 120, size: "max" });

for (const [name, shapes, numRuns] of [
  ["sliding windows", shape(slidingWindow, allKinds), 150],
  ["count windows among others", shape(fc.oneof(slidingWindow, countWindow), allKinds), 150],
  ["unbounded windows that fold", shape(fc.oneof(slidingWindow, unboundedWindow, countWindow), foldableKinds), 150],
  ["unbounded windows that hold everything", shape(fc.oneof(slidingWindow, unboundedWindow), allKinds), 100],
] as const) {
  test(`${name} give what the plain list gives, through flushes, evictions, crashes and restores`, async () => {
    await fc.assert(
      fc.asyncProperty(shapes, steps, (shape, steps) => compare(optionsOf(shape), steps)),
      { numRuns },
    );
  });
}

test("a mark that is replayed over a state which a late event has moved counts in no window that let go of its event", async () => {
  const options = optionsOf({
    windows: [
      { kind: "sliding", sizeMs: 1, delayMs: 0, closed: "right", excludeCurrent: false },
      { kind: "count", size: 1, excludeCurrent: false },
    ],
    picks: [{ window: 0, aggregate: { kind: "ratio", column: "fraud" } }],
    chunkRows: 2,
  });
  const event = { kind: "event", key: "a", backMs: 0, amount: null, cents: 0, shop: null, abroad: null } as const;
  await compare(options, [
    event,
    { kind: "advance", byMs: 88 },
    { ...event, backMs: 88 },
    { kind: "settled" },
    { kind: "mark", pick: 0, wrong: false },
    { kind: "crash" },
    event,
  ]);
});

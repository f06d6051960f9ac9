import assert from "node:assert/strict";
import { test } from "vitest";
import { days, hours } from "../../src/core/time.ts";
import type { Aggregate } from "../../src/state/aggregate.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { Reservoir } from "../../src/state/reservoir.ts";
import type { ReservoirOptions } from "../../src/state/reservoir-plan.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import type { EventWindow } from "../../src/state/window.ts";

const right: EventWindow = { kind: "sliding", sizeMs: hours(1), delayMs: 0, closed: "right", excludeCurrent: false };
const both: EventWindow = { ...right, closed: "both" };

interface Setup {
  readonly windows: readonly EventWindow[];
  readonly aggregates: readonly (readonly [window: number, aggregate: Aggregate])[];
  readonly graceMs?: number;
}

function options({ windows, aggregates, graceMs = 0 }: Setup): ReservoirOptions {
  return {
    name: "payments",
    columns: [
      { name: "id", type: "integer", nullable: false },
      { name: "amount", type: "number", nullable: true },
      { name: "shop", type: "text", nullable: true },
    ],
    marks: ["fraud"],
    idColumn: "id",
    windows,
    features: aggregates.map(([window, aggregate], i) => ({ name: `f${i}`, window, aggregate })),
    graceMs,
  };
}

/** A reservoir over a fresh memory store, with a clock that follows the newest event. */
async function reservoir(setup: Setup) {
  const database = await StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 });
  const store = new Reservoir(database, options(setup));
  let orderTimeMs = Number.NEGATIVE_INFINITY;
  let id = 0;
  const ask = (timeMs: number, amount: number | null = null, shop: string | null = null): unknown[] => {
    orderTimeMs = Math.max(orderTimeMs, timeMs);
    const out: unknown[] = [];
    const late = timeMs < orderTimeMs - (setup.graceMs ?? 0);
    store.observe("c1", timeMs, orderTimeMs, late, Float64Array.of(id++, amount ?? Number.NaN), [shop], out);
    return out;
  };
  return { store, database, ask };
}

// ms        0                         3,600,000   3,600,001
//           a                             b           c
// right     (-1 h, 0] a         (0, b] b          (1, c] b c
// both      [-1 h, 0] a         [0, b] a b        [1, c] b c
test("an event exactly one window older is outside, unless the window is closed at both ends", async () => {
  const { ask } = await reservoir({
    windows: [right, both, { ...right, excludeCurrent: true }, { ...both, excludeCurrent: true }],
    aggregates: [0, 1, 2, 3].map((window) => [window, { kind: "count" }] as const),
  });
  const counts = [0, 3_600_000, 3_600_001].map((timeMs) => ask(timeMs));
  assert.deepEqual(counts, [
    [1, 1, 0, 0],
    [1, 2, 0, 1],
    [2, 2, 1, 1],
  ]);
});

test("leaving out the current event leaves out no other one of the same instant", async () => {
  const window: EventWindow = { ...right, excludeCurrent: true };
  const { ask } = await reservoir({ windows: [window], aggregates: [[0, { kind: "count" }]] });
  assert.deepEqual([ask(5), ask(5), ask(5)], [[0], [1], [2]]);
});

test("a z-score comes from the exact mean and sample deviation of the history before the event", async () => {
  const history: EventWindow = { kind: "unbounded", excludeCurrent: true };
  const { ask } = await reservoir({
    windows: [history],
    aggregates: [
      [0, { kind: "mean", column: "amount", per: 1 }],
      [0, { kind: "sd", column: "amount" }],
    ],
  });
  for (const [i, amount] of [10, 12, 11, 9, 13].entries()) ask(i, amount);
  const [mean, sd] = ask(5, 30) as [number, number];
  assert.equal(((30 - mean) / sd).toFixed(3), "12.017");
});

// minute   0   10   20   30   40   50   60   70
// amount   9    1    5              3    2    4
// max      9    9    9              9    5    5     at 60 the 9 leaves, at 70 the 1
test("the extremes are right just after the extreme has left", async () => {
  const { ask } = await reservoir({
    windows: [right],
    aggregates: [
      [0, { kind: "max", column: "amount" }],
      [0, { kind: "min", column: "amount" }],
    ],
  });
  const minutes = [0, 10, 20, 50, 60, 70];
  const amounts = [9, 1, 5, 3, 2, 4];
  const extremes = minutes.map((minute, i) => ask(minute * 60_000, amounts[i]));
  assert.deepEqual(extremes, [
    [9, 9],
    [9, 1],
    [9, 1],
    [9, 1],
    [5, 1],
    [5, 2],
  ]);
});

test("aggregates of nothing are what the catalogue says", async () => {
  const kinds: Aggregate[] = [
    { kind: "count" },
    { kind: "count", column: "shop" },
    { kind: "sum", column: "amount" },
    { kind: "mean", column: "amount", per: 1 },
    { kind: "variance", column: "amount" },
    { kind: "sd", column: "amount" },
    { kind: "min", column: "amount" },
    { kind: "max", column: "amount" },
    { kind: "distinct", column: "shop" },
    { kind: "first", column: "shop", size: 2 },
    { kind: "last", column: "shop", size: 2 },
    { kind: "latest", column: "shop" },
    { kind: "top", column: "shop", size: 2 },
    { kind: "percentile", column: "amount", fraction: 0.5 },
    { kind: "ratio", column: "fraud" },
  ];
  const window: EventWindow = { ...right, excludeCurrent: true };
  const { ask, store } = await reservoir({ windows: [window], aggregates: kinds.map((kind) => [0, kind] as const) });
  const nothing = [0, 0, 0, null, null, null, null, null, 0, [], [], null, [], null, 0];
  assert.deepEqual(ask(0, 5, "a"), nothing);
  const out: unknown[] = [];
  store.read("nobody", 0, 0, out);
  assert.deepEqual(out, nothing);
});

// day      0        7        8
// event    e
// mark             here
// risk 1d behind 7 days at day 7.5: (6.5 - ..., 0.5] holds e
test("a mark counts in the delayed window, whether it comes before or after the window reaches its event", async () => {
  const delayed: EventWindow = { ...right, sizeMs: days(1), delayMs: days(7) };
  const setup: Setup = { windows: [delayed], aggregates: [[0, { kind: "ratio", column: "fraud" }]] };
  for (const markDay of [1, 7, 7.6]) {
    const { store, ask } = await reservoir(setup);
    ask(0);
    ask(days(0.25));
    const mark = () => store.mark("c1", 0, 0, "fraud", days(markDay));
    if (markDay <= 7.5) assert.equal(mark(), true);
    assert.deepEqual(ask(days(7.5)), [markDay <= 7.5 ? 0.5 : 0]);
    assert.equal(mark(), true);
    assert.equal(mark(), true, "a second time changes nothing");
    assert.deepEqual(ask(days(7.7)), [0.5]);
    assert.equal(store.mark("c1", 0, 99, "fraud", days(7.7)), false);
    assert.equal(store.mark("c1", 0, 0, "fraud", days(9)), false, "the event no longer counts");
  }
});

test("a late event gets features of its own time and leaves no trace", async () => {
  const { ask } = await reservoir({ windows: [right], aggregates: [[0, { kind: "sum", column: "amount" }]] });
  ask(hours(1), 1);
  ask(hours(1.5), 2);
  assert.deepEqual(ask(hours(1.2), 100), [101]);
  assert.deepEqual(ask(hours(1.6), 4), [7]);
});

test("an event out of order gets the features of its time, and newer ones count it", async () => {
  const { ask } = await reservoir({
    windows: [right],
    aggregates: [
      [0, { kind: "sum", column: "amount" }],
      [0, { kind: "max", column: "amount" }],
    ],
    graceMs: hours(1),
  });
  ask(hours(1), 1);
  ask(hours(1.5), 2);
  assert.deepEqual(ask(hours(1.2), 100), [101, 100]);
  assert.deepEqual(ask(hours(1.6), 4), [107, 100]);
});

test("a key with few events is stored without the state of its windows, and goes on as if it had never left memory", async () => {
  const delayed: EventWindow = { ...right, sizeMs: hours(3), delayMs: hours(1) };
  const setup: Setup = {
    windows: [right, { ...right, sizeMs: days(1) }, delayed, { kind: "count", size: 3, excludeCurrent: false }],
    aggregates: [0, 1, 2, 3].flatMap((window) => [
      [window, { kind: "count" }] as const,
      [window, { kind: "sd", column: "amount" }] as const,
      [window, { kind: "sum", column: "fraud" }] as const,
    ]),
    graceMs: hours(1),
  };
  const stays = await reservoir(setup);
  const backend = new MemoryBackend();
  const bytes: number[] = [];
  for (let n = 0; n < 40; n++) {
    const timeMs = n * 1_500_000 - (n % 5 === 4 ? 2_000_000 : 0); // some out of order, within grace
    const expected = stays.ask(timeMs, n * 0.1);
    const orderTimeMs = Math.max(timeMs, (n - 1) * 1_500_000);
    const database = await StateDatabase.open({ backend, cacheBytes: 1 << 20 });
    const store = new Reservoir(database, options(setup));
    const out: unknown[] = [];
    store.observe("c1", timeMs, orderTimeMs, false, Float64Array.of(n, n * 0.1), [null], out);
    assert.deepEqual(out, expected, `event ${n}`);
    if (n % 7 === 3) {
      const marked = [stays.store, store].map((each) => each.mark("c1", timeMs, n, "fraud", orderTimeMs));
      assert.deepEqual(marked, [true, true]);
    }
    database.takeChangelog();
    await database.beginFlush(Buffer.from([n])).write();
    for await (const [, value] of backend.entries(Buffer.from([1, 0]), Buffer.from([1, 1]))) bytes.push(value.length);
  }
  const [one = 0, two = 0] = bytes;
  const row = two - one;
  assert.ok(one < 24 + row, `${one} bytes with one event, ${two} with two`);
  const grown = bytes.map((each, n) => each - (bytes[n - 1] ?? 0));
  assert.ok(Math.max(...grown.slice(1)) > 3 * row, `cells are stored once there are many events: ${bytes}`);
});

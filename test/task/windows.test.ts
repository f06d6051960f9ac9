// Goal: windows of a key end, wait, close and tick as the time lines say, across restarts. Times are seconds after `base`.

import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import {
  bareModel,
  type KeyWindow,
  RecordSchema,
  seconds,
  type Topology,
  TopologyBuilder,
  type WindowOptions,
} from "../../src/index.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { type DriverOptions, TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";

const base = Date.UTC(2026, 0, 5);

interface Tap {
  readonly user: string;
  readonly ts: number;
  readonly amount: number;
}
interface Total {
  readonly user: string;
  readonly window_start: number;
  readonly window_end: number;
  readonly count: number;
  readonly sum: number;
}

const long = (name: string) => ({ name, type: "long" });
const user = { name: "user", type: "string" };
const tapSchema = new RecordSchema<Tap>({ type: "record", name: "Tap", fields: [user, long("ts"), long("amount")] });
const totalSchema = new RecordSchema<Total>({
  type: "record",
  name: "Total",
  fields: [user, long("window_start"), long("window_end"), long("count"), long("sum")],
});

const tumbling = (size: number, grace = 0): KeyWindow => ({
  kind: "tumbling",
  sizeMs: seconds(size),
  graceMs: seconds(grace),
});
const session = (gap: number, grace = 0): KeyWindow => ({
  kind: "session",
  gapMs: seconds(gap),
  graceMs: seconds(grace),
});

function totalsBy(window: KeyWindow, options: WindowOptions = {}): Topology {
  const builder = new TopologyBuilder("totals");
  builder
    .stream("taps", { schema: tapSchema, key: "user", time: "ts" })
    .windowedBy("user", window)
    .aggregate("totals", (events) => ({ count: events.count(), sum: events.sum("amount") }), options)
    .to("totals", { schema: totalSchema, key: "user" });
  return builder.build();
}

async function opened(topology: Topology, options: DriverOptions = {}) {
  const driver = await TopologyTestDriver.open(topology, options);
  onTestFinished(() => driver.close());
  return {
    driver,
    /** Each as "user second", with amount 1, taken one after the other. */
    async tap(...taps: readonly string[]): Promise<void> {
      const values = taps.map((each) => {
        const [user = "", second] = each.split(" ");
        return { user, ts: base + Number(second) * 1000, amount: 1 };
      });
      await driver.input("taps").pipeAll(values);
      await driver.settle();
    },
    /** A line a result: user, bounds, count; "@" and the event time of the record. */
    lines(): string[] {
      return driver
        .output("totals", totalSchema)
        .readAll()
        .map(({ value, timeMs }) => {
          const { user, window_start, window_end, count } = value as Total;
          return `${user} [${(window_start - base) / 1000}, ${(window_end - base) / 1000}) ${count} @${(timeMs - base) / 1000}`;
        });
    },
    choices(): unknown[] {
      return driver.records("totals-choices").map(({ value }) => JSON.parse(String(value)));
    },
  };
}

// seconds   0        10        20   23
//           [a   a   )[a        )         grace 3: closes when order time reaches 23
test("a tumbling window holds its start, not its end, and closes at its end plus grace", async () => {
  const { tap, lines } = await opened(totalsBy(tumbling(10, 3)));
  await tap("a 0", "a 9.999", "a 10", "a 12.999");
  assert.deepEqual(lines(), []);
  await tap("a 13");
  assert.deepEqual(lines(), ["a [0, 10) 2 @9.999"]);
  await tap("b 23");
  assert.deepEqual(lines(), ["a [0, 10) 2 @9.999", "a [10, 20) 3 @19.999"]);
});

// seconds  -10  -5    0    5   10
//           [   a    )               a is in the two windows of 10 that begin at -10 and -5
//                [   a    )
test("a hopping window of 10 every 5 counts each event twice, with starts at multiples of 5", async () => {
  const window: KeyWindow = { kind: "hopping", sizeMs: seconds(10), advanceMs: seconds(5), graceMs: 0 };
  const { tap, lines } = await opened(totalsBy(window));
  await tap("a -2", "a 1", "a 20");
  assert.deepEqual(lines(), ["a [-10, 0) 1 @-0.001", "a [-5, 5) 2 @4.999", "a [0, 10) 1 @9.999"]);
});

// seconds   0    4    8       16         gap 5, grace 10
//           a         a  ..              [0, 5) and [8, 13)
//                a                       arrives last: its [4, 9) bridges them
test("a session ends a gap after its last event, and a late event within grace joins two", async () => {
  const { tap, lines } = await opened(totalsBy(session(5, 10)));
  await tap("a 0", "a 8", "a 4", "b 22.999");
  assert.deepEqual(lines(), []);
  await tap("b 23");
  assert.deepEqual(lines(), ["a [0, 13) 3 @12.999"]);
});

test("an event exactly a gap after the last one begins a new session", async () => {
  const { tap, lines } = await opened(totalsBy(session(5)));
  await tap("a 0", "a 5", "b 10");
  assert.deepEqual(lines(), ["a [0, 5) 1 @4.999", "a [5, 10) 1 @9.999"]);
});

test("windows that one event closes come in the order of end, then key", async () => {
  const { tap, lines } = await opened(totalsBy(tumbling(10)));
  await tap("c 1", "a 12", "a 11", "b 13", "a 19", "z 40");
  await tap("d 41");
  assert.deepEqual(lines(), ["c [0, 10) 1 @9.999", "a [10, 20) 3 @19.999", "b [10, 20) 1 @19.999"]);
});

test("onUpdate tells each window an event changes, at the event's own time, and nothing on closing", async () => {
  const { tap, lines } = await opened(totalsBy(tumbling(10, 5), { emit: "onUpdate" }));
  await tap("a 3", "a 11", "a 8", "a 30");
  assert.deepEqual(lines(), ["a [0, 10) 1 @3", "a [10, 20) 1 @11", "a [0, 10) 2 @8", "a [30, 40) 1 @30"]);
});

test("a late event goes aside with the node and its delay, is dropped, or opens its window anew for itself", async () => {
  for (const late of ["aside", "drop", "include"] as const) {
    const { driver, tap, lines } = await opened(totalsBy(tumbling(10, 3), { late }));
    await tap("a 5", "a 13", "a 6", "a 14");
    const again = late === "include" ? ["a [0, 10) 1 @9.999"] : [];
    assert.deepEqual(lines(), ["a [0, 10) 1 @9.999", ...again]);
    const aside = driver.records("totals-late").map(({ headers }) => headers);
    const expected = { "kappa.late.node": "totals", "kappa.late.by_ms": "7000" };
    assert.deepEqual(aside, late === "aside" ? [expected] : []);
  }
});

test("open windows survive restarts, from the local state and from the log alone", async () => {
  for (const state of ["kept", "lost"] as const) {
    const { driver, tap, lines } = await opened(totalsBy(session(5, 3)), { partitions: 2 });
    await tap("a 0", "b 1", "c 3");
    await driver.restart(state);
    await tap("a 4", "b 6");
    await driver.restart(state);
    await tap("a 20", "b 20", "c 20");
    const expected = ["a [0, 9) 2 @8.999", "b [1, 6) 1 @5.999", "b [6, 11) 1 @10.999", "c [3, 8) 1 @7.999"];
    assert.deepEqual(lines().sort(), expected);
    await driver.restart(state);
    await tap("a 21");
    assert.deepEqual(lines().sort(), expected, "a window that was told of is not told of again");
  }
});

// seconds   1    silence, wall clock
//           a    1+idle   ...   13: end + grace
test("after silence time goes on with the wall clock, and the last window closes once", async () => {
  const { driver, tap, lines, choices } = await opened(totalsBy(tumbling(10, 3), { idleMs: seconds(4) }));
  await tap("a 1");
  await driver.advanceWallClock(11_000);
  assert.deepEqual(lines(), []);
  await driver.advanceWallClock(1000);
  assert.deepEqual(lines(), ["a [0, 10) 1 @9.999"]);
  const [tick] = choices() as { readonly kind: string; readonly orderTimeMs: number }[];
  assert.ok(tick !== undefined && tick.orderTimeMs >= base + 13_000 && tick.orderTimeMs < base + 14_000);
  assert.deepEqual(tick, {
    version: 1,
    stage: 0,
    kind: "tick",
    orderTimeMs: tick.orderTimeMs,
    afterSource: 0,
    afterSequence: 0,
  });
  await driver.advanceWallClock(60_000);
  assert.equal(choices().length, 1, "a tick that closes nothing is not made");
  await tap("a 70");
  assert.deepEqual(lines(), ["a [0, 10) 1 @9.999"]);
});

test("a window that is due waits until the silence has lasted idleMs", async () => {
  const { driver, tap, lines } = await opened(totalsBy(tumbling(10), { idleMs: seconds(30) }));
  await tap("a 9");
  await driver.advanceWallClock(29_000);
  assert.deepEqual(lines(), []);
  await driver.advanceWallClock(1000);
  assert.deepEqual(lines(), ["a [0, 10) 1 @9.999"]);
});

test("a tick survives a restart: an event behind it is late, one ahead of it is not", async () => {
  for (const state of ["kept", "lost"] as const) {
    const { driver, tap, lines } = await opened(totalsBy(tumbling(10), { idleMs: seconds(1) }));
    await tap("a 1");
    await driver.advanceWallClock(20_000);
    await driver.restart(state);
    await tap("a 2", "a 15", "a 25", "a 30");
    assert.deepEqual(lines(), ["a [0, 10) 1 @9.999", "a [20, 30) 1 @29.999"]);
    assert.equal(driver.records("totals-late").length, 2);
  }
});

test("a tick after a restart names the last row before it", async () => {
  const { driver, tap, choices } = await opened(totalsBy(tumbling(10), { idleMs: seconds(1) }));
  await tap("a 1", "b 2");
  await driver.restart("lost");
  await driver.advanceWallClock(20_000);
  const [tick] = choices() as { readonly afterSource: number; readonly afterSequence: number }[];
  assert.deepEqual([tick?.afterSource, tick?.afterSequence], [0, 1]);
});

test("without idleMs, and in a run until the end, silence closes nothing", async () => {
  const untilEnd = { settings: { untilEnd: true } };
  const ticking = totalsBy(tumbling(10), { idleMs: seconds(1) });
  for (const [topology, options] of [
    [totalsBy(tumbling(10)), {}],
    [ticking, untilEnd],
  ] as const) {
    const { driver, tap, lines, choices } = await opened(topology, options);
    await tap("a 1", "a 11");
    await driver.restart("kept"); // a run until the end ends where the input did when it started
    await driver.advanceWallClock(60_000);
    assert.deepEqual(lines(), ["a [0, 10) 1 @9.999"]);
    assert.deepEqual(choices(), []);
  }
});

test("silence closes windows behind a repartition", async () => {
  const builder = new TopologyBuilder("totals");
  builder
    .stream("taps", { schema: tapSchema, key: "user", time: "ts" })
    .mapValues("pairs", { user: "text", amount: "integer" }, ({ user, amount }) => ({ user: `${user}${user}`, amount }))
    .repartition("by-pair", { key: "user" })
    .windowedBy("user", tumbling(10))
    .aggregate("totals", (events) => ({ count: events.count(), sum: events.sum("amount") }), { idleMs: seconds(2) })
    .to("totals", { schema: totalSchema, key: "user" });
  const { driver, tap, lines } = await opened(builder.build(), { partitions: 3 });
  await tap("a 1", "b 2", "c 3");
  await driver.advanceWallClock(10_000);
  assert.deepEqual(lines().sort(), ["aa [0, 10) 1 @9.999", "bb [0, 10) 1 @9.999", "cc [0, 10) 1 @9.999"]);
});

test("behind a model windows close between the same rows, however rows are cut into commits", async () => {
  const builder = new TopologyBuilder("totals");
  builder
    .stream("taps", { schema: tapSchema, key: "user", time: "ts" })
    .score("risk", { model: bareModel("unused.onnx", ["amount"]), into: "score" })
    .windowedBy("user", tumbling(10))
    .aggregate("totals", (events) => ({ count: events.count(), sum: events.sum("amount") }))
    .to("totals", { schema: totalSchema, key: "user" });
  const topology = builder.build();
  const scorer: Scorer = {
    model: {
      name: "one",
      version: "1",
      sha256: "0".repeat(64),
      features: [{ name: "amount" }],
      output: "raw",
      medians: undefined,
    },
    score: async (_rows, count, into) => {
      into.fill(1, 0, count);
    },
    close: async () => {},
  };
  const seen = [];
  for (const commitRecordsMax of [1, 1000]) {
    const { tap, lines } = await opened(topology, { scorers: { risk: scorer }, settings: { commitRecordsMax } });
    await tap("a 1", "b 4", "a 9", "b 12", "a 11", "c 35", "a 36", "a 20");
    seen.push(lines());
  }
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[0], [
    "a [0, 10) 2 @9.999",
    "b [0, 10) 1 @9.999",
    "a [10, 20) 1 @19.999",
    "b [10, 20) 1 @19.999",
  ]);
});

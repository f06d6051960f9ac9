import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { partitionOf } from "../../src/index.ts";
import { hold, timeoutMs } from "./hold.ts";
import { checkValue, eventOf, keyIn, orderTimesOf } from "./judge.ts";
import { aggregateOf, type HeldEvent, keyWindowsOf } from "./oracle.ts";
import { buildKeyWindow, type Run, runScenario, type Trace, type WantedKeyWindow } from "./run.ts";
import { aggregate, keyWindow, type Scenario, scenario } from "./scenario.ts";

type Case = readonly [scenario: Scenario, wanted: WantedKeyWindow];

function cases(emit: WantedKeyWindow["emit"], atOnce: boolean): fc.Arbitrary<Case> {
  return scenario({ beyond: false, atOnce, eventsMax: 200 }).chain((each) => {
    const aggregates = fc.array(aggregate, { minLength: 1, maxLength: 5, size: "max" });
    const wanted = fc.record({ window: keyWindow(each.graceMs), aggregates, emit: fc.constant(emit) });
    return wanted.map((wanted): Case => [{ ...each, marked: false }, wanted]);
  });
}

interface Expected {
  readonly key: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly values: readonly unknown[];
}

const byWindow = (a: Expected, b: Expected): number =>
  a.key < b.key ? -1 : a.key > b.key ? 1 : a.startMs - b.startMs || a.endMs - b.endMs;

/** The windows of every key that the order time of its task has left behind by the grace. */
function closedWindows(
  scenario: Scenario,
  { window, aggregates }: WantedKeyWindow,
  traces: readonly Trace[],
): Expected[] {
  const trace = traces.at(-1) as Trace;
  const stage = traces.length - 1;
  const orderTimes = orderTimesOf(scenario, traces[0] as Trace);
  const keyOf = (id: number): string | number => keyIn(scenario, stage, id);
  const taskOf = (id: number): number => partitionOf(keyOf(id), scenario.partitions);
  const reached = new Map<number, number>();
  (traces[0] as Trace).forEach(({ id }, i) => {
    reached.set(taskOf(id), Math.max(reached.get(taskOf(id)) ?? Number.NEGATIVE_INFINITY, orderTimes[i] as number));
  });
  return [...new Set(trace.map(({ id }) => keyOf(id)))].flatMap((key) => {
    const ids = trace.filter(({ id }) => keyOf(id) === key);
    const orderTimeMs = reached.get(partitionOf(key, scenario.partitions)) as number;
    return keyWindowsOf(
      window,
      ids.map(({ id }) => eventOf(scenario, id)),
    )
      .filter(({ endMs }) => endMs + window.graceMs <= orderTimeMs)
      .map(({ startMs, endMs, events }) => ({
        key: String(key),
        startMs,
        endMs,
        values: aggregates.map((aggregate) => aggregateOf(aggregate, events, [])),
      }));
  });
}

/** The windows that each event falls into as they stand after it, event after event. */
function updatedWindows(
  scenario: Scenario,
  { window, aggregates }: WantedKeyWindow,
  traces: readonly Trace[],
): Expected[] {
  const stage = traces.length - 1;
  const read: HeldEvent[] = [];
  return (traces.at(-1) as Trace).flatMap(({ id }) => {
    const event = eventOf(scenario, id);
    const key = keyIn(scenario, stage, id);
    read.push(event);
    return keyWindowsOf(
      window,
      read.filter((each) => keyIn(scenario, stage, each.id) === key),
    )
      .filter(({ events }) => events.includes(event))
      .map(({ startMs, endMs, events }) => ({
        key: String(key),
        startMs,
        endMs,
        values: aggregates.map((aggregate) => aggregateOf(aggregate, events, [])),
      }));
  });
}

function resultsOf({ outputs }: Run, { aggregates }: WantedKeyWindow): Expected[] {
  return outputs.map(({ key, value }) => ({
    key: key as string,
    startMs: value?.window_start as number,
    endMs: value?.window_end as number,
    values: aggregates.map((_, i) => value?.[`a${i}`]),
  }));
}

/** Stable: results of one window stay in the order they were written. */
function compare(
  actual: readonly Expected[],
  expected: readonly Expected[],
  { window, aggregates }: WantedKeyWindow,
): void {
  const place = ({ key, startMs, endMs }: Expected): string =>
    `${JSON.stringify(window)} ${key} [${startMs}, ${endMs})`;
  const found = [...actual].sort(byWindow);
  const wanted = [...expected].sort(byWindow);
  assert.deepEqual(found.map(place), wanted.map(place));
  wanted.forEach((each, i) => {
    aggregates.forEach((aggregate, a) => {
      checkValue(place(each), aggregate, found[i]?.values[a], each.values[a]);
    });
  });
}

test("windows emitted on close equal the oracle over sorted input, for any shuffle within grace", {
  timeout: timeoutMs,
}, async () => {
  await hold("closed-windows", 50, cases("onClose", true), ([each, wanted]) =>
    runScenario(
      each,
      (run) => {
        compare(resultsOf(run, wanted), closedWindows(each, wanted, run.traces), wanted);
        // The last instant that a window holds is the event time of its result.
        for (const { timeMs, value } of run.outputs) assert.equal(timeMs, (value?.window_end as number) - 1);
      },
      buildKeyWindow(each, wanted),
    ),
  );
});

test("windows emitted on update are what was read so far, event after event", { timeout: timeoutMs }, async () => {
  await hold("updated-windows", 30, cases("onUpdate", true), ([each, wanted]) =>
    runScenario(
      each,
      (run) => compare(resultsOf(run, wanted), updatedWindows(each, wanted, run.traces), wanted),
      buildKeyWindow(each, wanted),
    ),
  );
});

test("two fresh runs close the same windows with the same bytes, each window once", {
  timeout: timeoutMs,
}, async () => {
  await hold(
    "closed-twice",
    40,
    fc.tuple(cases("onClose", true), cases("onClose", true)),
    async ([[each, wanted], [other]]) => {
      const written: string[][] = [];
      for (const scenario of [each, { ...each, steps: other.steps, cut: other.cut }]) {
        const check = ({ driver }: Run): void => {
          const records = driver
            .records("out")
            .map(({ key, timeMs, value }) => `${key} ${timeMs} ${value?.toString("hex")}`);
          assert.equal(new Set(records).size, records.length);
          written.push(records.sort());
        };
        await runScenario(scenario, check, buildKeyWindow(scenario, wanted));
      }
      assert.deepEqual(written[1], written[0]);
    },
  );
});

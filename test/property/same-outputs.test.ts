import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { hold, timeoutMs } from "./hold.ts";
import { type Run, runScenario } from "./run.ts";
import { cut, type Scenario, scenario, step, type WantedEvent } from "./scenario.ts";

/** What was written for each key, in its order: event times and the bytes of values, headers and offsets left aside. */
async function writtenBytes(scenario: Scenario): Promise<Map<string | null, string[]>> {
  const written = new Map<string | null, string[]>();
  await runScenario(scenario, ({ driver }: Run) => {
    for (const topic of ["out", "property-late"]) {
      for (const { key, timeMs, value } of driver.records(topic)) {
        const name = `${topic} ${key}`;
        written.set(name, [...(written.get(name) ?? []), `${timeMs} ${value?.toString("hex")}`]);
      }
    }
  });
  return written;
}

test("two fresh runs over one log write the same bytes, whatever their commits, bounds, restarts and schedules", {
  timeout: timeoutMs,
}, async () => {
  const another = fc.record({ cut, steps: fc.array(step, { maxLength: 12, size: "max" }) });
  const cases = fc.tuple(scenario({ beyond: true, atOnce: true, eventsMax: 200, early: true }), another);
  await hold("two-runs", 30, cases, async ([each, differently]) => {
    assert.deepEqual(await writtenBytes({ ...each, ...differently }), await writtenBytes(each));
  });
});

/** Sorted, with no two rows of one instant: events at even milliseconds, labels at odd ones. */
function apart(events: readonly WantedEvent[]): WantedEvent[] {
  return events.map((event, i) => ({
    ...event,
    timeMs: event.timeMs + (event.timeMs % 2) + 2 * i,
    delayMs: 0,
    labelAfterMs: event.labelAfterMs === null ? null : 2 * event.labelAfterMs + 1,
  }));
}

test("1, 4 and 8 partitions write the same bytes for sorted input of distinct instants", {
  timeout: timeoutMs,
}, async () => {
  await hold("partitions", 15, scenario({ beyond: false, atOnce: true, eventsMax: 200 }), async (each) => {
    const sorted = { ...each, events: apart(each.events) };
    const one = await writtenBytes({ ...sorted, partitions: 1 });
    assert.deepEqual(await writtenBytes({ ...sorted, partitions: 4 }), one);
    assert.deepEqual(await writtenBytes({ ...sorted, partitions: 8 }), one);
  });
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import { build } from "./run.ts";
import { epochMs } from "./scenario.ts";

const event = (id: number, afterMs: number): object => ({
  id,
  key: "k0",
  other: 0,
  ts: epochMs + afterMs,
  whole: null,
  double: null,
  text: null,
  flag: null,
});
const label = (afterMs: number): object => ({
  id: 0,
  key: "k0",
  other: 0,
  ts: epochMs + afterMs,
  event_ts: epochMs + 200,
});

/** Counts of the second stage after: event 200, label 250, event 210 (overtaken, within a grace of 50), label 300, event 310. */
async function countsWithCommitsOf(commitRecordsMax: number): Promise<unknown[]> {
  const feature = { window: { kind: "unbounded", excludeCurrent: false }, aggregate: { kind: "count" } } as const;
  const { topology, schema } = build({ stages: 2, marked: true, graceMs: 50, late: "include", features: [feature] });
  const driver = await TopologyTestDriver.open(topology, { settings: { commitRecordsMax } });
  await driver.input("events").pipe(event(0, 200));
  await driver.settle();
  const [first, second] = [label(250), label(300)];
  await driver.input("labels").pipeAll(commitRecordsMax === 1 ? [first, second] : [first]);
  await driver.cycle(0);
  driver.clock.advance(10); // the events have caught up and are passed over
  await driver.cycle(0);
  await driver.input("events").pipe(event(1, 210));
  await driver.cycle(0);
  if (commitRecordsMax > 1) await driver.input("labels").pipe(second);
  await driver.settle();
  await driver.input("events").pipe(event(2, 310));
  await driver.settle();
  assert.equal(driver.records("property-choices").length, 1, "event 1 was taken after the label of a later time");
  const counts = driver
    .output("out", schema)
    .values()
    .map((value) => value.f1_0);
  await driver.close();
  return counts;
}

// What a task promises downstream must hold for the row of a source that it did not wait for, or the row travels at a
// time that depends on where commits were cut, and is late in one run and in time in another.
test("an overtaken row is the same row to the stage behind, wherever commits are cut", async () => {
  assert.deepEqual(await countsWithCommitsOf(2000), [1, 2, 3]);
  assert.deepEqual(await countsWithCommitsOf(1), [1, 2, 3]);
});

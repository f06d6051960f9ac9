import assert from "node:assert/strict";
import { test } from "vitest";
import { steps } from "./faults.ts";
import { failureText, regressionSeeds, runSeries, summaryOf } from "./series.ts";
import { faultsMin } from "./world.ts";

// Goal: whatever goes wrong, every record has its outcome once, with the right numbers, in an order that the log tells.
// Method: the shipped tasks, hosts and memberships run in virtual time over a simulated cluster, disk and group; each seed
// draws an input, settings and faults, and an oracle that shares no code with the engine says what must have come out.

const seedCount = 1000;
const recordsMin = 300;
const tasksMin = 3;
const deathsMin = 20;

test("a thousand simulated runs lose nothing, double nothing and come to an end", { timeout: 600_000 }, async () => {
  const fresh = Array.from({ length: seedCount }, (_, i) => i + 1);
  const series = await runSeries({ seeds: [...new Set([...regressionSeeds(), ...fresh])] });
  console.log(summaryOf(series));
  assert.equal(series.failures.map(failureText).join("\n"), "");
  for (const { seed, tasks, records, faults } of series.reports) {
    assert.ok(tasks >= tasksMin && records >= recordsMin && faults >= faultsMin, `seed ${seed} is too small`);
  }
  for (const step of steps) {
    const count = series.deaths.get(step) ?? 0;
    assert.ok(count >= deathsMin, `processes died ${count} times at ${step}, wanted ${deathsMin}`);
  }
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { unmetDemands } from "./demands.ts";
import { failureText, regressionSeeds, runSeries, summaryOf } from "./series.ts";

// Goal: whatever goes wrong, every record has its outcome once, with the right numbers, in an order that the log tells.
// Method: the shipped tasks, hosts and memberships run in virtual time over a simulated cluster, disk and group; each seed
// draws an input, settings and faults, and an oracle that shares no code with the engine says what must have come out.

const seedCount = 1000;

test("a thousand simulated runs lose nothing, double nothing and come to an end", { timeout: 600_000 }, async () => {
  const fresh = Array.from({ length: seedCount }, (_, i) => i + 1);
  const series = await runSeries({ seeds: [...new Set([...regressionSeeds(), ...fresh])] });
  console.log(summaryOf(series));
  assert.equal(series.failures.map(failureText).join("\n"), "");
  assert.equal(unmetDemands(series).join("\n"), "");
});

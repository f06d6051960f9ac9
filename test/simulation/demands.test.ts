import assert from "node:assert/strict";
import { test } from "vitest";
import { unmetDemands } from "./demands.ts";
import { hitKinds, type Step, steps } from "./faults.ts";
import type { SeedReport } from "./seeds.ts";
import type { Series } from "./series.ts";

const sound = { failure: null, virtualMs: 1, realMs: 1, events: 1, records: 300, faults: 3, tasks: 3, deaths: [] };

function seriesOf(count: number, deaths: ReadonlyMap<Step, number>, last: Partial<SeedReport> = {}): Series {
  const reports = Array.from({ length: count }, (_, seed) => ({ seed, hits: [], ...sound }));
  const hits = new Map(hitKinds.map((kind) => [kind, 20]));
  return {
    reports: [...reports, { seed: count, hits: [], ...sound, ...last }],
    failures: [],
    threads: 1,
    seconds: 1,
    deaths,
    hits,
  };
}

test("a complete series in which too few processes died at a step does not pass", () => {
  const often = new Map(steps.map((step) => [step, 20]));
  assert.deepEqual(unmetDemands(seriesOf(1000, often)), []);
  const [unmet, ...others] = unmetDemands(seriesOf(1000, new Map([...often, ["durable", 19]])));
  assert.match(unmet ?? "", /died at durable 19 times, wanted are 20/);
  assert.deepEqual(others, []);
  assert.deepEqual(unmetDemands(seriesOf(10, new Map())), []);
});

test("a seed that suffered too little does not pass, unless it failed", () => {
  assert.match(unmetDemands(seriesOf(10, new Map(), { faults: 2 })).join(), /seed 10 had 3 tasks, 300 records and 2/);
  assert.deepEqual(unmetDemands(seriesOf(10, new Map(), { faults: 2, failure: "wrong" })), []);
});

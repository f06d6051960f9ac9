import assert from "node:assert/strict";
import { test } from "vitest";
import { unmetDemands } from "./demands.ts";
import { hitKinds, type Step, steps } from "./faults.ts";
import type { SeedReport } from "./seeds.ts";
import type { Series } from "./series.ts";

const enough = { tasks: 3, outcomes: 300, faults: 3, positions: 1 };
const sound = { failure: null, virtualMs: 1, realMs: 1, events: 1, deaths: [], ...enough };

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
  const unmetWith = (last: Partial<SeedReport>): string => unmetDemands(seriesOf(10, new Map(), last)).join();
  assert.match(unmetWith({ faults: 2 }), /seed 10 had 3 tasks, 300 outcomes, 2 faults and 1 states/);
  assert.match(unmetWith({ tasks: 2 }), /seed 10 had 2 tasks/);
  assert.match(unmetWith({ outcomes: 299 }), /seed 10 had 3 tasks, 299 outcomes/);
  assert.match(unmetWith({ positions: 0 }), /0 states on disk/);
  assert.deepEqual(unmetDemands(seriesOf(10, new Map(), { faults: 2, failure: "wrong" })), []);
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { RestoreForecast } from "../../src/cli/restore-forecast.ts";

const restoring = (...tasks: [number, number, number][]) =>
  new Map(tasks.map(([partition, applied, total]) => [partition, { applied, total }]));

test("the time left is that of the slowest task, at the pace it had so far", () => {
  const forecast = new RestoreForecast();
  assert.deepEqual(forecast.of(restoring([0, 100, 1000], [1, 0, 400]), 0), {
    tasks: 2,
    commitsLeft: 1300,
    secondsLeft: null,
  });
  // Task 0 did 300 in 3 s and has 600 left, task 1 did 300 and has 100 left.
  assert.deepEqual(forecast.of(restoring([0, 400, 1000], [1, 300, 400]), 3000), {
    tasks: 2,
    commitsLeft: 700,
    secondsLeft: 6,
  });
  assert.equal(forecast.of(restoring([1, 300, 400]), 6000).secondsLeft, 2, "task 0 is ready, task 1 has slowed down");
});

test("no time is told where there is no pace yet, and none when nothing is restored", () => {
  const forecast = new RestoreForecast();
  forecast.of(restoring([0, 0, 1000]), 0);
  assert.equal(forecast.of(restoring([0, 10, 1000]), 100).secondsLeft, null, "too short a time");
  assert.equal(forecast.of(restoring([0, 10, 1000], [1, 0, 10]), 2000).secondsLeft, null, "task 1 has just come");
  assert.deepEqual(forecast.of(new Map(), 3000), { tasks: 0, commitsLeft: 0, secondsLeft: null });
});

test("a restore that begins again is measured anew", () => {
  const forecast = new RestoreForecast();
  forecast.of(restoring([0, 500, 1000]), 0);
  assert.equal(forecast.of(restoring([0, 0, 1000]), 10_000).secondsLeft, null);
  assert.equal(forecast.of(restoring([0, 100, 1000]), 11_000).secondsLeft, 9);
  forecast.of(new Map(), 12_000);
  assert.equal(forecast.of(restoring([0, 900, 1000]), 13_000).secondsLeft, null, "the task was ready in between");
});

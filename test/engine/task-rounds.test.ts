import assert from "node:assert/strict";
import { test } from "vitest";
import { TaskRounds } from "../../src/engine/task-rounds.ts";
import type { Task } from "../../src/task/task.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

interface Sleep {
  readonly ms: number;
  readonly signal: AbortSignal | undefined;
  readonly wake: () => void;
}

/** Rounds without a task in a time that stands still. */
function roundsOf(commitIntervalMs: number, tasks: readonly Task[] = []) {
  const happened: string[] = [];
  const sleeps: Sleep[] = [];
  /** Ends a wait for the log. */
  const news: (() => void)[] = [];
  const stop = new AbortController();
  const rounds = new TaskRounds({
    host: {
      tasks,
      settle: async () => void happened.push("round"),
      failed: async (_, error) => void happened.push(`${error}`),
      reportEnd: () => void happened.push("end"),
    },
    log: {
      gather: () => happened.push("gather"),
      release: () => happened.push("release"),
      changed: (ms) => {
        happened.push(`wait ${ms}`);
        return new Promise((resolve) => news.push(resolve));
      },
    },
    clock: new ManualClock(),
    timers: {
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          sleeps.push({ ms, signal, wake: resolve });
          signal?.addEventListener("abort", () => resolve(), { once: true });
        }),
      turn: async () => void happened.push("turn"),
    },
    settings: { commitIntervalMs, untilEnd: false },
    globalTables: [{ refresh: () => happened.push("refresh") }],
    progress: () => happened.push("progress"),
    signal: stop.signal,
  });
  return { rounds, happened, sleeps, news, stop };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const round = ["round", "refresh", "gather", "release", "wait 100"];

test("a wake ends the wait for the log, and the pause behind it, whose timer goes", async () => {
  const { rounds, happened, sleeps, stop } = roundsOf(2000);
  const running = rounds.run();
  await settled();
  assert.deepEqual(happened.splice(0), round);

  rounds.wake();
  await settled();
  assert.deepEqual(happened.splice(0), []);
  assert.deepEqual([sleeps.length, sleeps[0]?.ms, sleeps[0]?.signal?.aborted], [1, 2000, false]);

  rounds.wake();
  await settled();
  assert.equal(sleeps[0]?.signal?.aborted, true);
  assert.deepEqual(happened.splice(0), round);
  stop.abort();
  await running;
});

test("news of the log begin a round once the interval of commits has passed", async () => {
  const { rounds, happened, sleeps, news, stop } = roundsOf(2000);
  const running = rounds.run();
  await settled();
  happened.length = 0;
  news[0]?.();
  await settled();
  assert.deepEqual(happened, []);
  sleeps[0]?.wake();
  await settled();
  assert.deepEqual(happened, round);
  stop.abort();
  await running;
});

test("a stop ends a wait, a pause, and rounds that have not begun", async () => {
  const waiting = roundsOf(2000);
  const first = waiting.rounds.run();
  await settled();
  waiting.stop.abort();
  await first;
  assert.deepEqual(waiting.happened, [...round, "turn"]);

  const pausing = roundsOf(2000);
  const second = pausing.rounds.run();
  await settled();
  pausing.news[0]?.();
  await settled();
  pausing.stop.abort();
  await second;
  assert.equal(pausing.sleeps[0]?.signal?.aborted, true);

  const early = roundsOf(2000);
  early.stop.abort();
  await early.rounds.run();
  assert.deepEqual(early.happened, []);
});

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { ChangeSignal } from "../../src/log/change-signal.ts";

const long = 10_000;

/** Whether a promise resolves long before the timeout of a wait. */
function soon(promise: Promise<void>): Promise<boolean> {
  return Promise.race([promise.then(() => true), sleep(long / 4, false, { ref: false })]);
}

test("changes that nobody waited for end the next wait at once, and that one only", async () => {
  const signal = new ChangeSignal();
  signal.raise();
  signal.raise();
  await signal.wait(long);
  let woken = false;
  const second = signal.wait(50).then(() => {
    woken = true;
  });
  await sleep(10);
  assert.equal(woken, false);
  await second;
});

test("a change ends the wait that began last, whatever became of one that was given up", async () => {
  const signal = new ChangeSignal();
  const first = signal.wait(10);
  const second = signal.wait(long);
  await first;
  signal.raise();
  assert.equal(await soon(second), true);
});

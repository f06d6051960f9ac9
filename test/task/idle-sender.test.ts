import assert from "node:assert/strict";
import { test } from "vitest";
import { twoTasks } from "./two-tasks.ts";

// Task 1 has no rows to send, says so once, and is silent from then on.

test("a task that is opened again goes on although another, which is idle, says nothing", async () => {
  const { open, event, settle, outputs } = await twoTasks();
  const [first, idle] = [await open(0, 1), await open(1, 1)];
  await event(1);
  await settle(first, idle);
  assert.equal(await outputs(), 1);

  // Twice: the second opening knows it only from the commit of the first, which heard nothing itself.
  await first.close();
  const again = await open(0, 1);
  await settle(again);
  await again.close();
  const once = await open(0, 1);
  await event(2);
  await settle(once, idle);
  assert.equal(await outputs(), 2);
});

test("in another run an idle task is waited for until it speaks", async () => {
  const { open, event, settle, outputs } = await twoTasks();
  const [first, idle] = [await open(0, 1), await open(1, 1)];
  await event(1);
  await settle(first, idle);
  assert.equal(await outputs(), 1);
  await first.close();
  await idle.close();

  // What task 1 has not read yet may sort before.
  const next = await open(0, 2);
  await event(2);
  await settle(next);
  assert.equal(await outputs(), 1);
  const spoken = await open(1, 2);
  await settle(next, spoken);
  assert.equal(await outputs(), 2);
});

test("an idle task says again where it stands when frontierRepeatMs have passed, and by default never", async () => {
  for (const [frontierRepeatMs, expected] of [
    [1000, 2],
    [Number.POSITIVE_INFINITY, 0],
  ] as const) {
    const { open, settle, clock, commits } = await twoTasks({ frontierRepeatMs });
    const task = await open(0, 1);
    await settle(task);
    const before = await commits();
    for (let repeat = 0; repeat < 2; repeat++) {
      clock.advance(1000);
      await settle(task);
    }
    assert.equal((await commits()) - before, expected);
  }
});

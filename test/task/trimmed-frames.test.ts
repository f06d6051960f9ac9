import assert from "node:assert/strict";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { twoTasks } from "./two-tasks.ts";

const frames = "idle-by-key-repartition";

const withCode = (code: string) => (error: unknown) => error instanceof KappaError && error.code === code;

test("a task whose frames a new owner has taken and trimmed is fenced: the process goes on with its other tasks", async () => {
  const { log, open, event, settle } = await twoTasks();
  const stopped = await open(0, 1);
  const [owner, other] = [await open(0, 1), await open(1, 1)];
  await event(1);
  await settle(owner, other);
  await log.trimTo(frames, 0, await log.endOffset(frames, 0, "written"));
  await assert.rejects(stopped.cycle(), withCode("KAPPA_TASK_FENCED"));
});

test("frames that are gone although nobody has taken them end the process", async () => {
  const { log, open, event, settle } = await twoTasks();
  const task = await open(0, 1);
  await event(1);
  await settle(task);
  await task.close();
  const other = await open(1, 1);
  await settle(other);
  await log.trimTo(frames, 0, await log.endOffset(frames, 0, "written"));
  await assert.rejects(open(0, 1), withCode("KAPPA_LOG_TRUNCATED"));
});

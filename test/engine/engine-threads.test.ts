import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Worker } from "node:worker_threads";
import { test } from "vitest";
import { EngineThreads, type ThreadEvents } from "../../src/engine/engine-threads.ts";
import type { ThreadOrder, ThreadReport } from "../../src/engine/thread-protocol.ts";

const nothing = (): void => {};
const events: ThreadEvents = {
  ...{ ready: nothing, released: nothing, running: nothing, ended: nothing, fenced: nothing, discarded: nothing },
  ...{ held: nothing, progressed: nothing, finished: nothing, failed: nothing },
};

/** Two threads that do nothing; `say` reports as one of them. */
function twoThreads() {
  const workers = [0, 1].map(() => Object.assign(new EventEmitter(), { postMessage: nothing }));
  let started = 0;
  const threads = new EngineThreads(events, () => workers[started++] as unknown as Worker);
  for (const thread of [0, 1]) threads.start({ thread } as ThreadOrder);
  return { threads, say: (thread: number, report: ThreadReport) => workers[thread]?.emit("message", report) };
}

const restoring = (partition: number): ThreadReport => ({ kind: "restoring", partition, applied: 1, total: 9 });

test("a restore is shown as long as its task is to run here", () => {
  const { threads, say } = twoThreads();
  threads.own({ partitions: [0, 1], generation: 1 });
  say(0, restoring(0));
  say(1, restoring(1));
  assert.deepEqual([...threads.restoring.keys()], [0, 1]);
  threads.own({ partitions: [1], generation: 2 });
  say(0, restoring(0));
  assert.deepEqual([...threads.restoring.keys()], [1], "what it says on its way out is no restore any more");
  say(1, { kind: "fenced", partition: 1 });
  assert.equal(threads.restoring.size, 0);
});

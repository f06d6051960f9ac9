import { channel } from "node:diagnostics_channel";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../core/assert.ts";
import { systemClock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { EngineWorker } from "./engine-worker.ts";
import type { ThreadOrder, ThreadReport } from "./thread-protocol.ts";

// Where tests and tools can watch the steps of tasks; nothing is published while nobody listens.
const steps = channel("kappa:task");
const takeOverSteps = channel("kappa:take-over");

const port = parentPort;
assert(port !== null, () => "engine-thread.ts runs as a worker thread");

const report = (message: ThreadReport): void => port.postMessage(message);

const worker = new EngineWorker({
  order: workerData as ThreadOrder,
  clock: systemClock,
  report,
  tap: (task, step, sequence) => {
    if (steps.hasSubscribers) steps.publish({ task: task.id, step, sequence, inputs: task.record(sequence).inputs });
  },
  takeOverTap: (task, step) => {
    if (takeOverSteps.hasSubscribers) takeOverSteps.publish({ task, step });
  },
});
port.on("message", (message: unknown) => worker.receive(message));
worker
  .run()
  .then(
    () => report({ kind: "finished" }),
    (error: unknown) =>
      report({
        kind: "failed",
        code: codeOf(error),
        message: messageOf(error),
        stack: error instanceof Error ? (error.stack ?? "") : "",
      }),
  )
  .finally(() => port.close());

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "KAPPA_ENGINE_FAILED";
}

import { subscribe } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import { type ChaosStep, chaosSteps, type KillOrder, type KillReport, processorOrderVariable } from "./kafka-steps.ts";

// Preloaded into a processor (`node --import kafka-tap.ts`), and with it into its engine threads. It watches the steps
// that tasks, their writers and their openings publish, and sends the process SIGKILL at the one it was told: no handler
// runs, no buffer is flushed, no request is taken back.

/** Numbers in the memory that all threads share: the step (1 + its index; 0 for none), and what `KillOrder` says. */
const [stepAt, skipAt, duringAt, killingAt, flagCount] = [0, 1, 2, 3, 4];
const memoryKey = "kappa-test-chaos";

if (isMainThread) setEnvironmentData(memoryKey, new SharedArrayBuffer(4 * flagCount));
const flags = new Int32Array(getEnvironmentData(memoryKey) as SharedArrayBuffer);
const variable = process.env[processorOrderVariable];
const { report = "", kill = null } = (variable === undefined ? {} : JSON.parse(variable)) as {
  readonly report?: string;
  readonly kill?: KillOrder | null;
};

/** Tells this process when to die; null for never. */
export function arm(order: KillOrder | null): void {
  Atomics.store(flags, stepAt, 0);
  if (order === null) return;
  Atomics.store(flags, skipAt, order.skip);
  Atomics.store(flags, duringAt, order.during ? 1 : 0);
  Atomics.store(flags, stepAt, 1 + chaosSteps.indexOf(order.step));
}

function onStep(step: ChaosStep, task: string): void {
  if (Atomics.load(flags, stepAt) !== 1 + chaosSteps.indexOf(step)) return;
  if (Atomics.sub(flags, skipAt, 1) > 0) return;
  // Two threads may come to it at once: one of them reports.
  if (Atomics.compareExchange(flags, killingAt, 0, 1) !== 0) return;
  const left: KillReport = { step, task, atMs: Date.now() };
  writeFileSync(report, JSON.stringify(left));
  if (Atomics.load(flags, duringAt) === 0) process.kill(process.pid, "SIGKILL");
  else setImmediate(() => process.kill(process.pid, "SIGKILL"));
}

if (isMainThread) arm(kill);
subscribe("kappa:task", (message) => {
  const { task, step } = message as { readonly task: string; readonly step: ChaosStep };
  onStep(step, task);
});
subscribe("kappa:take-over", (message) => {
  const { task, step } = message as { readonly task: string; readonly step: ChaosStep };
  onStep(step, task);
});
subscribe("kappa:kafka-writer", (message) => {
  const { writer, step } = message as { readonly writer: string; readonly step: ChaosStep };
  onStep(step, writer);
});

import { subscribe } from "node:diagnostics_channel";
import { sharedClockMs } from "./decision-reader.ts";

// Preloaded into a process whose take-overs are to be looked at (`node --import restore-steps-tap.ts`), and with it into
// its engine threads: writes a line for each task, with the milliseconds that each step took.

interface TakeOverEvent {
  readonly task: string;
  readonly step: string;
}

const begun = new Map<string, { readonly step: string; readonly atMs: number }[]>();

subscribe("kappa:take-over", (message) => {
  const { task, step } = message as TakeOverEvent;
  const steps = begun.get(task) ?? [];
  steps.push({ step, atMs: sharedClockMs() });
  begun.set(task, steps);
  if (step !== "first-cycle") return;
  begun.delete(task);
  const took = steps.slice(1).map(({ atMs }, i) => {
    const { step: name = "", atMs: startMs = Number.NaN } = steps[i] ?? {};
    return `${name} ${Math.round(atMs - startMs)}`;
  });
  process.stderr.write(`    ${task} at ${Math.round((steps[0]?.atMs ?? 0) % 1e6)}: ${took.join(", ")}\n`);
});

import { subscribe } from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import { type KillPlan, type KillReport, type KillStep, killPlanVariable } from "./kill-plan.ts";

// Preloaded into a process that is to die (`node --import kill-tap.ts`), and with it into its engine threads. It watches
// the steps that tasks and the journal publish, and sends the process SIGKILL at the one that the plan names: no handler
// runs, no buffer is flushed, no thread ends its work.

/** What the taps of all threads of the process share. */
interface Shared {
  /** [1 once a kill is under way, ms from the process's start to the engine's plus 1] */
  readonly flags: Int32Array;
  /** Input records that each task had taken when it recovered, plus 1; 0 until it has. */
  readonly recovered: Float64Array;
  /** Input records that each task has taken. */
  readonly taken: Float64Array;
}

const tasksMax = 256;
const environmentKey = "kappa-test-kill";

function sharedMemory(): Shared {
  if (isMainThread) setEnvironmentData(environmentKey, new SharedArrayBuffer(8 + 16 * tasksMax));
  const memory = getEnvironmentData(environmentKey) as SharedArrayBuffer;
  return {
    flags: new Int32Array(memory, 0, 2),
    recovered: new Float64Array(memory, 8, tasksMax),
    taken: new Float64Array(memory, 8 + 8 * tasksMax, tasksMax),
  };
}

/** A step as `src/engine/engine-thread.ts` publishes it. */
interface TaskEvent {
  readonly task: string;
  readonly step: string;
  readonly sequence: number;
  readonly inputs: Readonly<Record<string, { readonly offset: number }>>;
}

/** A step as `src/log/file-log-journal.ts` publishes it. */
interface JournalEvent {
  readonly step: "write" | "sync";
  readonly sequence: number;
}

class KillTap {
  readonly #plan: KillPlan;
  readonly #shared = sharedMemory();
  /** Events of the wanted step, in this thread. */
  #events = 0;

  constructor(plan: KillPlan) {
    this.#plan = plan;
    if (!isMainThread) Atomics.compareExchange(this.#shared.flags, 1, 0, Math.round(this.#processMs()) + 1);
    subscribe("kappa:task", (message) => this.#onTask(message as TaskEvent));
    subscribe("kappa:journal", (message) => this.#onJournal(message as JournalEvent));
  }

  #onTask({ task, step, sequence, inputs }: TaskEvent): void {
    const offsets: Record<string, number> = {};
    let taken = 0;
    for (const [topic, { offset }] of Object.entries(inputs)) {
      offsets[topic] = offset;
      taken += offset;
    }
    const number = Number(task.slice(task.lastIndexOf("-") + 1));
    if (this.#shared.recovered[number] === 0) this.#shared.recovered[number] = taken + 1;
    this.#shared.taken[number] = taken;
    this.#onStep(step === "state-batch" ? "state batch" : (step as KillStep), task, sequence, offsets);
  }

  #onJournal({ step, sequence }: JournalEvent): void {
    this.#onStep(step === "sync" ? "fsync" : "journal write", "journal", sequence, {});
  }

  #onStep(step: KillStep, task: string, sequence: number, offsets: Readonly<Record<string, number>>): void {
    const { flags, recovered } = this.#shared;
    if (step !== this.#plan.step) return;
    this.#events++;
    let [taken, records] = [0, 0];
    for (const [i, base] of recovered.entries()) {
      if (base === 0) continue;
      const now = this.#shared.taken[i] ?? 0;
      taken += now;
      records += now - (base - 1);
    }
    const processMs = this.#processMs();
    const engineMs = flags[1] ? processMs - (flags[1] - 1) : -1;
    const report: KillReport = { step, task, sequence, offsets, taken, records, processMs, engineMs };
    if (!this.#due(report) || Atomics.compareExchange(flags, 0, 0, 1) !== 0) return;
    if (this.#plan.during) setImmediate(() => this.#kill(report));
    else this.#kill(report);
  }

  #due({ taken, records, engineMs }: KillReport): boolean {
    const { appendEvents, takenMin, recordsMin, engineMsMin } = this.#plan;
    if (appendEvents > 0) return engineMs < 0 && this.#events >= appendEvents;
    // A task publishes its first step when it has recovered: before, there is nothing to count from.
    const running = engineMs >= 0 && this.#shared.recovered.some((base) => base > 0);
    return running && engineMs >= engineMsMin && taken >= takenMin && records >= recordsMin;
  }

  #kill(report: KillReport): void {
    writeFileSync(this.#plan.report, JSON.stringify(report));
    process.kill(process.pid, "SIGKILL");
  }

  /** `process.uptime` counts from the process's start in every thread; a thread's `performance` from its own. */
  #processMs(): number {
    return process.uptime() * 1000;
  }
}

const plan = process.env[killPlanVariable];
if (plan !== undefined) new KillTap(JSON.parse(plan) as KillPlan);

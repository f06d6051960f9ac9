import { subscribe } from "node:diagnostics_channel";
import { openSync, writeFileSync, writeSync } from "node:fs";
import process from "node:process";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import { type KillOrder, type KillReport, type KillStep, killOrderVariable } from "./kill-plan.ts";

// Preloaded into a process that is to die (`node --import kill-tap.ts`), and with it into its engine threads. It watches
// the steps that tasks and the journal publish, and sends the process SIGKILL where the plan says: no handler runs, no
// buffer is flushed, no thread ends its work.

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

/** What the last event said: a report without what the memory shared by all threads knows. */
type Place = Pick<KillReport, "step" | "task" | "sequence" | "offsets">;

const tasksMax = 256;
/** Bytes of a report that is overwritten as the process goes on: one write of this size is never seen half done. */
const reportBytes = 4096;
/** Numbers in `SharedSteps.flags`. */
const [killing, engineStart, flagCount] = [0, 1, 2];

/** What the taps of a process's threads know together. */
class SharedSteps {
  readonly flags: Int32Array;
  /** Input records that each task had taken when it recovered, plus 1; 0 until it has. */
  readonly #recovered: Float64Array;
  /** Input records that each task has taken. */
  readonly #taken: Float64Array;

  constructor() {
    const key = "kappa-test-kill";
    const head = 4 * flagCount;
    if (isMainThread) setEnvironmentData(key, new SharedArrayBuffer(head + 16 * tasksMax));
    const memory = getEnvironmentData(key) as SharedArrayBuffer;
    this.flags = new Int32Array(memory, 0, flagCount);
    this.#recovered = new Float64Array(memory, head, tasksMax);
    this.#taken = new Float64Array(memory, head + 8 * tasksMax, tasksMax);
  }

  /** A task publishes its first step when it has recovered. */
  took(task: number, taken: number): void {
    if (this.#recovered[task] === 0) this.#recovered[task] = taken + 1;
    this.#taken[task] = taken;
  }

  report(place: Place): KillReport & { readonly taken: number } {
    const takenByTask: Record<number, number> = {};
    let [taken, records] = [0, 0];
    for (const [task, base] of this.#recovered.entries()) {
      if (base === 0) continue;
      const now = this.#taken[task] ?? 0;
      takenByTask[task] = now;
      taken += now;
      records += now - (base - 1);
    }
    // `process.uptime` counts from the start of the process in every thread.
    const processMs = process.uptime() * 1000;
    const started = this.flags[engineStart] ?? 0;
    return { ...place, taken, takenByTask, records, processMs, engineMs: started === 0 ? -1 : processMs - started };
  }
}

class KillTap {
  readonly #order: KillOrder;
  readonly #shared = new SharedSteps();
  /** Groups of frames that reached the step of an append plan. */
  #groups = 0;
  #file: number | null = null;

  constructor(order: KillOrder) {
    this.#order = order;
    const { plan } = order;
    if (!isMainThread) Atomics.compareExchange(this.#shared.flags, engineStart, 0, Math.round(process.uptime() * 1000));
    subscribe("kappa:task", (message) => this.#onTask(message as TaskEvent));
    subscribe("kappa:journal", (message) => this.#onJournal(message as JournalEvent));
    if (plan.at === "time") this.#file = openSync(order.report, "r+");
  }

  #onTask({ task, step, sequence, inputs }: TaskEvent): void {
    const offsets: Record<string, number> = {};
    let taken = 0;
    for (const [topic, { offset }] of Object.entries(inputs)) {
      offsets[topic] = offset;
      taken += offset;
    }
    const number = Number(task.slice(task.lastIndexOf("-") + 1));
    this.#shared.took(number, taken);
    const name = step === "state-batch" ? "state batch" : (step as KillStep);
    this.#onStep({ step: name, task, sequence, offsets });
  }

  #onJournal({ step, sequence }: JournalEvent): void {
    const place: Place = { step: step === "sync" ? "fsync" : "journal write", task: "journal", sequence, offsets: {} };
    // Before the engine starts, the journal takes in the input: that is no step of the application.
    if (this.#shared.flags[engineStart] === 0) this.#onAppend(place);
    else this.#onStep(place);
  }

  #onAppend(place: Place): void {
    const { plan } = this.#order;
    if (plan.at !== "append" || plan.step !== place.step || ++this.#groups < plan.groups) return;
    const report = this.#shared.report(place);
    setImmediate(() => this.#kill(report));
  }

  #onStep(place: Place): void {
    const { plan } = this.#order;
    if (plan.at === "append" || (plan.at === "step" && plan.step !== place.step)) return;
    const report = this.#shared.report(place);
    if (plan.at === "time") this.#keep(report);
    else if (report.taken >= plan.takenMin && report.records >= plan.recordsMin) {
      if (plan.during) setImmediate(() => this.#kill(report));
      else this.#kill(report);
    }
  }

  /** The kill comes from outside: the last step is what will be known. */
  #keep(report: KillReport): void {
    if (this.#file !== null) writeSync(this.#file, JSON.stringify(report).padEnd(reportBytes), 0);
  }

  #kill(report: KillReport): void {
    // Two threads may come to it at once: one of them reports.
    if (Atomics.compareExchange(this.#shared.flags, killing, 0, 1) !== 0) return;
    writeFileSync(this.#order.report, JSON.stringify(report));
    process.kill(process.pid, "SIGKILL");
  }
}

const order = process.env[killOrderVariable];
if (order !== undefined) new KillTap(JSON.parse(order) as KillOrder);

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Task, TaskStep } from "../../src/task/task.ts";
import type { RecordingFileSystem } from "../log/power-cut.ts";
import type { DecisionReader } from "./decision-reader.ts";
import type { VolatileState } from "./volatile-state.ts";

/** A moment of a run at which its power is cut. */
export interface CutPlan {
  /** While the input is appended: after so many `steps` of the journal. Otherwise in the run, once all of this holds: */
  readonly appending: boolean;
  /** so many input records were taken by this run, */
  readonly taken: number;
  /** a state batch is being written, */
  readonly duringStateBatch: boolean;
  /** and so many more steps, of tasks or of the journal, have begun. */
  readonly steps: number;
}

/** What a cut has left on the disk, and what had been promised before it. */
export interface Wreck {
  /** Holds `log/`, `state/` and `registry/`. */
  readonly directory: string;
  /** Where the run was. */
  readonly step: string;
  /** File calls of the journal until then. */
  readonly calls: number;
  /** Decisions that the reader had been shown, by partition. */
  readonly shown: readonly (readonly string[])[];
  /** Decisions in the journal, durable or not. */
  readonly written: number;
  /** Bytes of the local state that were lost or damaged. */
  readonly stateBytesLost: number;
}

/** What a run that can be cut consists of. */
interface Circuit {
  readonly reader: DecisionReader;
  readonly state: VolatileState;
}

/** Watches a run step by step; at the planned ones it copies what a power cut would leave. The run does not notice. */
export class PowerSwitch {
  readonly wrecks: Wreck[] = [];
  readonly #directory: string;
  readonly #disk: RecordingFileSystem;
  readonly #random: () => number;
  readonly #append: CutPlan[];
  readonly #running: CutPlan[];
  #circuit: Circuit | null = null;
  /** Input records that each task had taken when it began, and has taken. */
  readonly #from = new Map<string, number>();
  readonly #taken = new Map<string, number>();
  /** Steps seen since the next plan's conditions held. */
  #steps = 0;

  /** @param options.directory of the run; wrecks are made beside it */
  constructor(options: {
    readonly directory: string;
    readonly disk: RecordingFileSystem;
    readonly plans: readonly CutPlan[];
    readonly random: () => number;
  }) {
    this.#directory = options.directory;
    this.#disk = options.disk;
    this.#random = options.random;
    this.#append = options.plans.filter((plan) => plan.appending);
    this.#running = options.plans.filter((plan) => !plan.appending).sort((a, b) => a.taken - b.taken);
  }

  connect(circuit: Circuit): void {
    this.#circuit = circuit;
    subscribe("kappa:journal", this.#journalStep);
  }

  disconnect(): void {
    unsubscribe("kappa:journal", this.#journalStep);
    this.#circuit = null;
  }

  readonly #journalStep = (message: unknown): void => {
    const { step } = message as { readonly step: string };
    if (this.#taken.size > 0) this.#step(`journal ${step}`);
    else if (this.#append[0] !== undefined && this.#steps++ >= this.#append[0].steps) {
      this.#append.shift();
      this.#cut(`append, journal ${step}`);
    }
  };

  taskStep(task: Task, step: TaskStep, sequence: number): void {
    let taken = 0;
    for (const { offset } of Object.values(task.record(sequence).inputs)) taken += offset;
    if (this.#taken.size === 0) this.#steps = 0;
    if (!this.#from.has(task.id)) this.#from.set(task.id, taken);
    this.#taken.set(task.id, taken);
    this.#step(step);
  }

  #step(step: string): void {
    const plan = this.#running[0];
    if (plan === undefined) return;
    let taken = 0;
    for (const [task, now] of this.#taken) taken += now - (this.#from.get(task) ?? 0);
    if (taken < plan.taken || this.#steps++ < plan.steps) return;
    if (plan.duringStateBatch && this.#circuit?.state.batchesUnderWay === 0) return;
    this.#running.shift();
    this.#steps = 0;
    this.#cut(step);
  }

  /** The run is over: what was not cut by now is cut here. */
  end(): void {
    for (const _ of [...this.#append.splice(0), ...this.#running.splice(0)]) this.#cut("end");
  }

  #cut(step: string): void {
    assert.ok(this.#circuit !== null, "a run is cut that is not connected");
    const { reader, state } = this.#circuit;
    const directory = `${this.#directory}-cut-${this.wrecks.length}`;
    mkdirSync(join(directory, "log"), { recursive: true });
    // What is durable at the moment of the cut may have been read at that moment.
    reader.read();
    const calls = this.#disk.callCount;
    this.#disk.cutPower(calls, this.#random, join(this.#directory, "log"), join(directory, "log"));
    const stateBytesLost = state.cutPower(this.#random, join(directory, "state"));
    const registry = join(this.#directory, "registry");
    if (existsSync(registry)) cpSync(registry, join(directory, "registry"), { recursive: true });
    const shown = reader.seen.map((decisions) => [...decisions]);
    this.wrecks.push({ directory, step, calls, shown, written: reader.written, stateBytesLost });
  }
}

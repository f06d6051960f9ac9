import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { appendInput } from "../../scripts/handbook-append.ts";
import { mergeOrder } from "../../scripts/handbook-input.ts";
import { messageOf, openFileLog, type TaskSettings, type Topology } from "../../src/index.ts";
import { type FileSystem, nodeFileSystem } from "../../src/log/file-system.ts";
import handbook from "../../topologies/handbook.ts";
import { RecordingFileSystem, seededRandom } from "../log/power-cut.ts";
import { brokenPromise, DecisionReader } from "./decision-reader.ts";
import { decisionsHash } from "./decisions.ts";
import { type HandbookData, handbookData } from "./handbook-data.ts";
import { runToEnd } from "./in-process-engine.ts";
import { type CutPlan, PowerSwitch } from "./power-switch.ts";
import { VolatileState } from "./volatile-state.ts";

export interface PowerCutOptions {
  readonly cuts: number;
  /** Cuts taken of one recorded run. */
  readonly cutsPerRun: number;
  /** Payments in the input. */
  readonly rows: number;
  readonly partitions: number;
  readonly model: string;
  readonly seed: number;
  /** The journal's fdatasync does nothing: its promises are empty. */
  readonly withoutFsync: boolean;
  /** Is emptied and filled. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

/** What a cut has left on the disk, and what had been promised before it. */
interface Wreck {
  readonly directory: string;
  readonly seed: number;
  /** Whether it came in a run that recovered from another cut. */
  readonly again: boolean;
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

/** A power cut, and what came of it. */
export interface PowerCut extends Omit<Wreck, "shown" | "directory"> {
  readonly shown: number;
  /** Decisions that were written and are not there after recovery; they are decided again. */
  readonly lost: number;
  /** Null when every promise held. */
  readonly failure: string | null;
}

const segmentBytes = 256 * 1024;
/** Small, so that a small input makes many commits and state batches, and state is read back from disk. */
const settings: Partial<TaskSettings> = { commitRecordsMax: 40, commitIntervalMs: 1, flushIntervalMs: 15 };
const cacheBytesPerTask = 96 * 1024;

/**
 * Cuts the power of the handbook's job over and over. A cut leaves of the journal what its recorded file calls allow,
 * and of the local state what was synced, with any part of the rest. Whatever a reader of durable decisions had been
 * shown must be there when the log is opened again, and the finished run must hold what an undisturbed one holds.
 */
export async function runPowerCuts(options: PowerCutOptions): Promise<PowerCut[]> {
  rmSync(options.directory, { recursive: true, force: true });
  mkdirSync(options.directory, { recursive: true });
  const series = new PowerCutSeries(options);
  await series.establishTruth();
  const cuts: PowerCut[] = [];
  for (let run = 0; cuts.length < options.cuts; run++) {
    const count = Math.min(options.cutsPerRun, options.cuts - cuts.length);
    cuts.push(...(await series.cutRun(options.seed * 1000 + run, count)));
    const failed = cuts.filter(({ failure }) => failure !== null).length;
    options.say(`${cuts.length} of ${options.cuts} cuts, ${failed} failed`);
  }
  return cuts;
}

interface Run {
  readonly directory: string;
  readonly disk: FileSystem;
  readonly power: PowerSwitch | null;
  /** What must be there from the start. */
  readonly promised: readonly (readonly string[])[];
}

class PowerCutSeries {
  readonly #options: PowerCutOptions;
  readonly #topology: Topology;
  readonly #data: HandbookData;
  readonly #order: Uint32Array;
  #truth = "";

  constructor(options: PowerCutOptions) {
    this.#options = options;
    this.#topology = handbook({ model: options.model });
    this.#data = handbookData(options.rows, options.seed);
    this.#order = mergeOrder(this.#data.transactions, this.#data.labels);
  }

  /** Runs undisturbed; every other run must end with the same decisions. */
  async establishTruth(): Promise<void> {
    const directory = join(this.#options.directory, "undisturbed");
    const { hash } = await this.#run({ directory, disk: nodeFileSystem, power: null, promised: [] });
    this.#truth = hash;
    this.#options.say(`undisturbed: ${hash}`);
  }

  /** A recorded run, and `count` cuts of it: each is recovered from, and run to its end. */
  async cutRun(seed: number, count: number): Promise<PowerCut[]> {
    const { directory, withoutFsync } = this.#options;
    const random = seededRandom(seed);
    const place = join(directory, `run-${seed}`);
    const disk = new RecordingFileSystem({ ignoreDatasync: withoutFsync });
    // The last cut comes in the run that recovers from the one before: power seldom fails once.
    const first = await this.#cut({ directory: place, disk, promised: [] }, seed, this.#plan(count - 1, random), random);
    const cuts: PowerCut[] = [];
    for (const wreck of first.slice(0, -1)) cuts.push(await this.#recover(wreck));
    const last = first.at(-1);
    if (last !== undefined) cuts.push(...(await this.#recoverTwice(last, random)));
    rmSync(place, { recursive: true, force: true });
    return cuts;
  }

  #plan(count: number, random: () => number): CutPlan[] {
    const rows = this.#order.length;
    return Array.from({ length: count }, (_, i): CutPlan => {
      // One in ten while the input is appended, the others anywhere in the run.
      if (i % 10 === 9) return { taken: 0, steps: 1 + Math.floor(random() * 6), appending: true, duringStateBatch: false };
      const taken = Math.floor(((i + random()) / count) * rows);
      return { taken, steps: Math.floor(random() * 20), appending: false, duringStateBatch: random() < 0.5 };
    });
  }
}

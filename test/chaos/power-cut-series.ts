import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { appendInput } from "../../scripts/handbook-append.ts";
import { mergeOrder } from "../../scripts/handbook-input.ts";
import { messageOf, openFileLog, type TaskSettings, type Topology } from "../../src/index.ts";
import { type FileSystem, nodeFileSystem } from "../../src/log/file-system.ts";
import { createTopics } from "../../src/task/application.ts";
import handbook from "../../topologies/handbook.ts";
import { RecordingFileSystem, seededRandom } from "../log/power-cut.ts";
import { brokenPromise, DecisionReader } from "./decision-reader.ts";
import { decisionsHash } from "./decisions.ts";
import { type HandbookData, handbookData } from "./handbook-data.ts";
import { runToEnd } from "./in-process-engine.ts";
import { type CutPlan, PowerSwitch, type Wreck } from "./power-switch.ts";
import { VolatileState } from "./volatile-state.ts";
import { withoutFsync } from "./without-fsync.ts";

export interface PowerCutOptions {
  readonly cuts: number;
  /** Cuts taken of one recorded run. */
  readonly cutsPerRun: number;
  /** Payments in the input. */
  readonly rows: number;
  readonly partitions: number;
  readonly model: string;
  readonly seed: number;
  /** The fsync of the journal's commits is left out: its promises are empty. */
  readonly withoutFsync: boolean;
  /** Is emptied and filled. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

/** A power cut, and what came of it. */
export interface PowerCut extends Omit<Wreck, "shown" | "directory"> {
  readonly seed: number;
  /** Whether it came in a run that recovered from another cut. */
  readonly again: boolean;
  readonly shown: number;
  /** Decisions that are there after recovery; those that were written and are not are decided again. */
  readonly recovered: number;
  /** Databases that recovery threw away and restored from the log. */
  readonly discarded: number;
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
  /** Decisions that a reader was shown before: they must be there from the start to the end. */
  readonly promised: readonly (readonly string[])[];
  /** Cuts the power meanwhile; the run itself goes on. */
  readonly power?: PowerSwitch;
}

interface RunEnd {
  /** Of the decisions, with their count. */
  readonly hash: string;
  /** Decisions that were there when the log was opened. */
  readonly recovered: number;
  readonly discarded: number;
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
    const { hash } = await this.#run({ directory, disk: nodeFileSystem, promised: [] });
    this.#truth = hash;
    this.#options.say(`undisturbed: ${hash}`);
  }

  /** A recorded run, and `count` cuts of it: each is recovered from, and run to its end. */
  async cutRun(seed: number, count: number): Promise<PowerCut[]> {
    const random = seededRandom(seed);
    const directory = join(this.#options.directory, `run-${seed}`);
    const plans = this.#plans(Math.max(1, count - 1), random);
    const wrecks = await this.#wreck({ directory, promised: [] }, new RecordingFileSystem(), plans, random);
    const cuts: PowerCut[] = [];
    // Power seldom fails once: a run that recovers from one of the cuts is cut in its turn.
    const twice = count > 1 ? wrecks[Math.floor(random() * wrecks.length)] : undefined;
    if (twice !== undefined) {
      try {
        for (const wreck of await this.#wreckAgain(twice, random))
          cuts.push({ ...(await this.#recover(wreck)), seed, again: true });
      } catch (error) {
        cuts.push({ ...cutOf(twice), failure: messageOf(error), seed, again: true });
      }
    }
    for (const wreck of wrecks) cuts.push({ ...(await this.#recover(wreck)), seed, again: false });
    rmSync(directory, { recursive: true });
    return cuts;
  }

  /** One in ten while the input is appended, the others spread over the run. */
  #plans(count: number, random: () => number): CutPlan[] {
    const rows = this.#order.length;
    return Array.from({ length: count }, (_, i): CutPlan => {
      if (i % 10 === 9) return { appending: true, taken: 0, steps: Math.floor(random() * 6), duringStateBatch: false };
      const taken = Math.floor(((i + random()) / count) * rows);
      return { appending: false, taken, steps: Math.floor(random() * 20), duringStateBatch: random() < 0.5 };
    });
  }

  /** Runs to the end and cuts the power on the way. @throws when the run itself does not end as the undisturbed one */
  async #wreck(
    run: Pick<Run, "directory" | "promised">,
    recording: RecordingFileSystem,
    plans: readonly CutPlan[],
    random: () => number,
  ): Promise<readonly Wreck[]> {
    const power = new PowerSwitch({ directory: run.directory, disk: recording, plans, random });
    const disk = this.#options.withoutFsync ? withoutFsync(recording) : recording;
    const { hash } = await this.#run({ ...run, disk, power });
    if (hash !== this.#truth) throw new Error(`the recorded run in ${run.directory} ended with ${hash}`);
    return power.wrecks;
  }

  /** Recovers from a wreck under a recording of its own, and cuts that run. @throws when there is no recovering from it */
  async #wreckAgain(wreck: Wreck, random: () => number): Promise<readonly Wreck[]> {
    const directory = `${wreck.directory}-again`;
    const recording = new RecordingFileSystem();
    cpSync(wreck.directory, directory, { recursive: true });
    for (const name of readdirSync(join(wreck.directory, "log"))) {
      const file = await recording.create(join(directory, "log", name));
      await file.write([readFileSync(join(wreck.directory, "log", name))], 0);
      await file.datasync();
      await file.close();
    }
    await recording.syncDirectory(join(directory, "log"));
    const plan = { appending: false, taken: 0, steps: Math.floor(random() * 200), duringStateBatch: false };
    const run = { directory, promised: wreck.shown };
    return await this.#wreck(run, recording, [plan], random);
  }

  async #recover(wreck: Wreck): Promise<CutOutcome> {
    try {
      const { directory, shown } = wreck;
      const { hash, recovered, discarded } = await this.#run({ directory, disk: nodeFileSystem, promised: shown });
      const failure = hash === this.#truth ? null : `the finished run holds ${hash}, not ${this.#truth}`;
      return { ...cutOf(wreck), recovered, discarded, failure };
    } catch (error) {
      return { ...cutOf(wreck), failure: messageOf(error) };
    }
  }

  /** Opens what is there, goes on to the end of the input, closes. */
  async #run({ directory, disk, promised, power }: Run): Promise<RunEnd> {
    const { transactions, labels } = this.#data;
    const { partitions, model } = this.#options;
    mkdirSync(directory, { recursive: true });
    const log = await openFileLog({ directory: join(directory, "log"), fileSystem: disk, segmentBytes });
    const reader = new DecisionReader(log);
    try {
      await keepPromise("after recovery", promised, reader);
      const recovered = reader.count;
      const state = new VolatileState(join(directory, "state"), cacheBytesPerTask);
      power?.connect({ reader, state });
      await appendInput({ log, dataDir: directory, partitions, transactions, labels, model, order: this.#order });
      // Before the run: the reader must have them open when the power is cut.
      await createTopics(this.#topology, log, partitions);
      await reader.open();
      await runToEnd({
        topology: this.#topology,
        log,
        registryDir: join(directory, "registry"),
        settings,
        openDatabase: (partition, discard) => state.open(partition, discard),
        tap: (task, step, sequence) => power?.taskStep(task, step, sequence),
      });
      power?.end();
      await keepPromise("at the end", promised, reader);
      const { records, keys, hash } = await decisionsHash(log);
      return { hash: `${records} decisions, ${keys} keys, ${hash}`, recovered, discarded: state.discarded };
    } finally {
      power?.disconnect();
      reader.close();
      await log.close();
    }
  }
}

type CutOutcome = Omit<PowerCut, "seed" | "again">;

/** A cut before anything is known of its recovery. */
function cutOf({ step, calls, shown, written, stateBytesLost }: Wreck): Omit<CutOutcome, "failure"> {
  const count = shown.reduce((sum, decisions) => sum + decisions.length, 0);
  return { step, calls, shown: count, written, recovered: 0, discarded: 0, stateBytesLost };
}

async function keepPromise(
  when: string,
  promised: readonly (readonly string[])[],
  reader: DecisionReader,
): Promise<void> {
  await reader.open();
  reader.read();
  const broken = brokenPromise(promised, reader.seen);
  if (broken !== null) throw new Error(`${when}, ${broken}`);
}

import {
  closeSync,
  cpSync,
  existsSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "@commander-js/extra-typings";
import { defaultSettings, KappaError, messageOf, openFileLog } from "../../src/index.ts";
import { runChild } from "./child.ts";
import { type ProfileLine, readProfiles } from "./cpu-profile.ts";
import type { EngineOrder, EngineRun } from "./engine-process.ts";
import type { FloorOrder, FloorRun } from "./floor-process.ts";
import { fraudWorkload } from "./fraud-workload.ts";
import { handbookWorkload } from "./handbook-workload.ts";
import { preload } from "./input-encoder.ts";
import { machineOf } from "./machine.ts";
import { type PacedRun, pacedRun } from "./paced-run.ts";
import { median, rounded } from "./percentiles.ts";
import { sampleVectors } from "./vector-sample.ts";
import { wholeNumber } from "./whole-number.ts";
import type { Workload } from "./workload.ts";

const command = new Command("bench")
  .description("Measures the engine on the embedded log: exactly-once, fsync, this disk. JSON on stdout.")
  .addOption(
    new Option("--transactions <files...>", "Parquet files of the handbook's transactions; default: simulated ones"),
  )
  .addOption(new Option("--labels <files...>", "Parquet files of their labels"))
  .addOption(new Option("--model <file>", "ONNX model over the handbook's 15 columns"))
  .addOption(new Option("--copies <count>", "how often the files are preloaded").default(1).argParser(wholeNumber))
  .addOption(
    new Option("--events <count>", "simulated transactions, without files").default(1_000_000).argParser(wholeNumber),
  )
  .addOption(new Option("--runs <count>", "runs of engine and floor, in turn").default(3).argParser(wholeNumber))
  .addOption(new Option("--threads <count>", "engine threads").default(2).argParser(wholeNumber))
  .addOption(new Option("--partitions <count>", "partitions of every topic").default(8).argParser(wholeNumber))
  .addOption(new Option("--rate <perSecond>", "records a second of the paced run").default(2000).argParser(wholeNumber))
  .addOption(new Option("--seconds <seconds>", "measured length of the paced run").default(30).argParser(wholeNumber))
  .option("--data-dir <dir>", "folder to work in; its contents named bench-* are replaced", ".kappa")
  .option("--json <file>", "writes the JSON there too")
  .option("--profile", "one more run of the engine, with the processor time by kind of work")
  .option("--quick", "100,000 simulated transactions, one run, five paced seconds: does it work?");

type Options = ReturnType<typeof command.opts>;

interface RunPair {
  readonly engine: EngineRun;
  readonly floor: FloorRun;
  /** Engine's steady rate over the floor's. */
  readonly share: number;
  /** Processor time of the floor over the engine's, start-up included: what a machine shared with others leaves true. */
  readonly cpuShare: number;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

class Bench {
  readonly #options: Options;
  readonly #workload: Workload;
  readonly #directory: string;
  #records = 0;
  #scoredShare = 0;

  constructor(options: Options, workload: Workload, directory: string) {
    this.#options = options;
    this.#workload = workload;
    this.#directory = directory;
  }

  async run(): Promise<object> {
    const { runs, threads, partitions, rate, seconds, profile } = this.#options;
    const machine = machineOf(this.#directory);
    say(
      `${machine.cores} cores ${machine.processor}, ${machine.fileSystem}, fdatasync ${machine.fdatasyncMedianMs} ms, Node ${machine.node}`,
    );
    say(`${this.#workload.name}; ${partitions} partitions, ${threads} threads, settings as shipped`);
    await this.#preload();
    const pairs: RunPair[] = [];
    for (let run = 1; run <= runs; run++) pairs.push(await this.#pair(run, run === runs));
    const profiled = profile === true ? await this.#profile() : null;
    const paced = await this.#paced();
    rmSync(this.#directory, { recursive: true });
    const { preloaded } = this.#workload;
    const result = {
      machine,
      workload: this.#workload.name,
      configuration: { partitions, threads, rate, seconds, settings: defaultSettings },
      preloaded: { records: this.#records, transactions: preloaded },
      throughput: summaryOf(pairs),
      latency: paced,
      profile: profiled,
      runs: pairs,
    };
    return { ...result, demands: demandsOf(result.throughput, paced) };
  }

  /** The input that every run starts from. */
  async #preload(): Promise<void> {
    const startMs = performance.now();
    const directory = join(this.#directory, "input");
    const log = await openFileLog({ directory: join(directory, "log") });
    this.#records = await preload(log, this.#workload, join(directory, "registry"), this.#options.partitions);
    await log.close();
    say(`preloaded ${figure(this.#records)} records in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  }

  /** A data directory of its own for a run, on the disk before the run begins. */
  #fresh(name: string): EngineOrder {
    const dataDir = join(this.#directory, name);
    rmSync(dataDir, { recursive: true, force: true });
    cpSync(join(this.#directory, "input"), dataDir, { recursive: true });
    for (const entry of readdirSync(dataDir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = openSync(join(entry.parentPath, entry.name), "r+");
      fdatasyncSync(file);
      closeSync(file);
    }
    const { topology, decisionsTopic } = this.#workload;
    return { dataDir, topology, decisionsTopic, threads: this.#options.threads };
  }

  async #engine(order: EngineOrder, execArgv: readonly string[] = []): Promise<EngineRun> {
    const run = await runChild<EngineRun>("./engine-process.ts", order, execArgv);
    if (run.decisions !== this.#workload.preloaded) {
      throw new KappaError(
        "KAPPA_ENGINE_FAILED",
        `${run.decisions} decisions for ${this.#workload.preloaded} transactions`,
      );
    }
    return run;
  }

  async #pair(run: number, last: boolean): Promise<RunPair> {
    const order = this.#fresh("engine");
    const engine = await this.#engine(order);
    const vectorsFile = join(this.#directory, "vectors");
    if (run === 1) this.#scoredShare = await sampleVectors(order, vectorsFile);
    // The paced run goes on where the last run ended.
    if (!last) rmSync(order.dataDir, { recursive: true });
    const { threads, partitions } = this.#options;
    const floorOrder: FloorOrder = {
      ...this.#fresh("floor"),
      partitions,
      records: this.#records,
      transactions: this.#workload.preloaded,
      appended: engine.appended,
      vectorsFile,
      scoredShare: this.#scoredShare,
      framesInFlightMax: defaultSettings.commitsInFlightMax * Math.ceil(partitions / threads),
    };
    const floor = await runChild<FloorRun>("./floor-process.ts", floorOrder);
    rmSync(floorOrder.dataDir, { recursive: true });
    const share = rounded(engine.steadyPerSecond / floor.perSecond);
    const pair = { engine, floor, share, cpuShare: rounded(floor.cpuSeconds / engine.cpuSeconds) };
    say(
      `run ${run}: engine ${figure(engine.steadyPerSecond)}/s (${figure(engine.wholePerSecond)} with start-up), ` +
        `floor ${figure(floor.perSecond)}/s, share ${percent(share)}; processor seconds ${engine.cpuSeconds.toFixed(1)} and ${floor.cpuSeconds.toFixed(1)}`,
    );
    return pair;
  }

  async #profile(): Promise<ProfileLine[]> {
    const directory = join(this.#directory, "profiles");
    const order = this.#fresh("profiled");
    await this.#engine(order, ["--cpu-prof", `--cpu-prof-dir=${directory}`]);
    rmSync(order.dataDir, { recursive: true });
    const lines = readProfiles(directory);
    const total = lines.reduce((sum, { engineSeconds }) => sum + engineSeconds, 0);
    say("where the time of the engine's threads goes (seconds of the journal's thread beside it)");
    for (const { work, engineSeconds, journalSeconds } of lines) {
      say(
        `  ${work.padEnd(20)} ${engineSeconds.toFixed(2).padStart(8)} s ${percent(engineSeconds / total).padStart(7)} ${journalSeconds.toFixed(2).padStart(8)} s`,
      );
    }
    return lines;
  }

  async #paced(): Promise<PacedRun> {
    const { topology, decisionsTopic } = this.#workload;
    const { rate, seconds, threads, partitions } = this.#options;
    const order = { dataDir: join(this.#directory, "engine"), topology, decisionsTopic, threads };
    const options = { perSecond: rate, seconds, warmUpSeconds: Math.min(10, seconds), partitions };
    const run = await pacedRun(order, this.#workload, options);
    say(
      `paced at ${rate}/s: the engine's process keeps ${run.coresBusy} cores busy, ${run.framesPerSecond} frames a second`,
    );
    say(`  ms from due time                   p50       p99     p99.9`);
    for (const [what, { p50, p99, p999 }] of [
      ["append and fdatasync alone", run.bareAppendMs],
      ["append beside the engine", run.appendMs],
      ["durable decision", run.decisionMs],
    ] as const) {
      say(`  ${what.padEnd(28)}${[p50, p99, p999].map((ms) => ms.toFixed(2).padStart(10)).join("")}`);
    }
    return run;
  }
}

function summaryOf(pairs: readonly RunPair[]) {
  const of = (value: (pair: RunPair) => number): number => median(pairs.map(value));
  return {
    steadyPerSecond: Math.round(of(({ engine }) => engine.steadyPerSecond)),
    withStartUpPerSecond: Math.round(of(({ engine }) => engine.wholePerSecond)),
    floorPerSecond: Math.round(of(({ floor }) => floor.perSecond)),
    shareOfFloor: of(({ share }) => share),
    cpuShareOfFloor: of(({ cpuShare }) => cpuShare),
    cpuSecondsPerMillion: of(({ engine }) => (engine.cpuSeconds / engine.decisions) * 1e6),
    bytesPerTransaction: of(({ engine }) => engine.appended.bytes / engine.decisions),
    peakResidentMb: Math.round(of(({ engine }) => engine.peakResidentMb)),
  };
}

/** What the reference machine, of two cores, has to reach. */
function demandsOf({ steadyPerSecond, shareOfFloor }: ReturnType<typeof summaryOf>, paced: PacedRun): object[] {
  const latencyMax = Math.max(20, 4 * paced.bareAppendMs.p99);
  const demands = [
    {
      what: "transactions a second, at least",
      demanded: 60_000,
      measured: steadyPerSecond,
      met: steadyPerSecond >= 60_000,
    },
    { what: "share of the floor, at least", demanded: 0.4, measured: shareOfFloor, met: shareOfFloor >= 0.4 },
    {
      what: "p99 to the durable decision in ms, at most",
      demanded: latencyMax,
      measured: paced.decisionMs.p99,
      met: paced.decisionMs.p99 <= latencyMax,
    },
  ];
  for (const { what, demanded, measured, met } of demands)
    say(`${met ? "met   " : "NOT MET"} ${what} ${demanded}: ${measured}`);
  return demands;
}

const figure = (value: number): string => Math.round(value).toLocaleString("en");
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

async function workloadOf({ transactions, labels, model, copies, events, quick }: Options): Promise<Workload> {
  if (transactions !== undefined && labels !== undefined && model !== undefined) {
    return handbookWorkload({ transactions, labels, model, copies });
  }
  if (transactions !== undefined || labels !== undefined || model !== undefined) {
    throw new KappaError(
      "KAPPA_USAGE",
      "--transactions, --labels and --model belong together: give all three, or none",
    );
  }
  const shipped = fileURLToPath(new URL("../../models/fraud/model.json", import.meta.url));
  if (!existsSync(shipped))
    throw new KappaError("KAPPA_USAGE", `${shipped} is missing; give --transactions, --labels and --model`);
  return fraudWorkload(quick === true ? 100_000 : events);
}

async function main(): Promise<void> {
  const given = command.parse().opts();
  const options = given.quick === true ? { ...given, runs: 1, seconds: 5, copies: 1 } : given;
  const directory = join(resolve(options.dataDir), "bench-speed");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const result = `${JSON.stringify(await new Bench(options, await workloadOf(options), directory).run(), null, 2)}\n`;
  process.stdout.write(result);
  if (options.json !== undefined) writeFileSync(options.json, result);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof KappaError ? error.code : "KAPPA_ENGINE_FAILED"}: ${messageOf(error)}\n`);
  process.exitCode = 1;
});

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { seededRandom } from "../log/power-cut.ts";
import { decisionsHashIn, recordsIn } from "./decisions.ts";
import {
  type KillOrder,
  type KillPlan,
  type KillReport,
  type KillStep,
  killOrderVariable,
  killSteps,
  recovering,
} from "./kill-plan.ts";

export interface KillSeriesOptions {
  /** Parquet files, as `scripts/handbook.ts` takes them. */
  readonly transactions: readonly string[];
  readonly labels: readonly string[];
  readonly model: string;
  readonly partitions: number;
  /** Memory for state, MiB. Little of it makes state batches frequent and the state on disk be read back. */
  readonly cacheMb: number;
  /** Kills deep in a run, spread over the input: each at least `recordsMin` input records after its recovery. */
  readonly lateKills: number;
  readonly recordsMin: number;
  /** Kills at most `earlyMs` after the start of the process, whatever it is doing: mostly recovering. */
  readonly earlyKills: number;
  readonly earlyMs: number;
  /** Kills at a step that a run comes to soon after its recovery; beside those above. */
  readonly soonKills: number;
  /** Kills while the input is still being appended; beside those above. */
  readonly appendKills: number;
  /** How often each of the steps read, process, write, fsync and state batch must be hit. */
  readonly stepHitsMin: number;
  readonly seed: number;
  /** For node, before the script. */
  readonly nodeArguments: readonly string[];
  /** Is emptied and filled. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

export type KillKind = "append" | "late" | "early" | "soon";

export interface Kill extends KillReport {
  readonly kind: KillKind;
  /** Input records that all tasks have taken since their first start. */
  readonly taken: number;
}

/** What is asked of a series, and whether it held. */
export interface Finding {
  readonly demand: string;
  readonly found: string;
  readonly held: boolean;
}

export interface KillSeriesResult {
  readonly kills: readonly Kill[];
  readonly findings: readonly Finding[];
}

/** Steps that must be hit. */
const demandedSteps: readonly KillStep[] = ["read", "process", "write", "fsync", "state batch"];
/** Those that a run comes to within moments of its start: the first state batch takes a while. */
const stepsSoonReached: readonly KillStep[] = ["process", "fsync", "read", "write", "durable", "journal write"];
/** A run that has not ended by then hangs. */
const runMsMax = 300_000;

/**
 * Runs the handbook's job undisturbed; then again under a series of `kill -9`, each followed by a restart of the same
 * command; then once more with its state directory deleted half way. All three must leave the same decisions.
 */
export async function runKillSeries(options: KillSeriesOptions): Promise<KillSeriesResult> {
  rmSync(options.directory, { recursive: true, force: true });
  mkdirSync(options.directory, { recursive: true });
  return await new KillSeries(options).run();
}

/** How a process ended. */
interface ProcessEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** What it wrote to standard error. */
  readonly errors: string;
  /** From its start to our kill, if we killed it. */
  readonly killedMs: number;
}

interface PlannedKill {
  readonly kind: KillKind;
  readonly plan: KillPlan;
}

class KillSeries {
  readonly #options: KillSeriesOptions;
  readonly #random: () => number;
  readonly #kills: Kill[] = [];
  /** By task: input records taken, as last reported. */
  readonly #taken = new Map<string, number>();

  constructor(options: KillSeriesOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
  }

  async run(): Promise<KillSeriesResult> {
    const { say } = this.#options;
    await this.#runToEnd("undisturbed");
    const expected = await this.#content("undisturbed");
    const inputs = await recordsIn(this.#log("undisturbed"), ["transactions", "fraud-labels"]);
    say(`undisturbed: ${inputs} input records, ${expected}`);
    this.#checkRoom(inputs);

    for (const planned of this.#plans(inputs)) await this.#killAsPlanned(planned);
    await this.#runToEnd("killed");
    const killed = await this.#content("killed");
    say(`killed ${this.#kills.length} times: ${killed}`);

    const deletedAt = await this.#deleteStateHalfWay(inputs);
    const stateless = await this.#content("stateless");
    say(`state deleted after ${deletedAt} records: ${stateless}`);
    return {
      kills: this.#kills,
      findings: [
        ...this.#killFindings(),
        {
          demand: "decisions after the kills are those of the undisturbed run",
          found: killed,
          held: killed === expected,
        },
        {
          demand: `the state directory was deleted between 40 and 60 % of the ${inputs} records`,
          found: String(deletedAt),
          held: deletedAt >= inputs * 0.4 && deletedAt <= inputs * 0.6,
        },
        { demand: "decisions after the deletion are the same too", found: stateless, held: stateless === expected },
      ],
    };
  }

  /** Between two late kills more is taken than asked for: a step comes when it comes. */
  #checkRoom(inputs: number): void {
    const { lateKills, recordsMin } = this.#options;
    const needed = lateKills * recordsMin * 1.5;
    if (inputs < needed) throw new Error(`${lateKills} late kills need ${needed} input records, there are ${inputs}`);
  }

  #killFindings(): Finding[] {
    const { lateKills, earlyKills, recordsMin, earlyMs, stepHitsMin } = this.#options;
    const late = this.#count((kill) => kill.kind === "late" && kill.records >= recordsMin);
    const early = this.#count((kill) => kill.kind === "early" && kill.processMs <= earlyMs);
    return [
      atLeast(lateKills, `kills ${recordsMin} records or more after the last recovery`, late),
      atLeast(earlyKills, `kills within ${earlyMs} ms of the start of the process`, early),
      ...demandedSteps.map((step) => {
        const hits = this.#count((kill) => kill.kind !== "append" && kill.step === step);
        return atLeast(stepHitsMin, `kills at step ${step}`, hits);
      }),
    ];
  }

  #count(matches: (kill: Kill) => boolean): number {
    return this.#kills.filter(matches).length;
  }

  /** The others are strewn between the late ones, whose steps come in a drawn order and all equally often. */
  #plans(inputs: number): PlannedKill[] {
    const { lateKills, earlyKills, soonKills, appendKills, recordsMin, earlyMs } = this.#options;
    const random = this.#random;
    const appends = repeated(["fsync", "journal write"] as const, appendKills).map((step): PlannedKill => {
      return { kind: "append", plan: { at: "append", step, groups: 2 + Math.floor(random() * 5) } };
    });
    const between = shuffled(
      [
        ...Array.from({ length: earlyKills }, (): PlannedKill => {
          return { kind: "early", plan: { at: "time", processMs: Math.floor(earlyMs * (0.4 + 0.55 * random())) } };
        }),
        ...repeated(stepsSoonReached, soonKills).map((step): PlannedKill => {
          return { kind: "soon", plan: { at: "step", step, during: random() < 0.5, takenMin: 0, recordsMin: 0 } };
        }),
      ],
      random,
    );
    const late = shuffled(repeated(killSteps, lateKills), random).map((step, i): PlannedKill => {
      const takenMin = Math.floor((inputs * (i + 0.25 + random() * 0.5)) / (lateKills + 1));
      return { kind: "late", plan: { at: "step", step, during: random() < 0.5, takenMin, recordsMin } };
    });
    const strewn = late.flatMap((kill, i) => {
      const share = (at: number) => Math.floor((at * between.length) / late.length);
      return [kill, ...between.slice(share(i), share(i + 1))];
    });
    return [...appends, ...strewn];
  }

  /** On a machine that is busy with other things the timer fires late: such a kill counts for less, and is tried again. */
  async #killAsPlanned({ kind, plan }: PlannedKill): Promise<void> {
    const { earlyMs, say } = this.#options;
    for (let attempt = 1; attempt <= 3; attempt++) {
      const sooner = plan.at === "time" ? { ...plan, processMs: plan.processMs / attempt } : plan;
      const kill = await this.#kill("killed", kind, sooner);
      const tooLate = kind === "early" && kill.processMs > earlyMs;
      this.#kills.push(tooLate ? { ...kill, kind: "soon" } : kill);
      say(`kill ${this.#kills.length}: ${kind}, ${kill.step} ${kill.task}, ${kill.records} records since recovery`);
      if (!tooLate) return;
    }
  }

  async #kill(name: string, kind: KillKind, plan: KillPlan): Promise<Kill> {
    const path = join(this.#options.directory, `${name}.kill.json`);
    writeFileSync(path, "");
    const { code, signal, errors, killedMs } = await this.#start(name, { plan, report: path });
    const text = readFileSync(path, "utf8");
    if (signal !== "SIGKILL" || (text === "" && plan.at !== "time")) {
      const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
      throw new Error(`the run ${how} instead of being killed at ${JSON.stringify(plan)}\n${errors}`);
    }
    const reported = text === "" ? { ...recovering, processMs: killedMs } : (JSON.parse(text) as KillReport);
    const report = plan.at === "time" ? { ...reported, processMs: killedMs } : reported;
    for (const [task, taken] of Object.entries(report.takenByTask)) this.#taken.set(task, taken);
    return { ...report, kind, taken: [...this.#taken.values()].reduce((sum, taken) => sum + taken, 0) };
  }

  /** @returns input records taken when it was deleted */
  async #deleteStateHalfWay(inputs: number): Promise<number> {
    this.#taken.clear();
    const takenMin = Math.floor(inputs / 2);
    const plan = { at: "step", step: "durable", during: false, takenMin, recordsMin: 0 } as const;
    const { taken } = await this.#kill("stateless", "late", plan);
    rmSync(join(this.#options.directory, "stateless", "state"), { recursive: true });
    await this.#runToEnd("stateless");
    return taken;
  }

  async #runToEnd(name: string): Promise<void> {
    const { code, signal, errors } = await this.#start(name, null);
    if (code !== 0) throw new Error(`run "${name}" ended with ${signal ?? `code ${code}`}\n${errors}`);
  }

  #start(name: string, order: KillOrder | null): Promise<ProcessEnd> {
    const { transactions, labels, model, partitions, cacheMb, directory, nodeArguments } = this.#options;
    const tap = order === null ? [] : ["--import", new URL("./kill-tap.ts", import.meta.url).href];
    const script = new URL("../../scripts/handbook.ts", import.meta.url).pathname;
    const files = ["--transactions", ...transactions, "--labels", ...labels, "--model", model];
    const sizes = ["--partitions", String(partitions), "--cache-mb", String(cacheMb)];
    const args = [...nodeArguments, ...tap, script, ...files, ...sizes, "--data-dir", join(directory, name)];
    const env = { ...process.env, ...(order === null ? {} : { [killOrderVariable]: JSON.stringify(order) }) };
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, { env, stdio: ["ignore", "inherit", "pipe"], timeout: runMsMax });
      const startMs = performance.now();
      let killedMs = 0;
      const kill = () => {
        killedMs = performance.now() - startMs;
        child.kill("SIGKILL");
      };
      const timer = order?.plan.at === "time" ? setTimeout(kill, order.plan.processMs) : undefined;
      let errors = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        errors += text;
      });
      child.on("error", reject).on("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal, errors, killedMs });
      });
    });
  }

  #log(name: string): string {
    return join(this.#options.directory, name, "log");
  }

  async #content(name: string): Promise<string> {
    const { records, keys, hash } = await decisionsHashIn(this.#log(name));
    return `${records} decisions, ${keys} keys, ${hash}`;
  }
}

function atLeast(least: number, demand: string, found: number): Finding {
  return { demand: `at least ${least} ${demand}`, found: String(found), held: found >= least };
}

/** The items over and over until there are `length`. */
function repeated<Item>(items: readonly Item[], length: number): Item[] {
  return Array.from({ length }, (_, i) => items[i % items.length] as Item);
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

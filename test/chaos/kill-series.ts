import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { seededRandom } from "../log/power-cut.ts";
import { decisionsHashIn, recordsIn } from "./decisions.ts";
import { type KillPlan, type KillReport, type KillStep, killPlanVariable, killSteps } from "./kill-plan.ts";

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
  /** Kills at most `earlyMs` after a restart. */
  readonly earlyKills: number;
  readonly earlyMs: number;
  /** Kills while the input is still being appended; beside those above. */
  readonly appendKills: number;
  readonly seed: number;
  /** Is emptied and filled. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

export type KillKind = "append" | "late" | "early";

export interface Kill extends KillReport {
  readonly kind: KillKind;
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

/** Steps that must be hit at least twice. */
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

class KillSeries {
  readonly #options: KillSeriesOptions;
  readonly #random: () => number;
  readonly #kills: Kill[] = [];

  constructor(options: KillSeriesOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
  }

  async run(): Promise<KillSeriesResult> {
    const { say, lateKills, earlyKills, recordsMin, earlyMs } = this.#options;
    await this.#runToEnd("undisturbed");
    const expected = await this.#content("undisturbed");
    const inputs = await recordsIn(this.#log("undisturbed"), ["transactions", "fraud-labels"]);
    say(`undisturbed: ${inputs} input records, ${expected}`);

    for (const planned of this.#plans(inputs)) await this.#kill("killed", planned.kind, planned.plan);
    await this.#runToEnd("killed");
    const killed = await this.#content("killed");
    say(`killed ${this.#kills.length} times: ${killed}`);

    const deletedAt = await this.#deleteStateHalfWay(inputs);
    const stateless = await this.#content("stateless");
    say(`state deleted after ${deletedAt} records: ${stateless}`);

    const late = this.#kills.filter((kill) => kill.kind === "late" && kill.records >= recordsMin).length;
    const early = this.#kills.filter((kill) => kill.kind === "early" && kill.processMs <= earlyMs).length;
    const findings: Finding[] = [
      atLeast(`kills at least ${recordsMin} records after the last recovery`, late, lateKills),
      atLeast(`kills within ${earlyMs} ms of a restart`, early, earlyKills),
      ...demandedSteps.map((step) => {
        const hits = this.#kills.filter((kill) => kill.kind !== "append" && kill.step === step).length;
        return atLeast(`kills at step ${step}`, hits, 2);
      }),
      { demand: "decisions after the kills are those of the undisturbed run", found: killed, held: killed === expected },
      {
        demand: `the state directory was deleted in the middle of the run (40 to 60 % of ${inputs} records)`,
        found: String(deletedAt),
        held: deletedAt >= inputs * 0.4 && deletedAt <= inputs * 0.6,
      },
      { demand: "decisions after the deletion are the same too", found: stateless, held: stateless === expected },
    ];
    return { kills: this.#kills, findings };
  }

  /** Early kills are strewn between the late ones, whose steps come in a drawn order and all equally often. */
  #plans(inputs: number): { readonly kind: KillKind; readonly plan: Omit<KillPlan, "report"> }[] {
    const { lateKills, earlyKills, appendKills, recordsMin } = this.#options;
    const random = this.#random;
    const plans: { kind: KillKind; plan: Omit<KillPlan, "report"> }[] = [];
    const none = { takenMin: 0, recordsMin: 0, engineMsMin: 0, appendEvents: 0 };
    for (let i = 0; i < appendKills; i++) {
      const step = i % 2 === 0 ? "fsync" : "journal write";
      plans.push({ kind: "append", plan: { ...none, step, during: true, appendEvents: 2 + Math.floor(random() * 5) } });
    }
    const lateSteps = shuffled(repeated(killSteps, lateKills), random);
    const earlySteps = shuffled(repeated(stepsSoonReached, earlyKills), random);
    const earlyAfter = new Set(shuffled(Array.from({ length: lateKills }, (_, i) => i), random).slice(0, earlyKills));
    for (const [i, step] of lateSteps.entries()) {
      const takenMin = Math.floor((inputs * (i + 0.25 + random() * 0.5)) / (lateKills + 1));
      plans.push({ kind: "late", plan: { ...none, step, during: random() < 0.5, takenMin, recordsMin } });
      const early = earlyAfter.has(i) ? earlySteps.pop() : undefined;
      if (early !== undefined) plans.push({ kind: "early", plan: { ...none, step: early, during: random() < 0.5 } });
    }
    return plans;
  }

  async #kill(name: string, kind: KillKind, planned: Omit<KillPlan, "report">): Promise<Kill> {
    const report = join(this.#options.directory, `${name}.kill.json`);
    rmSync(report, { force: true });
    const { code, signal, errors } = await this.#start(name, { ...planned, report });
    if (signal !== "SIGKILL" || !existsSync(report)) {
      const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
      throw new Error(`the run ${how} instead of being killed at ${JSON.stringify(planned)}\n${errors}`);
    }
    const kill = { kind, ...(JSON.parse(readFileSync(report, "utf8")) as KillReport) };
    this.#kills.push(kill);
    this.#options.say(`kill ${this.#kills.length}: ${kind}, ${kill.step} of ${kill.task}, commit ${kill.sequence}`);
    return kill;
  }

  /** @returns input records taken when it was deleted */
  async #deleteStateHalfWay(inputs: number): Promise<number> {
    const takenMin = Math.floor(inputs / 2);
    const plan = { step: "durable" as const, during: false, takenMin, recordsMin: 0, engineMsMin: 0, appendEvents: 0 };
    const { taken } = await this.#kill("stateless", "late", plan);
    this.#kills.pop();
    rmSync(join(this.#options.directory, "stateless", "state"), { recursive: true });
    await this.#runToEnd("stateless");
    return taken;
  }

  async #runToEnd(name: string): Promise<void> {
    const { code, signal, errors } = await this.#start(name, null);
    if (code !== 0) throw new Error(`run "${name}" ended with ${signal ?? `code ${code}`}\n${errors}`);
  }

  #start(name: string, plan: KillPlan | null): Promise<{ code: number | null; signal: string | null; errors: string }> {
    const { transactions, labels, model, partitions, cacheMb, directory } = this.#options;
    const tap = plan === null ? [] : ["--import", new URL("./kill-tap.ts", import.meta.url).href];
    const script = new URL("../../scripts/handbook.ts", import.meta.url).pathname;
    const files = ["--transactions", ...transactions, "--labels", ...labels, "--model", model];
    const sizes = ["--partitions", String(partitions), "--cache-mb", String(cacheMb)];
    const args = [...process.execArgv, ...tap, script, ...files, ...sizes, "--data-dir", join(directory, name)];
    const env = { ...process.env, ...(plan === null ? {} : { [killPlanVariable]: JSON.stringify(plan) }) };
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, { env, stdio: ["ignore", "inherit", "pipe"], timeout: runMsMax });
      let errors = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        errors += text;
      });
      child.on("error", reject).on("close", (code, signal) => resolve({ code, signal, errors }));
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

function atLeast(demand: string, found: number, least: number): Finding {
  return { demand: `${demand}: at least ${least}`, found: String(found), held: found >= least };
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

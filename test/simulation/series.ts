import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type HitKind, hitKinds, type Step, steps } from "./faults.ts";
import type { SeedReport } from "./seeds.ts";

export interface SeriesOptions {
  readonly seeds: readonly number[];
  /** Default: the cores of the machine. */
  readonly threads?: number;
  /** Ends the series. */
  readonly stopAtFailure?: boolean;
  readonly onReport?: (report: SeedReport) => void;
  /** What a thread runs. Default: `seed-worker.ts`. */
  readonly script?: URL;
}

/** What a series of seeds came to. */
export interface Series {
  readonly reports: readonly SeedReport[];
  readonly failures: readonly SeedReport[];
  readonly threads: number;
  readonly seconds: number;
  /** How often a process died at each step. */
  readonly deaths: ReadonlyMap<Step, number>;
  /** How many faults of each kind hit something. */
  readonly hits: ReadonlyMap<HitKind, number>;
}

/** Seeds that failed once: they are run for ever. */
export function regressionSeeds(): number[] {
  const text = readFileSync(new URL("./regressions.txt", import.meta.url), "utf8");
  return text.split("\n").flatMap((line) => {
    const [seed = ""] = line.split(/[\s#]/);
    return seed === "" ? [] : [Number(seed)];
  });
}

/**
 * Runs seeds on several threads.
 *
 * @throws when a thread ended before it had told of its seeds: one that nobody heard of has not passed
 */
export async function runSeries(options: SeriesOptions): Promise<Series> {
  const { seeds, threads = availableParallelism(), stopAtFailure = false } = options;
  const { script = new URL("./seed-worker.ts", import.meta.url) } = options;
  const startedMs = performance.now();
  const reports: SeedReport[] = [];
  const workers: Worker[] = [];
  let stopped = false;
  const stop = (): void => {
    stopped = true;
    for (const each of workers) void each.terminate();
  };
  await Promise.all(
    Array.from({ length: Math.min(threads, seeds.length) }, (_, thread) => {
      const own = seeds.filter((_, i) => i % threads === thread);
      const worker = new Worker(script, { workerData: own });
      workers.push(worker);
      worker.on("message", (report: SeedReport) => {
        reports.push(report);
        options.onReport?.(report);
        if (stopAtFailure && report.failure !== null) stop();
      });
      return new Promise<void>((resolve, reject) => {
        worker.on("error", reject);
        worker.on("exit", (code) => {
          if (code === 0 || stopped) resolve();
          else reject(new Error(`a thread of seeds ended with ${code}`));
        });
      });
    }),
  ).catch((error: unknown) => {
    stop();
    throw error;
  });
  if (!stopped && reports.length !== seeds.length)
    throw new Error(`${reports.length} of ${seeds.length} seeds were reported`);
  const deaths = summed(steps, (report) => report.deaths, reports);
  const hits = summed(hitKinds, (report) => report.hits, reports);
  const failures = reports.filter(({ failure }) => failure !== null).sort((a, b) => a.seed - b.seed);
  return { reports, failures, threads, deaths, hits, seconds: (performance.now() - startedMs) / 1000 };
}

function summed<Kind>(
  kinds: readonly Kind[],
  countsOf: (report: SeedReport) => readonly (readonly [Kind, number])[],
  reports: readonly SeedReport[],
): Map<Kind, number> {
  const sums = new Map(kinds.map((kind) => [kind, 0]));
  for (const report of reports)
    for (const [kind, count] of countsOf(report)) sums.set(kind, (sums.get(kind) ?? 0) + count);
  return sums;
}

/** A series in a few lines. */
export function summaryOf({ reports, failures, threads, seconds, deaths, hits }: Series): string {
  const sum = (of: (report: SeedReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  const mean = (of: (report: SeedReport) => number): string => (sum(of) / reports.length).toFixed(1);
  const busySeconds = sum(({ realMs }) => realMs) / 1000;
  const simulatedSeconds = sum(({ virtualMs }) => virtualMs) / 1000;
  const rate = (within: number): string => ((60 * reports.length) / within).toFixed(0);
  const listed = (counts: ReadonlyMap<string, number>): string =>
    [...counts].map(([kind, count]) => `${kind} ${count}`).join(", ");
  return [
    `${reports.length} seeds, ${failures.length} failed, in ${seconds.toFixed(1)} s on ${threads} threads: ` +
      `${rate(seconds)} seeds a minute, ${rate(busySeconds)} a minute and thread`,
    `simulated ${(simulatedSeconds / 60).toFixed(1)} min, ${(simulatedSeconds / busySeconds).toFixed(0)} times as fast as real time`,
    `a seed: ${mean(({ tasks }) => tasks)} tasks, ${mean(({ outcomes }) => outcomes)} outcomes, ` +
      `${mean(({ faults }) => faults)} faults, ${mean(({ positions }) => positions)} states on disk, ` +
      `${mean(({ events }) => events)} events`,
    `deaths by step: ${listed(deaths)}`,
    `faults that hit: ${listed(hits)}`,
  ].join("\n");
}

/** What a failing seed prints. */
export function failureText({ seed, failure }: SeedReport): string {
  return `seed ${seed}: ${failure?.slice(0, 2000)}\n  replay it: npm run simulation -- --seed ${seed} --trace`;
}

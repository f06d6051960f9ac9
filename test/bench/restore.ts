import { join, resolve } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../../src/index.ts";
import { machineOf } from "./machine.ts";
import { median, percentilesOf, rounded } from "./percentiles.ts";
import { type RestoreRun, restoreRun } from "./restore-run.ts";
import { wholeNumber, wholeNumberOrNone } from "./whole-number.ts";

const command = new Command("restore")
  .description(
    "Measures how soon tasks run again on Kafka: after a kill -9 with their state on disk, and without it. Who takes over does so on the same host, with the state directory of the killed process. JSON on stdout; ends with 1 when a demand is not met.",
  )
  .addOption(
    new Option("--keys <counts...>", "keys of state, one run for each")
      .default([1_000_000, 5_000_000])
      .argParser(counts),
  )
  .addOption(new Option("--restarts <count>", "kills of the only process").default(10).argParser(wholeNumberOrNone))
  .addOption(
    new Option("--take-overs <count>", "kills of one of two processes").default(10).argParser(wholeNumberOrNone),
  )
  .addOption(
    new Option("--from-log <count>", "restores without a state directory").default(3).argParser(wholeNumberOrNone),
  )
  .addOption(new Option("--rate <perSecond>", "events a second meanwhile").default(2000).argParser(wholeNumber))
  .addOption(new Option("--partitions <count>", "partitions").default(8).argParser(wholeNumber))
  .addOption(new Option("--threads <count>", "engine threads of a process").default(2).argParser(wholeNumber))
  .addOption(new Option("--cache-mb <mb>", "memory for state of a process").default(256).argParser(wholeNumber))
  .option("--data-dir <dir>", "folder to work in; its contents named bench-* are replaced", ".kappa")
  .option("--steps", "tells the steps of each opening of a task");

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** What must hold of all restarts and take-overs. */
const [p50Max, p99Max, differenceMax, shareMin] = [1000, 2000, 0.2, 0.6];

function counts(text: string, before: readonly number[] | undefined): number[] {
  const given = before === undefined || before.length > 1 ? [] : before;
  return [...given, wholeNumber(text)];
}

interface Figure {
  readonly what: string;
  readonly measured: number;
}

interface Demand extends Figure {
  readonly met: boolean;
}

async function main(): Promise<void> {
  const { keys, rate, dataDir, steps = false, ...given } = command.parse().opts();
  if (given.takeOvers > 0 && given.partitions % 2 === 1)
    throw new KappaError(
      "KAPPA_USAGE",
      `--partitions ${given.partitions} is odd, and of two processes each has half of the tasks: give an even number, or --take-overs 0`,
    );
  const runs: RestoreRun[] = [];
  for (const count of keys) {
    const directory = join(resolve(dataDir), "bench-restore");
    runs.push(await restoreRun({ ...given, dataDir: directory, keys: count, perSecond: rate, steps, say }));
  }
  const demands = demandsOf(runs, given.threads);
  for (const { what, measured, met } of demands) say(`${met ? "met    " : "NOT MET"} ${what}: ${measured}`);
  const beside = besideOf(runs, given.threads);
  for (const { what, measured } of beside) say(`beside  ${what}: ${measured}`);
  const configuration = { ...given, rate };
  const machine = machineOf(resolve(dataDir));
  process.stdout.write(`${JSON.stringify({ machine, configuration, runs, demands, beside }, null, 2)}\n`);
  if (demands.some(({ met }) => !met)) process.exitCode = 1;
}

function demandsOf(runs: readonly RestoreRun[], threads: number): Demand[] {
  const demands: Demand[] = [];
  const atMost = (what: string, measured: number, most: number): void => {
    if (!Number.isNaN(measured)) demands.push({ what: `${what}, at most ${most}`, measured, met: measured <= most });
  };
  for (const kind of ["restarted", "takenOver"] as const) {
    for (const run of runs) {
      const { p50, p99 } = percentilesOf(run[kind].map(({ ms }) => ms));
      atMost(`${kind}, ${run.keys} keys: p50 in ms`, p50, p50Max);
      atMost(`${kind}, ${run.keys} keys: p99 in ms`, p99, p99Max);
    }
    const medians = runs.map((run) => median(run[kind].map(({ ms }) => ms)));
    if (runs.length > 1)
      atMost(
        `${kind}: the slowest size over the fastest, less 1`,
        rounded(Math.max(...medians) / Math.min(...medians) - 1),
        differenceMax,
      );
  }
  for (const { keys, fromLog, warnings } of runs) {
    if (fromLog.length > 0) {
      const share = median(fromLog.map((each) => each.share));
      demands.push({
        what: `from the log, ${keys} keys: rows a second by ${threads} threads over those of one bare loop, at least ${shareMin}`,
        measured: share,
        met: share >= shareMin,
      });
    }
    atMost(`${keys} keys: state that was thrown away`, warnings.length, 0);
  }
  return demands;
}

/** Figures that nothing is demanded of, and that say what those above mean. */
function besideOf(runs: readonly RestoreRun[], threads: number): Figure[] {
  const beside: Figure[] = [];
  const tell = (what: string, measured: number): void => {
    if (!Number.isNaN(measured)) beside.push({ what, measured });
  };
  for (const { keys, takenOver, fromLog, stateMb } of runs) {
    const { p50, p99 } = percentilesOf(takenOver.map(({ sinceKillMs }) => sinceKillMs));
    tell(`takenOver, ${keys} keys: p50 in ms since the kill, the session included`, p50);
    tell(`takenOver, ${keys} keys: p99 in ms since the kill, the session included`, p99);
    const log = `from the log, ${keys} keys`;
    const share = median(fromLog.map((each) => each.shareOfLoops));
    tell(`${log}: rows a second by ${threads} threads over those of as many bare loops`, share);
    const onDiskMb = median(fromLog.map((each) => each.stateMb));
    tell(`${log}: MB of state on disk when it ran, of ${stateMb} after the load`, onDiskMb);
  }
  return beside;
}

main().catch((error: unknown) => {
  say(`${error instanceof KappaError ? error.code : "KAPPA_ENGINE_FAILED"}: ${messageOf(error)}`);
  process.exitCode = 1;
});

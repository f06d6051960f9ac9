import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/core/errors.ts";
import { type ChaosResult, runChaos } from "./kafka-chaos-series.ts";
import type { FaultCounts } from "./kafka-faults.ts";
import { chaosSteps } from "./kafka-steps.ts";
import { table } from "./text-table.ts";

// Kills, stops and scales the processors of a two-stage application over a real broker, and the broker, under load; then
// has the Java client read what they wrote and holds it against an oracle:
//
//   npm run chaos -- --kills 100 --broker-kills 5 --zombies 5 --scales 3 --rate 2000
//
// Ends with code 1 on any difference, and then keeps everything and says where.

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "100" },
    "broker-kills": { type: "string", default: "5" },
    zombies: { type: "string", default: "5" },
    scales: { type: "string", default: "3" },
    rate: { type: "string", default: "2000" },
    seed: { type: "string", default: String(Date.now() % 100_000) },
    processors: { type: "string", default: "3" },
    partitions: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    "session-ms": { type: "string", default: "6000" },
    "commit-interval-ms": { type: "string", default: "20" },
    /** Of the run; default: a temporary one. */
    directory: { type: "string" },
  },
});

const startMs = performance.now();
const say = (line: string): void => {
  process.stderr.write(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
};

async function main(): Promise<number> {
  const directory =
    values.directory === undefined ? mkdtempSync(join(tmpdir(), "kappa-chaos-")) : resolve(values.directory);
  const seed = Number(values.seed);
  say(`seed ${seed}, in ${directory}`);
  try {
    const asked = {
      ...{ kills: Number(values.kills), brokerKills: Number(values["broker-kills"]) },
      ...{ zombies: Number(values.zombies), scales: Number(values.scales), rate: Number(values.rate) },
    };
    const result = await runChaos({
      ...{ seed, directory, say, ...asked },
      ...{ processors: Number(values.processors), partitions: Number(values.partitions) },
      ...{ threads: Number(values.threads), sessionTimeoutMs: Number(values["session-ms"]) },
      commitIntervalMs: Number(values["commit-interval-ms"]),
    });
    const unmet = unmetDemands(result, asked);
    process.stdout.write(`${[...report(result), ...unmet].join("\n")}\n`);
    if (result.differences === 0 && unmet.length === 0) {
      if (values.directory === undefined) rmSync(directory, { recursive: true, force: true });
      return 0;
    }
  } catch (error) {
    say(messageOf(error));
  }
  say(`FAILED: again with --seed ${seed}; broker data, state and logs are in ${directory}`);
  return 1;
}

function report({ kills, done, takeOverMs, recoveryMs, ...result }: ChaosResult): string[] {
  const rows = chaosSteps.map((step) => {
    const at = kills.filter((kill) => kill.step === step);
    return [step, String(at.length), String(at.filter(({ duringAnother }) => duringAnother).length)];
  });
  const during = kills.filter(({ duringAnother }) => duringAnother).length;
  return [
    ...table(["step", "kills", "during another take-over"], [...rows, ["all", String(kills.length), String(during)]]),
    "",
    `${done.brokerKills} kills of the broker, ${done.zombies} zombies, ${done.scales} times 1-4-1`,
    `take-over, from assignment to running, ms: ${percentilesOf(takeOverMs)} of ${takeOverMs.length}`,
    `from a kill to every task running, ms: ${percentilesOf(recoveryMs)} of ${recoveryMs.length}`,
    `${result.events} events at ${result.eventsPerSecond.toFixed(0)}/s, lag ${result.lag} at the end`,
    `${result.differences} differences`,
    ...result.told.map((difference) => `  ${difference}`),
  ];
}

/** Less of the rate than this was not the load that was asked for. */
const rateShareMin = 0.95;

/** Of a hundred kills each step must have had three, and ten must have struck during another take-over. */
function unmetDemands({ kills, done, eventsPerSecond }: ChaosResult, asked: FaultCounts & { rate: number }): string[] {
  const perStep = Math.floor((kills.length * 3) / 100);
  const during = kills.filter(({ duringAnother }) => duringAnother).length;
  const counts = ["kills", "brokerKills", "zombies", "scales"] as const;
  const unmet = [
    ...chaosSteps
      .filter((step) => kills.filter((kill) => kill.step === step).length < perStep)
      .map((step) => `${step} had less than ${perStep} kills`),
    ...counts.filter((what) => done[what] < asked[what]).map((what) => `${done[what]} ${what} of ${asked[what]}`),
    ...(during < Math.floor(kills.length / 10) ? [`only ${during} kills during another take-over`] : []),
    ...(eventsPerSecond < rateShareMin * asked.rate
      ? [`${eventsPerSecond.toFixed(0)} events/s, ${asked.rate} were asked for`]
      : []),
  ];
  return unmet.map((demand) => `FAILED: ${demand}`);
}

function percentilesOf(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(0);
  return `p50 ${at(0.5)}, p99 ${at(0.99)}`;
}

process.exitCode = await main();

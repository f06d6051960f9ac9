import process from "node:process";
import { parseArgs } from "node:util";
import { unmetDemands } from "./demands.ts";
import { runScenario } from "./run.ts";
import { scenarioOf } from "./scenario.ts";
import { differenceTo, shrunk } from "./seeds.ts";
import { failureText, regressionSeeds, runSeries, summaryOf } from "./series.ts";

const usage = `npm run simulation -- [--seeds 1000] [--from 1] [--threads 2] [--stop]   many seeds, or up to the first that fails
npm run simulation -- --seed 7 [--trace] [--shrink]                      one of them`;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    threads: { type: "string" },
    trace: { type: "boolean", default: false },
    stop: { type: "boolean", default: false },
    shrink: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) console.log(usage);
else if (values.seed === undefined) await many();
else await one(Number(values.seed));

async function many(): Promise<void> {
  const from = Number(values.from);
  const fresh = Array.from({ length: Number(values.seeds) }, (_, i) => from + i);
  const series = await runSeries({
    seeds: [...new Set([...regressionSeeds(), ...fresh])],
    stopAtFailure: values.stop,
    ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
    onReport: (report) => {
      if (report.failure !== null) console.log(failureText(report));
    },
  });
  console.log(summaryOf(series));
  const unmet = unmetDemands(series);
  for (const line of unmet) console.log(`unmet: ${line}`);
  if (series.failures.length > 0 || unmet.length > 0) process.exitCode = 1;
}

async function one(seed: number): Promise<void> {
  let scenario = scenarioOf(seed);
  if (values.shrink) scenario = await shrunk(scenario);
  const { arrivals, starts, faults, ...rest } = scenario;
  console.log(JSON.stringify(rest));
  console.log(`${arrivals.length} records, processes started at ${starts.map(Math.round).join(", ")} ms`);
  for (const fault of faults) console.log(JSON.stringify(fault));
  const outcome = await runScenario(scenario, values.trace);
  const { world, failure, virtualMs } = outcome;
  for (const line of world.trace ?? []) console.log(line);
  console.log(`trace ${world.scheduler.traceHash}, ${world.scheduler.events} events, ${virtualMs.toFixed(0)} ms`);
  const wrong = failure === null ? await differenceTo(outcome, scenario) : (failure.stack ?? failure.message);
  if (wrong === null) return;
  console.log(wrong);
  process.exitCode = 1;
}

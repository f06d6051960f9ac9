import { join, resolve } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../../src/index.ts";
import { machineOf } from "./machine.ts";
import { type MemoryOptions, type MemoryRun, memoryRun } from "./memory-run.ts";
import { wholeNumber } from "./whole-number.ts";

/** What a process may take besides its cache, in MB: Node, two heaps, LevelDB's buffers, the log's windows. */
const besidesMb = 500;

const command = new Command("memory")
  .description(
    "Measures what state costs in memory when its keys do not fit. JSON on stdout; ends with 1 when a demand is not met.",
  )
  .addOption(new Option("--keys <count>", "keys that are loaded").default(5_000_000).argParser(wholeNumber))
  .addOption(
    new Option("--events <count>", "events over them, Zipf-distributed").default(2_000_000).argParser(wholeNumber),
  )
  .addOption(new Option("--cache-mb <mb>", "the bound on memory for state").default(256).argParser(wholeNumber))
  .addOption(new Option("--large-cache-mb <mb>", "a cache for comparison").default(2048).argParser(wholeNumber))
  .addOption(new Option("--partitions <count>", "partitions").default(8).argParser(wholeNumber))
  .addOption(new Option("--threads <count>", "engine threads").default(2).argParser(wholeNumber))
  .option("--data-dir <dir>", "folder to work in; its contents named bench-* are replaced", ".kappa");

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const { keys, events, cacheMb, largeCacheMb, partitions, threads, ...given } = command.parse().opts();
  const dataDir = join(resolve(given.dataDir), "bench-memory");
  const options = { dataDir, partitions, threads, keys, events, phaseSecondsMax: 1800, say };
  const run = (cache: number, expire: boolean): Promise<MemoryRun> => {
    say(`cache of ${cache} MB`);
    return memoryRun({ ...options, cacheMb: cache, expire } satisfies MemoryOptions);
  };
  const small = await run(cacheMb, true);
  const large = await run(largeCacheMb, false);
  const demands = demandsOf(small, large, partitions);
  for (const { what, demanded, measured, met } of demands)
    say(`${met ? "met    " : "NOT MET"} ${what} ${demanded}: ${measured}`);
  const result = {
    machine: machineOf(resolve(given.dataDir)),
    configuration: { keys, events, partitions, threads },
    runs: [small, large],
    demands,
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  if (demands.some(({ met }) => !met)) process.exitCode = 1;
}

function demandsOf(small: MemoryRun, large: MemoryRun, partitions: number) {
  const { anonymousMbMax, cacheMb, hash, expiry } = small;
  const boundMb = cacheMb + besidesMb;
  const left = expiry?.keysAfter ?? Number.NaN;
  const [before, after] = [expiry?.stateMbBefore ?? Number.NaN, expiry?.stateMbAfter ?? Number.NaN];
  return [
    {
      what: "anonymous memory in MB, at most",
      demanded: boundMb,
      measured: anonymousMbMax,
      met: anonymousMbMax <= boundMb,
    },
    {
      what: `hash of the outputs, as with ${large.cacheMb} MB,`,
      demanded: large.hash,
      measured: hash,
      met: hash === large.hash,
    },
    { what: "keys left by expiry, one a partition:", demanded: partitions, measured: left, met: left === partitions },
    {
      what: "state on disk in MB after expiry, below a tenth of",
      demanded: before,
      measured: after,
      met: after < before / 10,
    },
  ];
}

main().catch((error: unknown) => {
  say(`${error instanceof KappaError ? error.code : "KAPPA_ENGINE_FAILED"}: ${messageOf(error)}`);
  process.exitCode = 1;
});

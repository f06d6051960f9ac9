import { existsSync } from "node:fs";
import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../core/errors.ts";
import { loadTopology, type TopologyParameters } from "../engine/topology-module.ts";
import type { LoadedConfig } from "./config.ts";
import type { DataFolder } from "./data-folder.ts";
import { exitCodes } from "./exit-code.ts";
import { bad, type CheckResult } from "./health-check.ts";
import { configOptions, type Invocation } from "./invocation.ts";
import { KafkaLogAccess, type LogAccess } from "./log-access.ts";
import { checkMachine, checkOwner } from "./machine-checks.ts";
import { jsonLine } from "./plain-text.ts";
import { registryAddress } from "./registry-address.ts";
import { checkRedis, checkRegistry } from "./service-checks.ts";
import { parameterOption } from "./topology-option.ts";

/** `kappa doctor` */
export function doctorVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("doctor")
    .description("check what is needed to run, with what mends each fault; exit code 4 when there is one")
    .argument("[topology]", "also check this topology: topics, schemas, rules, models")
    .addOption(parameterOption())
    .option("--json", "one JSON object a check")
    .action(async (module, options, command) => {
      const { terminal } = invocation;
      const loaded = await invocation.loadConfig(command);
      const config = loaded.values;
      const folder = await invocation.dataFolder(command);
      const checks = await checkMachine(folder, invocation.path(config.stateDir));
      checks.push(...(await checkServices(invocation, loaded, folder)));
      if (module !== undefined) {
        const reachable = checks.every(({ name, ok }) => ok || name !== "kafka");
        checks.push(...(await topologyChecks(invocation, folder, loaded, module, options.param, reachable)));
      }
      for (const check of checks) terminal.print(options.json ? jsonLine(check) : lineOf(check));
      const faults = checks.filter(({ ok }) => !ok);
      if (faults.length > 0) invocation.exitCode = exitCodes.no;
      const warnings = checks.filter(({ warning }) => warning).length;
      const worthMending = warnings === 0 ? "" : `, ${warnings} worth mending`;
      const verdict = faults.length === 0 ? "all is well" : `${faults.length} of ${checks.length} checks failed`;
      terminal.say(`${verdict}${worthMending}`);
      const [fix] = faults.map((fault) => fault.fix).filter((each) => each?.startsWith("kappa "));
      invocation.next(fix ?? `kappa run ${module ?? "TOPOLOGY.ts"}`, command);
    });
  for (const option of configOptions(["stateDir", "httpHost", "httpPort"])) verb.addOption(option);
  return verb;
}

/** The log and what stands beside it, as far as it is configured. */
async function checkServices(invocation: Invocation, loaded: LoadedConfig, folder: DataFolder): Promise<CheckResult[]> {
  const config = loaded.values;
  const checks: CheckResult[] = [];
  let access: LogAccess;
  try {
    access = invocation.logOf(loaded, "kappa-doctor");
  } catch (error) {
    return [bad("kafka", messageOf(error), "kappa config")];
  }
  if (access instanceof KafkaLogAccess) {
    const { checkKafka } = await import("./kafka-checks.ts");
    checks.push(...(await checkKafka(access, config)));
  } else checks.push(await checkOwner(folder, config));
  const registry = registryAddress(config);
  if (registry !== undefined) checks.push(await checkRegistry(registry));
  if (config.redisUrl !== undefined) checks.push(await checkRedis(config.redisUrl));
  return checks;
}

async function topologyChecks(
  invocation: Invocation,
  folder: DataFolder,
  config: LoadedConfig,
  module: string,
  parameters: TopologyParameters,
  kafkaReachable: boolean,
): Promise<CheckResult[]> {
  let topology: Awaited<ReturnType<typeof loadTopology>>;
  try {
    topology = await loadTopology({ module: invocation.path(module), parameters });
  } catch (error) {
    const code = error instanceof KappaError ? error.code : "an error in the module";
    return [bad("topology", `${messageOf(error)} (${code})`, `mend ${module}`)];
  }
  const access = kafkaReachable ? invocation.logOf(config, "kappa-doctor") : null;
  const log = access instanceof KafkaLogAccess || existsSync(folder.logDirectory) ? await access?.read() : undefined;
  const registry = folder.hasRegistry ? await folder.registry() : null;
  const { checkTopology } = await import("./topology-checks.ts");
  try {
    const checks = await checkTopology(topology, log ?? null, registry, invocation.clock);
    if (!(access instanceof KafkaLogAccess) || log === undefined) return checks;
    const { checkOnKafka } = await import("./kafka-checks.ts");
    return [...checks, ...(await checkOnKafka(access, topology, log, invocation.clock))];
  } finally {
    await log?.close();
  }
}

function lineOf({ name, ok, warning, detail, fix }: CheckResult): string {
  const line = `${warning ? "!" : ok ? "✓" : "✗"} ${name}  ${detail}`;
  return fix === undefined ? line : `${line}\n    fix: ${fix}`;
}

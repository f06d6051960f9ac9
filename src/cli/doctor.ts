import { existsSync } from "node:fs";
import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../core/errors.ts";
import { loadTopology, type TopologyParameters } from "../engine/topology-module.ts";
import type { LoadedConfig } from "./config.ts";
import type { DataFolder } from "./data-folder.ts";
import { exitCodes } from "./exit-code.ts";
import { bad, type CheckResult } from "./health-check.ts";
import { configOptions, type Invocation } from "./invocation.ts";
import { kafkaFix } from "./kafka-refusal.ts";
import { KafkaLogAccess, type LogAccess } from "./log-access.ts";
import { checkMachine, checkOwner, embeddedLogFix } from "./machine-checks.ts";
import { jsonLine } from "./plain-text.ts";
import { registryAddress } from "./registry-address.ts";
import { checkRedis, checkRegistry, registryFix } from "./service-checks.ts";
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
        const away = new Set(checks.filter(({ ok }) => !ok).map(({ name }) => name));
        const asked = { folder, loaded, module, parameters: options.param, away };
        checks.push(...(await topologyChecks(invocation, asked)));
      }
      for (const check of checks) terminal.print(options.json ? jsonLine(check) : lineOf(check));
      const looked = checks.filter(({ skipped }) => !skipped);
      const faults = looked.filter(({ ok }) => !ok);
      if (faults.length > 0) invocation.exitCode = exitCodes.no;
      const warnings = checks.filter(({ warning }) => warning).length;
      const worthMending = warnings === 0 ? "" : `, ${warnings} worth mending`;
      const verdict = faults.length === 0 ? "all is well" : `${faults.length} of ${looked.length} checks failed`;
      terminal.say(`${verdict}${worthMending}`);
      const [fault] = faults;
      if (fault === undefined) invocation.next(`kappa run ${module ?? "TOPOLOGY.ts"}`, command);
      else if (fault.fix?.startsWith("npm ")) terminal.next(fault.fix);
      // What is no command is to be done; then it is looked again.
      else invocation.next(fault.fix?.startsWith("kappa ") ? fault.fix : ["kappa doctor", module].join(" "), command);
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

interface TopologyQuestion {
  readonly folder: DataFolder;
  readonly loaded: LoadedConfig;
  readonly module: string;
  readonly parameters: TopologyParameters;
  /** Names of the checks that failed: what they looked at is not asked again. */
  readonly away: ReadonlySet<string>;
}

async function topologyChecks(invocation: Invocation, question: TopologyQuestion): Promise<CheckResult[]> {
  const { folder, loaded, module, parameters, away } = question;
  let topology: Awaited<ReturnType<typeof loadTopology>>;
  try {
    topology = await loadTopology({ module: invocation.path(module), parameters });
  } catch (error) {
    const code = error instanceof KappaError ? error.code : "an error in the module";
    return [bad("topology", `${messageOf(error)} (${code})`, `mend ${module}`)];
  }
  const { checkTopology } = await import("./topology-checks.ts");
  const { clock } = invocation;
  const faults: CheckResult[] = [];
  const access = away.has("kafka") ? null : invocation.logOf(loaded, "kappa-doctor");
  const logFix = access instanceof KafkaLogAccess ? kafkaFix : embeddedLogFix;
  const logAsked = { name: "topics", away: away.has("kafka"), fixOf: logFix, faults };
  const log = await opened(logAsked, async () =>
    access instanceof KafkaLogAccess || existsSync(folder.logDirectory) ? ((await access?.read()) ?? null) : null,
  );
  const registryAsked = { name: "schemas", away: away.has("schema registry"), fixOf: registryFix, faults };
  const registry = await opened(registryAsked, async () => (folder.hasRegistry ? await folder.registry() : null));
  try {
    const told = new Set(faults.map(({ name }) => name));
    const found = await checkTopology(topology, { log, logFix, registry, clock });
    // What could not be opened is said to have failed, not to be left out as well.
    const checks = [...faults, ...found.filter(({ name }) => !told.has(name))];
    if (!(access instanceof KafkaLogAccess) || log === null || log === "away") return checks;
    const { checkOnKafka } = await import("./kafka-checks.ts");
    return [...checks, ...(await checkOnKafka(access, topology, log, clock))];
  } finally {
    if (registry !== "away") await registry?.close();
    if (log !== "away") await log?.close();
  }
}

interface Asked {
  /** Of the check that stands for what cannot be opened. */
  readonly name: string;
  /** Whether it makes no sense to ask. */
  readonly away: boolean;
  readonly fixOf: (error: unknown) => string;
  readonly faults: CheckResult[];
}

/** What is asked; `"away"` where that makes no sense, or when it cannot be opened, which is a fault more. */
async function opened<Source>(
  { name, away, fixOf, faults }: Asked,
  open: () => Promise<Source>,
): Promise<Source | "away"> {
  if (away) return "away";
  try {
    return await open();
  } catch (error) {
    faults.push(bad(name, messageOf(error), fixOf(error)));
    return "away";
  }
}

function lineOf({ name, ok, warning, skipped, detail, fix }: CheckResult): string {
  const line = `${skipped ? "-" : warning ? "!" : ok ? "✓" : "✗"} ${name}  ${detail}`;
  return fix === undefined ? line : `${line}\n    fix: ${fix}`;
}

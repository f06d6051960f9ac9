import { existsSync } from "node:fs";
import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../core/errors.ts";
import { loadTopology, type TopologyParameters } from "../engine/topology-module.ts";
import type { LoadedConfig } from "./config.ts";
import { DataFolder } from "./data-folder.ts";
import { exitCodes } from "./exit-code.ts";
import { bad, type CheckResult } from "./health-check.ts";
import { configOptions, type Invocation } from "./invocation.ts";
import { checkMachine } from "./machine-checks.ts";
import { jsonLine } from "./plain-text.ts";
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
      const folder = new DataFolder(invocation.path(config.dataDir));
      const checks = await checkMachine(folder, invocation.path(config.stateDir), config);
      if (module !== undefined)
        checks.push(...(await topologyChecks(invocation, folder, loaded, module, options.param)));
      for (const check of checks) terminal.print(options.json ? jsonLine(check) : lineOf(check));
      const faults = checks.filter(({ ok }) => !ok);
      if (faults.length > 0) invocation.exitCode = exitCodes.no;
      terminal.say(faults.length === 0 ? "all is well" : `${faults.length} of ${checks.length} checks failed`);
      const [fix] = faults.map((fault) => fault.fix).filter((each) => each?.startsWith("kappa "));
      invocation.next(fix ?? `kappa run ${module ?? "TOPOLOGY.ts"}`, command);
    });
  for (const option of configOptions(["stateDir", "httpHost", "httpPort"])) verb.addOption(option);
  return verb;
}

async function topologyChecks(
  invocation: Invocation,
  folder: DataFolder,
  config: LoadedConfig,
  module: string,
  parameters: TopologyParameters,
): Promise<CheckResult[]> {
  let topology: Awaited<ReturnType<typeof loadTopology>>;
  try {
    topology = await loadTopology({ module: invocation.path(module), parameters });
  } catch (error) {
    const code = error instanceof KappaError ? error.code : "an error in the module";
    return [bad("topology", `${messageOf(error)} (${code})`, `mend ${module}`)];
  }
  const access = invocation.logOf(config, "kappa-doctor");
  const log = access.kafka !== null || existsSync(folder.logDirectory) ? await access.read() : null;
  const registry = folder.hasRegistry ? await folder.registry() : null;
  const { checkTopology } = await import("./topology-checks.ts");
  try {
    return await checkTopology(topology, log, registry, invocation.clock);
  } finally {
    await log?.close();
  }
}

function lineOf({ name, ok, detail, fix }: CheckResult): string {
  const line = `${ok ? "✓" : "✗"} ${name}  ${detail}`;
  return fix === undefined ? line : `${line}\n    fix: ${fix}`;
}

import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { loadTopology } from "../engine/topology-module.ts";
import { topologyFormats } from "../observability/http-sources.ts";
import { describeTopology } from "../topology/describe.ts";
import type { Invocation } from "./invocation.ts";
import { parameterOption } from "./topology-option.ts";

/** `kappa topology ...` */
export function topologyVerbs(invocation: Invocation): CommandUnknownOpts {
  return new Command("topology")
    .description("look at a topology without running it")
    .addCommand(describeVerb(invocation));
}

function describeVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("describe")
    .description("print the graph: sub-topologies, topics, stores")
    .argument("<topology>", "module whose default export is the topology")
    .addOption(new Option("--format <format>").choices(topologyFormats).default("text" as const))
    .option("--json", "the same as --format json")
    .addOption(parameterOption())
    .action(async (module, options, command) => {
      const topology = await loadTopology({ module: invocation.path(module), parameters: options.param });
      invocation.terminal.print(describeTopology(topology, options.json ? "json" : options.format).trimEnd());
      invocation.next(`kappa doctor ${module}`, command);
    });
}

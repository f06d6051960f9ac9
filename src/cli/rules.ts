import { readFile } from "node:fs/promises";
import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../core/errors.ts";
import { loadTopology } from "../engine/topology-module.ts";
import type { GraphNode, RulesNode, Topology } from "../topology/graph.ts";
import { exitCodes } from "./exit-code.ts";
import type { Invocation } from "./invocation.ts";
import { jsonLine } from "./plain-text.ts";
import { parameterOption } from "./topology-option.ts";

/** `kappa rules ...` */
export function rulesVerbs(invocation: Invocation): CommandUnknownOpts {
  return new Command("rules").description("check rule files").addCommand(lintVerb(invocation));
}

function lintVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("lint")
    .description("what is wrong or suspicious in a rule file; exit code 4 when it cannot be used")
    .argument("<rules>", "rule file (JSON)")
    .requiredOption("--topology <file>", "the topology that asks the rules: its columns are what they can read")
    .addOption(parameterOption())
    .option("--node <name>", "the rules node, when the topology has several")
    .option("--json", "one JSON object a finding")
    .action(async (file, options, command) => {
      const { terminal } = invocation;
      const topology = await loadTopology({ module: invocation.path(options.topology), parameters: options.param });
      const node = rulesNode(topology, options.node);
      const { lintRules } = await import("../scoring/compiled-rules.ts");
      const findings = lintRules(await readText(invocation.path(file)), file, columnsBefore(topology, node));
      for (const finding of findings) {
        const { severity, rule, position, message } = finding;
        const place = `${rule === undefined ? "" : ` rule ${rule}`}${position === undefined ? "" : ` at character ${position}`}`;
        terminal.print(options.json ? jsonLine(finding) : `${severity}${place}: ${message}`);
      }
      const errors = findings.filter(({ severity }) => severity === "error").length;
      terminal.say(`${file}: ${errors} errors, ${findings.length - errors} warnings`);
      if (errors > 0) invocation.exitCode = exitCodes.no;
      invocation.next(
        errors > 0 ? `kappa rules lint ${file} --topology ${options.topology}` : `kappa run ${options.topology}`,
        command,
      );
    });
}

function rulesNode(topology: Topology, name: string | undefined): RulesNode {
  const nodes = topology.nodes.filter((node): node is RulesNode => node.kind === "rules");
  const names = nodes.map((node) => node.name).join(", ") || "none";
  const chosen = name === undefined ? nodes : nodes.filter((node) => node.name === name);
  const [only] = chosen;
  if (only !== undefined && chosen.length === 1) return only;
  const message =
    chosen.length > 1 ? `topology ${topology.applicationId} has several rules nodes` : "there is no such rules node";
  throw new KappaError("KAPPA_USAGE", `${message}; choose with --node, there are: ${names}`);
}

/** The columns of the rows that come to a node: those that its rules can read. */
function columnsBefore(topology: Topology, node: GraphNode): GraphNode["columns"] {
  return topology.nodes.find(({ id }) => id === node.parents[0])?.columns ?? [];
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot read ${path}: ${messageOf(error)}`, { path }, error);
  }
}

import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { KappaError } from "../core/errors.ts";
import { loadTopology } from "../engine/topology-module.ts";
import { type KafkaRight, rightsOf } from "./application-rights.ts";
import { parsedBy } from "./arguments.ts";
import type { Invocation } from "./invocation.ts";
import { jsonLine, shellWord } from "./plain-text.ts";
import { parameterOption } from "./topology-option.ts";

/** `kappa acls` */
export function aclsVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("acls")
    .description("the rights that a run of a topology needs on Kafka, as commands that grant them")
    .argument("<topology>", "module whose default export is the topology, or a function of its parameters")
    .addOption(
      new Option("--principal <name>", "who is to have them: User:NAME; default: KAFKA_SASL_USERNAME").argParser(
        parsedBy(principal),
      ),
    )
    .addOption(parameterOption())
    .option("--json", "one JSON object an entry, with the names of Kafka's API")
    .action(async (module, options, command) => {
      const { terminal } = invocation;
      const { saslUsername, bootstrapServers } = await invocation.config(command);
      const who = options.principal ?? (saslUsername === undefined ? undefined : `User:${saslUsername}`);
      if (who === undefined) {
        throw new KappaError("KAPPA_USAGE", "nobody is named to have the rights; add --principal User:NAME");
      }
      const topology = await loadTopology({ module: invocation.path(module), parameters: options.param });
      const servers = bootstrapServers === undefined ? '"$KAFKA_BOOTSTRAP_SERVERS"' : bootstrapServers.join(",");
      for (const right of rightsOf(topology)) {
        if (options.json) for (const entry of entriesOf(right, who)) terminal.print(jsonLine(entry));
        else terminal.print(commandOf(right, who, servers));
      }
      invocation.next(`kappa doctor ${module}`, command);
    });
}

function principal(text: string): string {
  if (/^[A-Za-z]+:.+$/.test(text)) return text;
  throw new KappaError("KAPPA_USAGE", "Write User:NAME");
}

/** A right as the entries of Kafka's API, one an operation. */
function entriesOf({ operations, ...resource }: KafkaRight, who: string): Readonly<Record<string, string>>[] {
  return operations.map((operation) => ({
    ...resource,
    principal: who,
    host: "*",
    operation,
    permissionType: "ALLOW",
  }));
}

const resourceOptions = { TOPIC: "--topic", GROUP: "--group", TRANSACTIONAL_ID: "--transactional-id" } as const;

/** A right as a command of Kafka's own tool. */
function commandOf(
  { resourceType, resourceName, patternType, operations }: KafkaRight,
  who: string,
  servers: string,
): string {
  const words = ["kafka-acls.sh", "--bootstrap-server", servers, "--add", "--allow-principal", shellWord(who)];
  for (const operation of operations) words.push("--operation", toolName(operation));
  words.push(resourceOptions[resourceType], shellWord(resourceName));
  if (patternType === "PREFIXED") words.push("--resource-pattern-type", "prefixed");
  return words.join(" ");
}

/** DESCRIBE_CONFIGS is DescribeConfigs to the tool. */
function toolName(operation: string): string {
  return operation.toLowerCase().replace(/(^|_)(.)/g, (_all, _gap, letter: string) => letter.toUpperCase());
}

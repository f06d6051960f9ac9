import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { KappaError } from "../core/errors.ts";
import { loadTopology, type TopologyParameters } from "../engine/topology-module.ts";
import { wholeNumber } from "./arguments.ts";
import type { Config } from "./config.ts";
import { exitCodes } from "./exit-code.ts";
import { configOptions, type Invocation } from "./invocation.ts";
import { parsePosition } from "./log-position.ts";
import { jsonLine, shellWord, visible } from "./plain-text.ts";
import type { StateFolder } from "./state-folder.ts";
import { type StateAnswer, StateService } from "./state-service.ts";
import { parameterOption } from "./topology-option.ts";

/** `kappa state ...` */
export function stateVerbs(invocation: Invocation): CommandUnknownOpts {
  return new Command("state")
    .description("look into the stores of an application, running or not")
    .addCommand(getVerb(invocation))
    .addCommand(scanVerb(invocation))
    .addCommand(statsVerb(invocation));
}

const urlHelp = "the running application; default: HTTP_HOST and HTTP_PORT";
const topologyHelp = "read the state folder of this topology, while it does not run";

function getVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("get")
    .description("what a store holds under a key; exit code 4 when it holds nothing")
    .requiredOption("--store <name>")
    .requiredOption("--key <key>")
    .option("--as-of <time>", "event time, ISO 8601 or epoch ms; default: what the task has seen")
    .option("--url <url>", urlHelp)
    .option("--topology <file>", topologyHelp)
    .addOption(parameterOption())
    .option("--json", "one JSON object")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const config = await invocation.config(command);
      const { store, key } = options;
      const asOfMs = options.asOf === undefined ? undefined : eventTime(options.asOf);
      let answer: StateAnswer | undefined;
      if (options.topology === undefined) {
        answer = await serviceOf(config, options.url).read(store, key, asOfMs?.toString());
      } else {
        const folder = await folderOf(invocation, config, options.topology, options.param);
        answer = await folder.read(store, key, asOfMs);
      }
      if (answer === undefined) {
        invocation.exitCode = exitCodes.no;
        terminal.say(`store ${store} holds nothing under this key`);
      } else if (options.json) {
        terminal.print(jsonLine(answer));
      } else {
        terminal.say(`${store}, partition ${answer.partition}, as of ${answer.as_of}`);
        terminal.table(
          ["name", "value"],
          Object.entries(answer.value).map(([name, value]) => [name, cell(value)]),
        );
      }
      const source = options.topology === undefined ? "" : ` --topology ${options.topology}`;
      invocation.next(`kappa state stats${source}`, command);
    });
  return withStateDir(verb);
}

function scanVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("scan")
    .description("keys of a store, from the state folder of an application that does not run")
    .requiredOption("--store <name>")
    .requiredOption("--topology <file>", topologyHelp)
    .addOption(parameterOption())
    .option("--prefix <text>", "only keys that begin with this")
    .addOption(new Option("--limit <count>", "keys at most").argParser(wholeNumber(1)).default(100))
    .option("--values", "also what is held under each key")
    .option("--json", "one JSON object a line")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const { store, limit } = options;
      const folder = await folderOf(invocation, await invocation.config(command), options.topology, options.param);
      let first: string | undefined;
      let count = 0;
      for await (const { partition, key } of folder.keys(store, options.prefix ?? null, limit)) {
        first ??= String(key);
        count++;
        const value = options.values ? (await folder.read(store, String(key), undefined))?.value : undefined;
        const shown = value === undefined ? "" : `  ${jsonLine(value)}`;
        terminal.print(
          options.json
            ? jsonLine({ partition, key, ...(value === undefined ? {} : { value }) })
            : `${visible(String(key))}${shown}`,
        );
        await terminal.drained();
      }
      sayMissing(folder, invocation);
      terminal.say(count === limit ? `${count} keys, and there may be more: raise --limit` : `${count} keys`);
      if (first !== undefined)
        invocation.next(
          `kappa state get --store ${store} --key ${shellWord(first)} --topology ${options.topology}`,
          command,
        );
    });
  return withStateDir(verb);
}

function statsVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("stats")
    .description("the stores: keys of each task offline, tasks and memory of a running application")
    .option("--url <url>", urlHelp)
    .option("--topology <file>", topologyHelp)
    .addOption(parameterOption())
    .option("--json", "one JSON object a line")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const config = await invocation.config(command);
      if (options.topology === undefined) {
        const service = serviceOf(config, options.url);
        const [stores, info] = [await service.stores(), await service.info()];
        if (options.json) terminal.print(jsonLine({ ...info, stores }));
        else {
          terminal.table(
            ["store", "kind", "key", "partitions"],
            stores.map(({ name, kind, key, partitions }) => [name, kind, key, partitions]),
          );
          terminal.say(`${String(info.application)} ${String(info.state)}`);
        }
        invocation.next(`kappa state get --store ${stores[0]?.name ?? "STORE"} --key KEY`, command);
        return;
      }
      const folder = await folderOf(invocation, config, options.topology, options.param);
      const counts = await folder.counts();
      sayMissing(folder, invocation);
      if (options.json) for (const row of counts) terminal.print(jsonLine(row));
      else
        terminal.table(
          ["store", "partition", "keys"],
          counts.map(({ store, partition, keys }) => [store, partition, keys]),
        );
      invocation.next(
        `kappa state scan --store ${folder.stores[0]?.name ?? "STORE"} --topology ${options.topology}`,
        command,
      );
    });
  return withStateDir(verb);
}

function withStateDir(verb: CommandUnknownOpts): CommandUnknownOpts {
  for (const option of configOptions(["stateDir"])) verb.addOption(option);
  return verb;
}

function serviceOf({ httpHost, httpPort, httpToken }: Config, url: string | undefined): StateService {
  const host = httpHost.includes(":") ? `[${httpHost}]` : httpHost;
  return new StateService(url ?? `http://${host}:${httpPort}`, httpToken);
}

async function folderOf(
  invocation: Invocation,
  config: Config,
  module: string,
  parameters: TopologyParameters,
): Promise<StateFolder> {
  const topology = await loadTopology({ module: invocation.path(module), parameters });
  const { StateFolder } = await import("./state-folder.ts");
  return StateFolder.open(invocation.path(config.stateDir), topology);
}

/** Says when the folder does not have every task, so that what is missing is not taken for nothing. */
function sayMissing({ held, partitions }: StateFolder, { terminal }: Invocation): void {
  if (held.length < partitions)
    terminal.say(`this folder has ${held.length} of ${partitions} tasks: ${held.join(", ")}`);
}

function eventTime(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const position = parsePosition(text, Number.NaN);
  if (position.kind === "time" && Number.isFinite(position.timeMs)) return position.timeMs;
  throw new KappaError("KAPPA_USAGE", `"${text}" is no event time; write 2026-01-31T12:00:00Z or epoch ms`);
}

function cell(value: unknown): string | number {
  if (typeof value === "number") return value;
  return typeof value === "string" ? value : jsonLine(value);
}

import { resolve } from "node:path";
import { Option } from "@commander-js/extra-typings";
import type { Clock } from "../core/clock.ts";
import { parameterText } from "./arguments.ts";
import { type Config, describeOption, type LoadedConfig, type OptionName, optionNames } from "./config.ts";
import { loadConfig } from "./config-files.ts";
import { DataFolder } from "./data-folder.ts";
import { kafkaOptionsOf } from "./kafka-connection.ts";
import { EmbeddedLogAccess, KafkaLogAccess, type LogAccess } from "./log-access.ts";
import { shellWord } from "./plain-text.ts";
import { registryAddress } from "./registry-address.ts";
import type { Terminal } from "./terminal.ts";

/** What the configuration needs to know of a command. */
interface CommandWithOptions {
  optsWithGlobals(): Readonly<Record<string, unknown>>;
}

/** One run of the program: what every verb is handed. */
export class Invocation {
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** Relative paths start here, and `.env` and `kappa.config.ts` are looked for here. */
  readonly directory: string;
  /** What the process ends with if nothing is thrown. */
  exitCode = 0;

  constructor(terminal: Terminal, clock: Clock, directory: string) {
    this.terminal = terminal;
    this.clock = clock;
    this.directory = directory;
  }

  /** The configuration with every source, for a command whose flags are parsed. @throws KAPPA_CONFIG_INVALID */
  loadConfig(command: CommandWithOptions): Promise<LoadedConfig> {
    const given = command.optsWithGlobals();
    const flags: Record<string, unknown> = {};
    for (const name of optionNames) {
      const option = configOption(name);
      if (option !== undefined) flags[name] = given[option.attributeName()];
    }
    return loadConfig(flags, this.directory);
  }

  async config(command: CommandWithOptions): Promise<Config> {
    return (await this.loadConfig(command)).values;
  }

  /** The data folder the configuration names. */
  async dataFolder(command: CommandWithOptions): Promise<DataFolder> {
    const config = await this.config(command);
    return new DataFolder(this.path(config.dataDir), registryAddress(config));
  }

  /** The log the configuration names: Kafka's topics when it names brokers, else those of the data folder. */
  async log(command: CommandWithOptions): Promise<LogAccess> {
    return this.logOf(await this.loadConfig(command), "kappa");
  }

  /** @param clientId name in the logs and quotas of the brokers */
  logOf(config: LoadedConfig, clientId: string): LogAccess {
    const kafka = kafkaOptionsOf(config, clientId, (file) => this.path(file));
    if (kafka !== undefined) return new KafkaLogAccess(kafka, config.places.bootstrapServers);
    return new EmbeddedLogAccess(new DataFolder(this.path(config.values.dataDir)));
  }

  /**
   * Says which command to type next, so that it runs as printed: with the data folder, the brokers and the parameters of
   * the topology that this one was given.
   */
  next(words: string, command: CommandWithOptions): void {
    const { dataDir, bootstrapServers, param } = command.optsWithGlobals();
    const given = [words];
    if (typeof dataDir === "string") given.push(`--data-dir ${shellWord(dataDir)}`);
    if (typeof bootstrapServers === "string") given.push(`--bootstrap-servers ${shellWord(bootstrapServers)}`);
    if (/\.[mc]?[jt]s(?!\w)/.test(words) && typeof param === "object" && param !== null) {
      for (const [name, value] of Object.entries(param))
        given.push(`--param ${shellWord(`${name}=${parameterText(value)}`)}`);
    }
    this.terminal.next(given.join(" "));
  }

  path(relative: string): string {
    return resolve(this.directory, relative);
  }
}

/** Options that are flags of the program, and so of every verb. */
export const programOptions: readonly OptionName[] = ["dataDir", "bootstrapServers"];

/** The flag of an option of the configuration; undefined for secrets, which have none. */
export function configOption(name: OptionName): Option | undefined {
  const { flag, description } = describeOption(name);
  return flag === undefined ? undefined : new Option(`${flag} <value>`, firstSentence(description));
}

/** Options of the configuration as flags of a command. */
export function configOptions(names: readonly OptionName[]): Option[] {
  return names.map(configOption).filter((option) => option !== undefined);
}

function firstSentence(text: string): string {
  return text.split(/(?<=\.) /)[0]?.replace(/\.$/, "") ?? text;
}

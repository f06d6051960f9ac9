import { join } from "node:path";
import { z } from "zod";
import { KappaError } from "../core/errors.ts";
import { logLevels } from "../observability/logger.ts";
import { defaultSettings, kafkaSettings } from "../task/settings.ts";
import { integer, type OptionDescription, options, path } from "./config-option.ts";
import { serviceOptions } from "./service-options.ts";

/** Every option of the command line, once: types, limits, defaults, names and help. */
export const configSchema = z.strictObject({
  applicationId: z
    .string()
    .regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$/, "is 1 to 100 letters, digits, dots, underscores or hyphens")
    .optional()
    .register(options, {
      description: "Name of the application: prefix of its internal topics, folder of its state.",
      env: "APPLICATION_ID",
      flag: "--app",
      otherwise: "the topology's name",
    }),
  dataDir: path.default(".kappa").register(options, {
    description: "Folder of the embedded log, the schema registry and, unless set apart, the state.",
    env: "DATA_DIR",
    flag: "--data-dir",
  }),
  stateDir: path.optional().register(options, {
    description: "Folder of the task databases. Local to this machine; losing it costs a restore, not data.",
    env: "STATE_DIR",
    flag: "--state-dir",
    otherwise: "`state` in the data folder",
  }),
  threads: integer(0, 256).default(0).register(options, {
    description: "Engine threads that host tasks; more than there are partitions stay idle. 0: one per CPU core.",
    env: "THREADS",
    flag: "--threads",
  }),
  cacheMb: integer(1, 1_048_576)
    .default(defaultSettings.cacheBytes / (1024 * 1024))
    .register(options, {
      description:
        "Memory for state, in MiB over all tasks of the process. At the limit entities leave memory and are read again " +
        "from disk when needed.",
      env: "CACHE_MB",
      flag: "--cache-mb",
    }),
  commitIntervalMs: integer(0, 60_000)
    .optional()
    .register(options, {
      description:
        "Shortest time between the starts of two rounds of commits of a thread, in ms, unless records are left over. " +
        "Longer saves processor time, and adds to latency.",
      env: "COMMIT_INTERVAL_MS",
      otherwise: `${defaultSettings.commitIntervalMs}, over Kafka ${kafkaSettings.commitIntervalMs}`,
      flag: "--commit-interval-ms",
    }),
  commitRecordsMax: integer(1, 1_000_000).default(defaultSettings.commitRecordsMax).register(options, {
    description: "Records one commit covers at most. At the limit the commit starts at once.",
    env: "COMMIT_RECORDS_MAX",
    flag: "--commit-records-max",
  }),
  mergeWaitMs: integer(0, 60_000)
    .optional()
    .register(options, {
      description:
        "How long a task waits for a source that is caught up but silent before it goes on without it, in ms. Longer " +
        "keeps event-time order under delay, and costs latency when sources are quiet.",
      env: "MERGE_WAIT_MS",
      otherwise: `${defaultSettings.mergeWaitMs}, over Kafka ${kafkaSettings.mergeWaitMs}`,
      flag: "--merge-wait-ms",
    }),
  bufferedRecordsMax: integer(1, 10_000_000).default(defaultSettings.bufferedRecordsMax).register(options, {
    description:
      "Records a task holds for order before it pauses the inputs that are ahead. Bounds memory, not throughput.",
    env: "BUFFERED_RECORDS_MAX",
    flag: "--buffered-records-max",
  }),
  httpHost: z.string().min(1).default("127.0.0.1").register(options, {
    description: "Address of probes, metrics and state queries. Any other than loopback needs `HTTP_TOKEN`.",
    env: "HTTP_HOST",
    flag: "--http-host",
  }),
  httpUrl: z
    .url({ protocol: /^https?$/, error: "is http://host:port or https://host:port" })
    .optional()
    .register(options, {
      description:
        "Where the other processes of the application reach this one with state queries, if not where it listens: behind " +
        "an address translation, or when it listens on all addresses.",
      env: "HTTP_URL",
      flag: "--http-url",
      otherwise: "where it listens",
    }),
  httpPort: integer(0, 65_535).default(9464).register(options, {
    description: "Port of the same; 0 takes any free one.",
    env: "HTTP_PORT",
    flag: "--http-port",
  }),
  httpToken: z.string().min(16, "has fewer than 16 characters").optional().register(options, {
    description: "Bearer token that every request but `/livez` and `/readyz` must carry. At least 16 characters.",
    env: "HTTP_TOKEN",
    otherwise: "none, and only loopback is served",
    secret: true,
  }),
  logLevel: z.enum(logLevels).default("info").register(options, {
    description: "Least severe level that is logged to standard error.",
    env: "LOG_LEVEL",
    flag: "--log-level",
  }),
  ...serviceOptions,
});

type Parsed = z.output<typeof configSchema>;

/** The configuration of one process, complete. */
export type Config = Readonly<
  Omit<Parsed, "stateDir" | "commitIntervalMs" | "mergeWaitMs"> & {
    stateDir: string;
    commitIntervalMs: number;
    mergeWaitMs: number;
  }
>;

export type OptionName = keyof Parsed;

/** Where a value came from, strongest first. */
export type ConfigSource = "flag" | "environment" | ".env" | "kappa.config.ts" | "default";

/** What each place says; absent and, from an environment, empty values say nothing. */
export interface ConfigInputs {
  /** By option name, as the command line parser hands them over. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Variables of the `.env` file. */
  readonly envFile: Readonly<Record<string, string | undefined>>;
  /** The default export of `kappa.config.ts`. */
  readonly configFile: Readonly<Record<string, unknown>>;
}

export interface LoadedConfig {
  readonly values: Config;
  readonly sources: Readonly<Record<OptionName, ConfigSource>>;
  /** Where each value stands, to be named in a message: `--http-port`, `HTTP_PORT from .env`. */
  readonly places: Readonly<Record<OptionName, string>>;
}

export const optionNames = Object.keys(configSchema.shape) as readonly OptionName[];

export function describeOption(name: OptionName): OptionDescription {
  const description = options.get(configSchema.shape[name]);
  if (!description) throw new KappaError("KAPPA_CONFIG_INVALID", `option ${name} has no description`);
  return description;
}

/**
 * One configuration out of all places, each value from the strongest that names it.
 *
 * @throws KAPPA_CONFIG_INVALID naming every wrong value, where it came from and what is allowed
 */
export function resolveConfig(inputs: ConfigInputs): LoadedConfig {
  refuseUnknown(inputs.configFile);
  const given: Partial<Record<OptionName, unknown>> = {};
  const sources = {} as Record<OptionName, ConfigSource>;
  const places = {} as Record<OptionName, string>;
  for (const name of optionNames) {
    const { source, place, value } = strongest(name, inputs);
    sources[name] = source;
    places[name] = place;
    if (value !== undefined) given[name] = value;
  }
  const parsed = configSchema.safeParse(given);
  if (!parsed.success) {
    // The value itself stays out of the message: it may be a secret.
    const faults = parsed.error.issues.map(({ path: [name], message }) => {
      return `${places[name as OptionName]}: ${message.slice(0, 1).toLowerCase()}${message.slice(1)}`;
    });
    throw new KappaError("KAPPA_CONFIG_INVALID", faults.join("; "));
  }
  const { stateDir = join(parsed.data.dataDir, "state"), bootstrapServers } = parsed.data;
  const usual = bootstrapServers === undefined ? defaultSettings : kafkaSettings;
  const { commitIntervalMs = usual.commitIntervalMs, mergeWaitMs = usual.mergeWaitMs } = parsed.data;
  return { values: { ...parsed.data, stateDir, commitIntervalMs, mergeWaitMs }, sources, places };
}

/** A configuration as rows to print, secrets masked. */
export function printableConfig({
  values,
  sources,
}: LoadedConfig): { name: OptionName; value: string; source: ConfigSource }[] {
  return optionNames.map((name) => {
    const value = values[name];
    const text = value === undefined ? `(${describeOption(name).otherwise ?? "none"})` : String(value);
    return {
      name,
      value: describeOption(name).secret && value !== undefined ? "********" : text,
      source: sources[name],
    };
  });
}

interface Given {
  readonly source: ConfigSource;
  readonly place: string;
  readonly value: unknown;
}

function strongest(name: OptionName, { flags, environment, envFile, configFile }: ConfigInputs): Given {
  const { env, alias, flag } = describeOption(name);
  if (flags[name] !== undefined) return { source: "flag", place: flag ?? env, value: flags[name] };
  const variables = alias === undefined ? [env] : [env, alias];
  for (const variable of variables) {
    if (environment[variable]) return { source: "environment", place: variable, value: environment[variable] };
  }
  for (const variable of variables) {
    if (envFile[variable]) return { source: ".env", place: `${variable} in .env`, value: envFile[variable] };
  }
  if (Object.hasOwn(configFile, name) && configFile[name] !== undefined) {
    return { source: "kappa.config.ts", place: `${name} in kappa.config.ts`, value: configFile[name] };
  }
  return { source: "default", place: name, value: undefined };
}

function refuseUnknown(configFile: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(configFile).filter((name) => !Object.hasOwn(configSchema.shape, name));
  if (unknown.length === 0) return;
  throw new KappaError(
    "KAPPA_CONFIG_INVALID",
    `kappa.config.ts has unknown options ${unknown.join(", ")}; known are ${optionNames.join(", ")}`,
  );
}

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseEnv } from "node:util";
import { KappaError, messageOf } from "../core/errors.ts";
import { describeOption, type LoadedConfig, optionNames, resolveConfig } from "./config.ts";

/**
 * The configuration of a command run in `directory`: flags, environment, its `.env`, its `kappa.config.ts`, defaults, in
 * this order of strength. Changes nothing in `process.env`, so that each value keeps its source. A secret may stand in a
 * file that its variable with `_FILE` behind its name names.
 *
 * @param flags by option name
 */
export async function loadConfig(flags: Readonly<Record<string, unknown>>, directory: string): Promise<LoadedConfig> {
  return resolveConfig({
    flags,
    environment: withSecretFiles(process.env, directory),
    envFile: withSecretFiles(readEnvFile(join(directory, ".env")), directory),
    configFile: await importConfigFile(join(directory, "kappa.config.ts")),
  });
}

/**
 * Variables with every secret that stands in a file of its own, as `KAFKA_SASL_PASSWORD_FILE` names one: so that services
 * that mount secrets as files need no shell around the command. What an editor puts behind the last line is left out.
 */
function withSecretFiles(
  variables: Readonly<Record<string, string | undefined>>,
  directory: string,
): Readonly<Record<string, string | undefined>> {
  const secrets: Record<string, string> = {};
  for (const { env, secret } of optionNames.map(describeOption)) {
    const file = variables[`${env}_FILE`];
    if (!secret || !file) continue;
    if (variables[env]) {
      throw new KappaError("KAPPA_CONFIG_INVALID", `${env} and ${env}_FILE are both set; leave one of them out`);
    }
    try {
      secrets[env] = readFileSync(resolve(directory, file), "utf8").replace(/\r?\n$/, "");
    } catch (error) {
      throw new KappaError(
        "KAPPA_CONFIG_INVALID",
        `${env}_FILE: cannot read ${file}: ${messageOf(error)}`,
        { file },
        error,
      );
    }
  }
  return { ...variables, ...secrets };
}

function readEnvFile(file: string): Record<string, string | undefined> {
  return existsSync(file) ? parseEnv(readFileSync(file, "utf8")) : {};
}

async function importConfigFile(file: string): Promise<Readonly<Record<string, unknown>>> {
  if (!existsSync(file)) return {};
  let exported: unknown;
  try {
    const module: { default?: unknown } = await import(pathToFileURL(resolve(file)).href);
    exported = module.default;
  } catch (error) {
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      `kappa.config.ts cannot be read: ${messageOf(error)}`,
      { file },
      error,
    );
  }
  if (typeof exported !== "object" || exported === null) {
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      "kappa.config.ts has no default export; write: export default { httpPort: 9464 }",
      {
        file,
      },
    );
  }
  return exported as Readonly<Record<string, unknown>>;
}

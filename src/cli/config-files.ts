import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseEnv } from "node:util";
import { KappaError, messageOf } from "../core/errors.ts";
import { type LoadedConfig, resolveConfig } from "./config.ts";

/**
 * The configuration of a command run in `directory`: flags, environment, its `.env`, its `kappa.config.ts`, defaults, in
 * this order of strength. Changes nothing in `process.env`, so that each value keeps its source.
 *
 * @param flags by option name
 */
export async function loadConfig(flags: Readonly<Record<string, unknown>>, directory: string): Promise<LoadedConfig> {
  return resolveConfig({
    flags,
    environment: process.env,
    envFile: readEnvFile(join(directory, ".env")),
    configFile: await importConfigFile(join(directory, "kappa.config.ts")),
  });
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

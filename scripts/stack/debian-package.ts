import { join } from "node:path";
import process from "node:process";
import { programFound, runCommand } from "./command.ts";
import { type MissingPackage, refuseMissing } from "./missing-package.ts";

/** Packages of Debian and Ubuntu that bring a program of their own name. */
export type DebianPackage = "redis-server" | "prometheus";

const installScript = join(import.meta.dirname, "install-package.sh");

/** A slow mirror, and another process that installs first. */
const installTimeoutMs = 300_000;

/**
 * Makes sure that the program of a package is there; as root on Debian it is installed.
 *
 * @throws KAPPA_SERVICE_UNREACHABLE with what to type
 */
export async function installDebianPackage(name: DebianPackage): Promise<void> {
  if (programFound(name)) return;
  refuseMissing([missingDebianPackage(name)]);
  process.stderr.write(`installing ${name} (apt-get)\n`);
  await runCommand("sh", [installScript, name], { timeoutMs: installTimeoutMs });
}

/** What is wrong with the program of a package, unless it is there or can be installed. */
export function missingDebianPackage(name: DebianPackage): MissingPackage | undefined {
  if (programFound(name) || (process.getuid?.() === 0 && programFound("apt-get"))) return undefined;
  return { complaint: `${name} is not installed`, packages: [name] };
}

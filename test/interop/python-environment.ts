import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder } from "../../scripts/stack/artifact-cache.ts";
import { lastLine, runCommand } from "../../scripts/stack/command.ts";
import { refuseMissing } from "../../scripts/stack/missing-package.ts";
import { missingPython } from "../../scripts/stack/python.ts";

const requirementsFile = join(import.meta.dirname, "requirements.txt");

/** 32 packages, 30 MB. */
const installTimeoutMs = 240_000;

/**
 * The Python of an environment with the foreign clients, made the first time.
 *
 * @throws KAPPA_SERVICE_UNREACHABLE with one line that says what to install
 */
export async function pythonWithClients(): Promise<string> {
  refuseMissing([await missingPython()]);
  const { out: version } = await runCommand("python3", ["--version"], { timeoutMs: 20_000 });
  const key = createHash("sha256").update(version).update(readFileSync(requirementsFile)).digest("hex").slice(0, 12);
  const folder = await cachedFolder(`python-${key}`, async (unfinished) => {
    await runCommand("python3", ["-m", "venv", unfinished], { timeoutMs: installTimeoutMs });
    // An environment may be moved as long as its Python is called, and not one of its scripts.
    const install = [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "--no-deps",
      "-r",
      requirementsFile,
    ];
    await runCommand(join(unfinished, "bin", "python"), install, { timeoutMs: installTimeoutMs });
  });
  return join(folder, "bin", "python");
}

/** Runs a script of this folder to its end. @returns what it printed */
export function runScript(python: string, script: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      python,
      [join(import.meta.dirname, script), ...args],
      { timeout: 120_000, killSignal: "SIGKILL", maxBuffer: 64 * 1024 * 1024 },
      (error, out, err) => (error ? reject(new Error(`${script}: ${lastLine(err) || error.message}`)) : resolve(out)),
    );
    child.stdin?.on("error", () => {}).end(input);
  });
}

import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { KappaError } from "../../src/core/errors.ts";

/** What a program that ended well has written. */
export interface CommandOutput {
  readonly out: string;
  readonly err: string;
}

/** Largest output of a program that is read; what the stack runs writes a few lines. */
const outputBytesMax = 16 * 1024 * 1024;

/** Whether a program of this name is on the PATH. */
export function programFound(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Runs a program to its end.
 *
 * @throws KAPPA_SERVICE_UNREACHABLE with the last line it wrote, when it ends with anything but 0
 */
export function runCommand(
  program: string,
  args: readonly string[],
  options: { readonly timeoutMs: number; readonly environment?: Readonly<Record<string, string>> },
): Promise<CommandOutput> {
  const env = { ...process.env, ...options.environment };
  return new Promise((resolve, reject) => {
    const limits = { env, timeout: options.timeoutMs, killSignal: "SIGKILL", maxBuffer: outputBytesMax } as const;
    execFile(program, args, limits, (error, out, err) => {
      if (!error) return resolve({ out, err });
      const line = lastLine(err) || lastLine(out) || error.message;
      const how = error.killed ? `took longer than ${options.timeoutMs} ms` : `ended with ${error.code}`;
      reject(new KappaError("KAPPA_SERVICE_UNREACHABLE", `${program} ${how}: ${line}`, { program }, error));
    });
  });
}

/** The last line of a text that says anything: the frames of a Java stack do not, the line above them does. */
export function lastLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s+(at |\.\.\. \d)/.test(line));
  return lines.at(-1)?.trim() ?? "";
}

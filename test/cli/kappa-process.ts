import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import type { Readable } from "node:stream";
import { setTimeout as after } from "node:timers/promises";

const main = join(import.meta.dirname, "..", "..", "src", "cli", "main.ts");

/** `kappa` in a process of its own; what it says is gathered in `said`. */
export class KappaProcess {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly exit: Promise<number | null>;
  said = "";

  /** @param directory where it is started @param line words separated by spaces */
  constructor(directory: string, line: string, environment: Readonly<Record<string, string>> = {}) {
    this.process = spawn(process.execPath, [main, ...line.split(" ")], {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.said += chunk.toString();
      });
    }
    this.exit = once(this.process, "exit").then(([code]) => code as number | null);
  }

  async saying(what: RegExp, withinMs = 60_000): Promise<RegExpExecArray> {
    for (let waitedMs = 0; waitedMs < withinMs && this.process.exitCode === null; waitedMs += 20) {
      const found = what.exec(this.said);
      if (found !== null) return found;
      await after(20);
    }
    throw new Error(`${what} was not said: ${this.said}`);
  }

  /** Where a run answers. */
  async url(): Promise<string> {
    const [, url = ""] = await this.saying(/"url":"(http:[^"]+)"/);
    return url;
  }
}

/** Waits until something holds. */
export async function eventually(holds: () => Promise<boolean>, withinMs = 20_000): Promise<void> {
  for (let waitedMs = 0; !(await holds()); waitedMs += 100) {
    if (waitedMs > withinMs) throw new Error(`it did not come true within ${withinMs} ms`);
    await after(100);
  }
}

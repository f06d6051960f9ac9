import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as after } from "node:timers/promises";

const main = join(import.meta.dirname, "../../src/cli/main.ts");

/** `kappa run` in a process of its own, with what it logged. */
export class KappaProcess {
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  /** Standard error: one JSON object a line. */
  logged = "";

  /** @param words after `run` @param directory whose `.kappa` holds the data */
  constructor(words: readonly string[], directory: string) {
    const args = [...process.execArgv, main, "run", ...words, "--http-port", "0"];
    this.#child = spawn(process.execPath, args, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.logged += text;
    });
    this.#exit = once(this.#child, "exit").then(([code]) => code as number | null);
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** How often it said that it started. */
  get starts(): number {
    return this.logged.match(/"message":"started"/g)?.length ?? 0;
  }

  /** The address it serves, once it does. */
  async url(): Promise<string> {
    for (let waitedMs = 0; waitedMs < 30_000 && this.running; waitedMs += 20) {
      const url = /"url":"([^"]+)"/.exec(this.logged)?.[1];
      if (url !== undefined) return url;
      await after(20);
    }
    throw new Error(`kappa run did not start:\n${this.logged}`);
  }

  /** @returns status and body, as text */
  async ask(path: string): Promise<string> {
    const response = await fetch(new URL(path, await this.url()));
    return `${response.status} ${(await response.text()).trim()}`;
  }

  /** SIGTERM. @returns the exit code */
  async stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    return await this.#exit;
  }
}

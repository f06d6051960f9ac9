import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { KappaError, messageOf } from "../../src/core/errors.ts";
import { lastLine, programFound } from "./command.ts";

/** A server to run as a child. */
export interface ServiceCommand {
  /** How a person calls it. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What it writes is appended here. */
  readonly logFile: string;
}

/** Between two looks at a server that starts, in ms. */
const probeIntervalMs = 50;

/** A server that starts takes a few seconds; this is for a machine that does much else. */
const readyTimeoutMs = 60_000;

/** After SIGTERM, before SIGKILL, in ms. */
const stopTimeoutMs = 15_000;

/**
 * A server that lives as long as this process at most: the kernel kills it when the thread that started it ends, for
 * whatever reason (Linux, by `setpriv`). It is the leader of a session of its own, so that a Ctrl-C in the terminal
 * reaches this process alone, which stops its servers in order.
 */
export class ServiceProcess {
  readonly #command: ServiceCommand;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(command: ServiceCommand, child: ChildProcess) {
    this.#command = command;
    this.#child = child;
    this.#ended = once(child, "close").then(
      () => {},
      () => {},
    );
  }

  /**
   * Starts the server and waits until the probe resolves.
   *
   * @throws KAPPA_SERVICE_UNREACHABLE with the last line of its log, when it ends before or takes too long
   */
  static async start(command: ServiceCommand, probe: () => Promise<void>): Promise<ServiceProcess> {
    const log = openSync(command.logFile, "a");
    const bound = process.platform === "linux" && programFound("setpriv");
    const [program, args] = bound
      ? ["setpriv", ["--pdeathsig", "KILL", "--", command.program, ...command.args]]
      : [command.program, command.args];
    const env = { ...process.env, ...command.environment };
    // In the folder of its log: a JVM that crashes leaves its report where it stands.
    const cwd = dirname(command.logFile);
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ["ignore", log, log] });
    closeSync(log);
    const service = new ServiceProcess(command, child);
    try {
      await service.#ready(probe);
    } catch (error) {
      await service.kill("SIGKILL");
      throw error;
    }
    return service;
  }

  /** Process id of the server itself, no wrapper's. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the server has ended, however. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Sends a signal that ends it, and resolves when it has ended; at once when it has already. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }

  /** Asks it to end, and kills it when it does not. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const patience = new AbortController();
    const impatient = sleep(stopTimeoutMs, "late", { signal: patience.signal }).catch(() => "ended");
    const first = await Promise.race([this.#ended.then(() => "ended"), impatient]);
    patience.abort();
    if (first === "late") await this.kill("SIGKILL");
  }

  async #ready(probe: () => Promise<void>): Promise<void> {
    const { name } = this.#command;
    const giveUpMs = Date.now() + readyTimeoutMs;
    let refusal = "no answer";
    while (this.running) {
      try {
        await probe();
        return;
      } catch (error) {
        refusal = messageOf(error);
      }
      if (Date.now() > giveUpMs) {
        throw new KappaError("KAPPA_SERVICE_UNREACHABLE", `${name} did not start in ${readyTimeoutMs} ms: ${refusal}`);
      }
      await sleep(probeIntervalMs);
    }
    throw new KappaError("KAPPA_SERVICE_UNREACHABLE", `${name} ended at its start: ${this.#lastWords()}`);
  }

  #lastWords(): string {
    return lastLine(readFileSync(this.#command.logFile, "utf8")) || `${this.#command.program} wrote nothing`;
  }
}

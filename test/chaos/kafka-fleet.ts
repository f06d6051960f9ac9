import { type ChildProcess, fork } from "node:child_process";
import { createWriteStream, existsSync, readFileSync, rmSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type KillOrder,
  type KillReport,
  type ProcessorOrder,
  type ProcessorReport,
  type ProcessorRequest,
  processorOrderVariable,
} from "./kafka-steps.ts";

/** What all processors of a fleet are started with. */
export type FleetOptions = Pick<
  ProcessorOrder,
  "bootstrapServers" | "sessionTimeoutMs" | "commitIntervalMs" | "threads"
> & {
  /** Holds state, registries and what processors write. */
  readonly directory: string;
  readonly partitions: number;
};

/** Tasks that a processor came to run, and how long it took from being told. */
export interface TakeOver {
  readonly gained: number;
  readonly ms: number;
}

const heapMb = 512;

/** One process that runs the engine. */
export class Processor {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #report: string;
  readonly #note: (line: string) => void;
  readonly takeOvers: TakeOver[] = [];
  readonly ended: Promise<void>;
  owned: readonly number[] = [];
  /** Whether it runs all that it was told to. */
  running = false;
  /** Durably taken events by partition, of the tasks that are open. */
  offsets: ReadonlyMap<number, number> = new Map();
  commits: ReadonlyMap<number, number> = new Map();
  stopped = false;
  /** We asked for its end. */
  expected = false;
  /** What it said before it ended by itself. */
  failure = "";

  constructor(order: ProcessorOrder, directory: string, note: (line: string) => void) {
    this.name = order.name;
    this.#note = (line) => note(`${this.name} ${line}`);
    this.#note(`starts${order.kill === null ? "" : `, to die at ${order.kill.step}`}`);
    this.#report = order.report;
    rmSync(order.report, { force: true });
    const tap = new URL("./kafka-tap.ts", import.meta.url).href;
    const script = new URL("./kafka-processor.ts", import.meta.url).pathname;
    this.#child = fork(script, [], {
      execArgv: ["--no-warnings", `--max-old-space-size=${heapMb}`, "--import", tap],
      // Half of a start is the compiling of what all of them run.
      env: {
        NODE_COMPILE_CACHE: join(directory, "compiled"),
        ...process.env,
        [processorOrderVariable]: JSON.stringify(order),
      },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const output = createWriteStream(join(directory, `${order.name}.log`), { flags: "a" });
    this.#child.stdout?.pipe(output, { end: false });
    this.#child.stderr?.pipe(output, { end: false });
    this.#child.on("message", (message: ProcessorReport) => this.#receive(message));
    this.ended = new Promise((resolve) => {
      this.#child.once("error", () => resolve());
      this.#child.once("close", (code, signal) => {
        this.#note(`ended by ${signal ?? `code ${code}`}`);
        output.end();
        resolve();
      });
    });
  }

  #receive(message: ProcessorReport): void {
    if (message.kind !== "progress") this.#note(JSON.stringify(message));
    switch (message.kind) {
      case "owned":
        this.owned = message.partitions;
        this.running = false;
        break;
      case "running":
        this.owned = message.partitions;
        this.running = true;
        if (message.gained > 0) this.takeOvers.push(message);
        break;
      case "progress":
        this.offsets = new Map(message.tasks.map(({ partition, offset }) => [partition, offset]));
        this.commits = new Map(message.tasks.map(({ partition, commits }) => [partition, commits]));
        break;
      case "failed":
        this.failure = `${message.code} ${message.message}`;
        break;
      default:
        message satisfies never;
    }
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  #tell(request: ProcessorRequest): void {
    if (this.#child.connected) this.#child.send(request, () => {});
  }

  /** It will kill itself at a step. */
  arm(kill: KillOrder): void {
    this.expected = true;
    this.#note(`is to die at ${kill.step}`);
    this.#tell({ kind: "arm", kill });
  }

  disarm(): void {
    this.expected = false;
    this.#tell({ kind: "disarm" });
  }

  /** What it left when it killed itself; undefined when it did not. */
  get left(): KillReport | undefined {
    const text = existsSync(this.#report) ? readFileSync(this.#report, "utf8") : "";
    return text === "" ? undefined : (JSON.parse(text) as KillReport);
  }

  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    if (signal === "SIGKILL") this.expected = true;
    else this.stopped = signal === "SIGSTOP";
    this.#note(signal);
    this.#child.kill(signal);
  }

  /** Ends it in good order. */
  async end(): Promise<void> {
    this.expected = true;
    this.#tell({ kind: "stop" });
    await this.ended;
  }
}

/** The processors of an application on one host. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #processors = new Map<number, Processor>();
  readonly #started: Processor[] = [];
  readonly #notes: WriteStream;
  readonly #startMs = performance.now();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#notes = createWriteStream(join(options.directory, "fleet.log"));
  }

  /** Into the story of the fleet, for who looks into a failure. */
  note(line: string): void {
    this.#notes.write(`${((performance.now() - this.#startMs) / 1000).toFixed(3).padStart(8)} ${line}\n`);
  }

  get takeOvers(): TakeOver[] {
    return this.#started.flatMap(({ takeOvers }) => takeOvers);
  }

  /** Starts a processor in a place that is free. @param kill it dies there, from its start on */
  start(place: number, kill: KillOrder | null = null): Processor {
    const { directory, bootstrapServers, sessionTimeoutMs, commitIntervalMs, threads } = this.#options;
    const name = `processor-${place}`;
    const order: ProcessorOrder = {
      ...{ bootstrapServers, sessionTimeoutMs, commitIntervalMs, threads, name, kill },
      dataDir: join(directory, name),
      stateDir: join(directory, "state"),
      report: join(directory, `${name}-${this.#started.length}.kill.json`),
    };
    const processor = new Processor(order, directory, (line) => this.note(line));
    this.#started.push(processor);
    if (kill !== null) processor.expected = true;
    this.#processors.set(place, processor);
    return processor;
  }

  /** Processors that run, by place; one that is stopped too. */
  get alive(): ReadonlyMap<number, Processor> {
    return new Map([...this.#processors].filter(([, processor]) => processor.alive));
  }

  /** Those that ended by themselves, and what they said. */
  get failures(): string[] {
    return [...this.#processors.values()]
      .filter(({ alive, expected }) => !alive && !expected)
      .map(({ name, failure }) => `${name} ended by itself: ${failure === "" ? "see its log" : failure}`);
  }

  /** The largest number told for each partition by those that are not stopped; -1 where nobody has told one. */
  #told(of: (processor: Processor) => ReadonlyMap<number, number>): number[] {
    const told: number[] = new Array(this.#options.partitions).fill(-1);
    for (const processor of this.alive.values()) {
      if (processor.stopped) continue;
      for (const [partition, number] of of(processor)) told[partition] = Math.max(told[partition] ?? -1, number);
    }
    return told;
  }

  get offsets(): number[] {
    return this.#told(({ offsets }) => offsets);
  }

  get commits(): number[] {
    return this.#told(({ commits }) => commits);
  }

  /** Whether every task is run by somebody, and everybody runs what they were told. */
  get complete(): boolean {
    const active = [...this.alive.values()].filter(({ stopped }) => !stopped);
    const owned = active.flatMap(({ owned }) => owned);
    return (
      active.length > 0 &&
      active.every(({ running }) => running) &&
      owned.length === this.#options.partitions &&
      new Set(owned).size === owned.length
    );
  }

  /** Where everybody is, for a person. */
  describe(): string {
    const lines = [...this.#processors].map(([place, { alive, stopped, running, owned, failure }]) => {
      const how = !alive ? "ended" : stopped ? "stopped" : running ? "running" : "opening";
      return `  processor ${place}: ${how} ${owned.join(" ")} ${failure}`;
    });
    return [...lines, `  offsets ${this.offsets.join(" ")}`, `  commits ${this.commits.join(" ")}`].join("\n");
  }

  /** Kills what is left. */
  async kill(): Promise<void> {
    for (const processor of this.alive.values()) processor.signal("SIGKILL");
    await Promise.all([...this.#processors.values()].map(({ ended }) => ended));
  }
}

/** Waits until something holds. @returns how long it took, in ms; undefined when it did not in time */
export async function heldAfter(holds: () => boolean, withinMs: number): Promise<number | undefined> {
  const startMs = performance.now();
  while (!holds()) {
    if (performance.now() - startMs > withinMs) return undefined;
    await sleep(10);
  }
  return performance.now() - startMs;
}

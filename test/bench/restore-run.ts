import { mkdirSync, rmSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { commitsTopic } from "../../src/topology/graph.ts";
import { Child } from "./child.ts";
import { sharedClockMs } from "./decision-reader.ts";
import { folderBytes } from "./folder-bytes.ts";
import { purchasesTopic } from "./memory-topology.ts";
import { rounded } from "./percentiles.ts";
import type { RestoreEngineOrder, TakenOver } from "./restore-engine-process.ts";
import type { RestoreFloorOrder, RestoreFloorRun } from "./restore-floor-process.ts";
import type { RestoreProducerOrder } from "./restore-producer-process.ts";

export interface RestoreOptions {
  /** Is emptied, filled, and removed. */
  readonly dataDir: string;
  readonly keys: number;
  readonly partitions: number;
  readonly threads: number;
  readonly cacheMb: number;
  /** Purchases a second while processes are killed. */
  readonly perSecond: number;
  readonly restarts: number;
  readonly takeOvers: number;
  /** Restores without a state directory. */
  readonly fromLog: number;
  /** Whether processes tell the steps of each opening of a task. */
  readonly steps: boolean;
  readonly say: (line: string) => void;
}

/** From the assignment of tasks until all of them run, and how busy the machine was then. */
export interface RestoreTime {
  readonly ms: number;
  readonly load: number;
}

/** One process goes on with what another one had, over the same state directory: both are on one machine. */
export interface TakeOverTime extends RestoreTime {
  /** From the kill until all tasks run: until the session of the killed one ends, nobody knows. */
  readonly sinceKillMs: number;
}

/** A restore without a state directory, and the bare loop just before. */
export interface FromLog {
  readonly rows: number;
  readonly perSecond: number;
  /** Of one bare loop, and of as many beside each other as the engine has threads. */
  readonly loopPerSecond: number;
  readonly loopsPerSecond: number;
  /** Of the one loop's speed, and of theirs. */
  readonly share: number;
  readonly shareOfLoops: number;
  /** On disk when the engine said that it runs. The loops write everything, the engine may hold some in memory yet. */
  readonly stateMb: number;
  readonly load: number;
}

export interface RestoreRun {
  readonly keys: number;
  readonly stateMb: number;
  readonly loadPerSecond: number;
  readonly restarted: readonly RestoreTime[];
  readonly takenOver: readonly TakeOverTime[];
  readonly fromLog: readonly FromLog[];
  /** What a process said of state that it could not use: nothing, unless something is wrong. */
  readonly warnings: readonly string[];
}

/** For a broker that is measured: both compilers, and room. */
const javaOptions: readonly string[] = ["-Xmx1g", "-XX:TieredStopAtLevel=4"];

/** State is written every 10 s: a kill comes anywhere in between. */
const [killAfterMs, killWithinMs] = [5000, 10_000];
const phaseSecondsMax = 1800;

/** Kills processes that hold the state of so many keys, and measures how soon others, or the next, go on. */
export async function restoreRun(options: RestoreOptions): Promise<RestoreRun> {
  rmSync(options.dataDir, { recursive: true, force: true });
  mkdirSync(options.dataDir, { recursive: true });
  const broker = await KafkaBroker.start({ dataDir: join(options.dataDir, "kafka"), javaOptions });
  const run = new Run(options, broker.bootstrapServers);
  try {
    return await run.run();
  } finally {
    run.kill();
    await broker.stop();
    rmSync(options.dataDir, { recursive: true, force: true });
  }
}

class Run {
  readonly #options: RestoreOptions;
  readonly #bootstrapServers: string;
  readonly #children = new Set<Child>();
  readonly #warnings: string[] = [];

  constructor(options: RestoreOptions, bootstrapServers: string) {
    this.#options = options;
    this.#bootstrapServers = bootstrapServers;
  }

  async run(): Promise<RestoreRun> {
    const { partitions, keys, perSecond, restarts, takeOvers, fromLog, say } = this.#options;
    const log = await KafkaLog.open({ bootstrapServers: [this.#bootstrapServers], clientId: "restore-bench" });
    await log.createTopic(purchasesTopic, { partitions });
    await log.close();
    let engine = this.#engine();
    await this.#takenOver(engine, partitions);
    const order: Partial<RestoreProducerOrder> = { keys, perSecond };
    const producer = this.#start("./restore-producer-process.ts", order);
    const startMs = performance.now();
    const sent = producer.ask("load");
    await this.#until(`${keys} answers`, async () => (await engine.ask<number>("answered")) >= keys);
    await sent;
    const loadPerSecond = Math.round((keys * 1000) / (performance.now() - startMs));
    await pause(killWithinMs); // until all of it is on disk
    const stateMb = this.#stateMb();
    say(`${keys} keys at ${loadPerSecond}/s, ${stateMb} MB of state`);
    await producer.ask("go");

    const restarted: RestoreTime[] = [];
    for (let n = 0; n < restarts; n++) {
      await this.#killLater(engine);
      engine = this.#engine();
      restarted.push(await this.#restarted(engine));
    }
    const takenOver = takeOvers === 0 ? [] : await this.#takeOvers(engine, takeOvers);
    await producer.ask("pause");
    for (const child of this.#children) if (child !== producer) await this.#end(child);
    const restores: FromLog[] = [];
    for (let n = 0; n < fromLog; n++) restores.push(await this.#fromLog());
    return { keys, stateMb, loadPerSecond, restarted, takenOver, fromLog: restores, warnings: this.#warnings };
  }

  #start(script: string, order: object, execArgv: readonly string[] = []): Child {
    const { dataDir, partitions } = this.#options;
    const whole = { bootstrapServers: this.#bootstrapServers, dataDir, partitions, ...order };
    const child = new Child(script, whole, execArgv);
    this.#children.add(child);
    return child;
  }

  #engine(): Child {
    const { threads, cacheMb, steps } = this.#options;
    const order: Partial<RestoreEngineOrder> = { threads, cacheMb };
    const tap = steps ? ["--import", new URL("./restore-steps-tap.ts", import.meta.url).href] : [];
    return this.#start("./restore-engine-process.ts", order, tap);
  }

  /** Waits until a process runs an assignment with so many tasks that are new to it. */
  async #takenOver(engine: Child, taken: number): Promise<TakenOver> {
    const endMs = performance.now() + phaseSecondsMax * 1000;
    for (;;) {
      const told = await within(`${taken} tasks run`, endMs, engine.hear<TakenOver>("taken over"));
      this.#warnings.push(...told.warnings);
      if (told.taken === taken) return told;
    }
  }

  async #restarted(engine: Child): Promise<RestoreTime> {
    const time = timeOf(await this.#takenOver(engine, this.#options.partitions));
    this.#options.say(`  restarted: ${time.ms} ms from the assignment to running, load ${time.load}`);
    return time;
  }

  /** @param killedMs on the clock that the processes share */
  async #tookOver(engine: Child, taken: number, killedMs: number): Promise<TakeOverTime> {
    const told = await this.#takenOver(engine, taken);
    const time = { ...timeOf(told), sinceKillMs: rounded(told.runningMs - killedMs) };
    this.#options.say(
      `  taken over: ${time.ms} ms from the assignment to running, ${time.sinceKillMs} from the kill, load ${time.load}`,
    );
    return time;
  }

  /** Kills a process once it has run on for a while. @returns when, on the clock that the processes share */
  async #killLater(engine: Child): Promise<number> {
    await pause(killAfterMs + Math.random() * killWithinMs);
    const killedMs = sharedClockMs();
    await this.#end(engine);
    return killedMs;
  }

  /** Two processes, of which one is killed, again and again. */
  async #takeOvers(first: Child, times: number): Promise<TakeOverTime[]> {
    const half = this.#options.partitions / 2;
    let [dying, taking] = [first, this.#engine()];
    await this.#takenOver(taking, half);
    const takenOver: TakeOverTime[] = [];
    for (let n = 0; n < times; n++) {
      const killedMs = await this.#killLater(dying);
      takenOver.push(await this.#tookOver(taking, half, killedMs));
      const next = this.#engine();
      await this.#takenOver(next, half);
      [dying, taking] = [taking, next];
    }
    return takenOver;
  }

  /** The bare loops, and a start without a state directory, over the same log in turn. */
  async #fromLog(): Promise<FromLog> {
    const { partitions, threads, dataDir, say } = this.#options;
    const loop = await this.#loops(1);
    const loops = await this.#loops(threads);
    rmSync(join(dataDir, "state"), { recursive: true });
    const engine = this.#engine();
    const { ms } = timeOf(await this.#takenOver(engine, partitions));
    const stateMb = this.#stateMb();
    await engine.ask("stop");
    engine.hangUp();
    await engine.ended();
    this.#children.delete(engine);
    const { rows } = loop;
    const perSecond = Math.round((rows * 1000) / ms);
    const [loopPerSecond, loopsPerSecond] = [loop, loops].map(({ seconds }) => Math.round(rows / seconds)) as [
      number,
      number,
    ];
    const load = machineLoad();
    say(
      `  from the log: ${perSecond} rows a second by ${threads} threads, ${stateMb} MB of state on disk then; a bare loop ${loopPerSecond}, ${threads} loops ${loopsPerSecond}, load ${load}`,
    );
    const [share, shareOfLoops] = [rounded(perSecond / loopPerSecond), rounded(perSecond / loopsPerSecond)];
    return { rows, perSecond, loopPerSecond, loopsPerSecond, share, shareOfLoops, stateMb, load };
  }

  #stateMb(): number {
    return Math.round(folderBytes(join(this.#options.dataDir, "state")) / 2 ** 20);
  }

  async #loops(threads: number): Promise<RestoreFloorRun> {
    const directory = join(this.#options.dataDir, "floor");
    mkdirSync(directory);
    const order: Partial<RestoreFloorOrder> = { directory, threads, topic: commitsTopic("memory-bench") };
    const floor = this.#start("./restore-floor-process.ts", order);
    const run = await floor.hear<RestoreFloorRun>("result");
    await floor.ended();
    this.#children.delete(floor);
    rmSync(directory, { recursive: true });
    return run;
  }

  async #end(child: Child): Promise<void> {
    this.#children.delete(child);
    child.kill();
    await child.ended().catch(() => {}); // it was killed
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + phaseSecondsMax * 1000;
    while (!(await holds())) {
      if (performance.now() > endMs) throw new Error(`waited ${phaseSecondsMax} s until ${what}`);
      await pause(250);
    }
  }

  kill(): void {
    for (const child of this.#children) child.kill();
  }
}

function timeOf({ assignedMs, runningMs }: TakenOver): RestoreTime {
  return { ms: rounded(runningMs - assignedMs), load: machineLoad() };
}

/** @param endMs as `performance.now` @throws Error when it takes longer */
async function within<Result>(what: string, endMs: number, promise: Promise<Result>): Promise<Result> {
  const settled = new AbortController();
  const late = async (): Promise<never> => {
    await pause(endMs - performance.now(), undefined, { signal: settled.signal });
    throw new Error(`waited ${phaseSecondsMax} s until ${what}`);
  };
  try {
    return await Promise.race([promise, late()]);
  } finally {
    settled.abort();
  }
}

/** Processes that wanted to run, over the last minute. */
function machineLoad(): number {
  return rounded(loadavg()[0] ?? Number.NaN);
}

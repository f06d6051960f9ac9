import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { existingTopic } from "../../src/cli/data-folder.ts";
import { TopicHasher } from "../../src/cli/topic-hash.ts";
import { batchesHeld } from "../../src/cli/topic-reader.ts";
import { KappaError, RecordBatchReader } from "../../src/index.ts";
import { readFileLog } from "../../src/log/file-log-socket.ts";
import { Child } from "./child.ts";
import { folderBytes } from "./folder-bytes.ts";
import type { MemoryEngineOrder, MemoryProgress } from "./memory-engine-process.ts";
import type { MemoryProducerOrder } from "./memory-producer-process.ts";
import { historiesTopic } from "./memory-topology.ts";
import { ResidentMemory } from "./resident-memory.ts";

export interface MemoryOptions extends MemoryEngineOrder, MemoryProducerOrder {
  /** Whether everything is to expire in the end. */
  readonly expire: boolean;
  /** Longest time that any one phase may take. */
  readonly phaseSecondsMax: number;
  readonly say: (line: string) => void;
}

export interface MemoryRun {
  readonly cacheMb: number;
  /** Largest anonymous resident memory of the engine's process, over all phases. */
  readonly anonymousMbMax: number;
  readonly samples: number;
  /** The most that the engine itself believed its cache to hold. */
  readonly cachedMbMax: number;
  readonly loadPerSecond: number;
  readonly eventsPerSecond: number;
  /** Of the outputs before anything expired. */
  readonly hash: string;
  readonly expiry: Expiry | null;
}

export interface Expiry {
  readonly keysBefore: number;
  /** What is left is one key a partition: the ones that moved the time on. */
  readonly keysAfter: number;
  readonly stateMbBefore: number;
  readonly stateMbAfter: number;
  readonly seconds: number;
}

const megabytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

/** Loads every key, runs the events, and lets everything expire, in a data directory that is removed afterwards. */
export async function memoryRun(options: MemoryOptions): Promise<MemoryRun> {
  rmSync(options.dataDir, { recursive: true, force: true });
  mkdirSync(options.dataDir, { recursive: true });
  const run = new Run(options);
  try {
    return await run.run();
  } finally {
    run.kill();
    rmSync(options.dataDir, { recursive: true, force: true });
  }
}

/** Engine threads say what they hold twice a second. */
const reportedWithinMs = 1000;

class Run {
  readonly #options: MemoryOptions;
  readonly #engine: Child;
  #producer: Child | null = null;
  #cachedBytesMax = 0;

  constructor(options: MemoryOptions) {
    this.#options = options;
    const { dataDir, partitions, threads, cacheMb } = options;
    const order: MemoryEngineOrder = { dataDir, partitions, threads, cacheMb };
    this.#engine = new Child("./memory-engine-process.ts", order);
  }

  async run(): Promise<MemoryRun> {
    const { dataDir, partitions, keys, events, cacheMb, expire, say } = this.#options;
    await this.#until("the engine runs", () => this.#engine.ask<boolean>("running"));
    const memory = new ResidentMemory(this.#engine.pid);
    const order: MemoryProducerOrder = { dataDir, partitions, keys, events };
    const producer = new Child("./memory-producer-process.ts", order);
    this.#producer = producer;
    const loadPerSecond = await this.#phase("load", keys, producer);
    say(`  ${keys} keys at ${Math.round(loadPerSecond)}/s, at most ${megabytes(memory.bytesMax)} MB`);
    const eventsPerSecond = await this.#phase("run", keys + events, producer);
    say(`  ${events} events at ${Math.round(eventsPerSecond)}/s, at most ${megabytes(memory.bytesMax)} MB`);
    await pause(reportedWithinMs);
    await this.#answered(); // for what is held at the end, however short the phases were
    const hash = await hashOf(join(dataDir, "log"));
    const expiry = expire ? await this.#expire(producer) : null;
    memory.stop();
    for (const child of [producer, this.#engine]) {
      await child.ask("stop");
      child.hangUp();
      await child.ended();
    }
    const { bytesMax, samples } = memory;
    return {
      cacheMb,
      anonymousMbMax: megabytes(bytesMax),
      samples,
      cachedMbMax: this.#cachedBytesMax / 2 ** 20,
      loadPerSecond,
      eventsPerSecond,
      hash,
      expiry,
    };
  }

  /** @returns purchases a second, from the first append to the last durable answer */
  async #phase(kind: "load" | "run", answers: number, producer: Child): Promise<number> {
    const from = await this.#answered();
    const startMs = performance.now();
    const sent = producer.ask(kind);
    await this.#until(`${answers} answers`, async () => (await this.#answered()) >= answers);
    await sent;
    return ((answers - from) / (performance.now() - startMs)) * 1000;
  }

  async #answered(): Promise<number> {
    const { answered, cachedBytes } = await this.#engine.ask<MemoryProgress>("progress");
    this.#cachedBytesMax = Math.max(this.#cachedBytesMax, cachedBytes);
    return answered;
  }

  async #expire(producer: Child): Promise<Expiry> {
    const { dataDir, partitions, say } = this.#options;
    const stateDir = join(dataDir, "state");
    const keysBefore = await this.#engine.ask<number>("keys");
    const bytesBefore = folderBytes(stateDir);
    const startMs = performance.now();
    await producer.ask("expire");
    await this.#until("the directory shrinks", async () => folderBytes(stateDir) < bytesBefore / 10, 1000);
    let keysAfter = 0;
    await this.#until("the store is empty", async () => {
      keysAfter = await this.#engine.ask<number>("keys");
      return keysAfter <= partitions;
    });
    const seconds = (performance.now() - startMs) / 1000;
    const [stateMbBefore, stateMbAfter] = [megabytes(bytesBefore), megabytes(folderBytes(stateDir))];
    say(
      `  expired ${keysBefore} keys in ${seconds.toFixed(0)} s: ${keysAfter} left, ${stateMbBefore} MB before, ${stateMbAfter} after`,
    );
    return { keysBefore, keysAfter, stateMbBefore, stateMbAfter, seconds };
  }

  async #until(what: string, holds: () => Promise<boolean>, everyMs = 250): Promise<void> {
    const { phaseSecondsMax } = this.#options;
    const endMs = performance.now() + phaseSecondsMax * 1000;
    while (!(await holds())) {
      if (performance.now() > endMs)
        throw new KappaError("KAPPA_ENGINE_FAILED", `waited ${phaseSecondsMax} s until ${what}`);
      await pause(everyMs);
    }
  }

  /** After a failure; does nothing to children that have ended. */
  kill(): void {
    this.#producer?.kill();
    this.#engine.kill();
  }
}

async function hashOf(directory: string): Promise<string> {
  const log = readFileLog(directory);
  const hasher = new TopicHasher(historiesTopic);
  const reader = new RecordBatchReader();
  for await (const batch of batchesHeld(log, await existingTopic(log, historiesTopic))) {
    reader.reset(batch.bytes);
    while (reader.next()) hasher.add(reader, batch.partition);
  }
  await log.close();
  return hasher.result().hash;
}

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { appendInput } from "../../scripts/handbook-append.ts";
import { mergeOrder } from "../../scripts/handbook-input.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { EngineWorker } from "../../src/engine/engine-worker.ts";
import type { ThreadReport } from "../../src/engine/thread-protocol.ts";
import { loadTopology } from "../../src/engine/topology-module.ts";
import { defaultSettings } from "../../src/index.ts";
import { type OwnedFileLog, openFileLog } from "../../src/log/file-log.ts";
import { threadHandle } from "../../src/log/thread-log.ts";
import { PrometheusMeter } from "../../src/observability/prometheus-meter.ts";
import { readLevelLog } from "../../src/state/level-log.ts";
import { createTopics, registerSchemas } from "../../src/task/application.ts";
import type { Task } from "../../src/task/task.ts";
import type { HandbookData } from "./handbook-data.ts";

// The handbook's job with the engine's own worker in this thread, so that a test sees what it says and can stop it.

const model = join(import.meta.dirname, "../fixtures/handbook.onnx");
export const handbookPartitions = 2;

/** A folder with a log and with the state of a run. */
export interface HandbookPlace {
  readonly directory: string;
  readonly log: OwnedFileLog;
}

/** What a run of all tasks has shown. */
export interface HandbookRun {
  readonly reports: readonly ThreadReport[];
  /** How many tasks began a cycle, by partition: more than one when one was closed and another opened. */
  readonly cycled: readonly number[];
}

export async function openPlace(directory: string): Promise<HandbookPlace> {
  return { directory, log: await openFileLog({ directory: join(directory, "log") }) };
}

/** Opens a place and appends the job's input. */
export async function newPlace(directory: string, { transactions, labels }: HandbookData): Promise<HandbookPlace> {
  const place = await openPlace(directory);
  await appendInput({
    log: place.log,
    dataDir: directory,
    partitions: handbookPartitions,
    transactions,
    labels,
    model,
    order: mergeOrder(transactions, labels),
  });
  return place;
}

export interface HandbookRunOptions {
  /** Higher than that of the run before. */
  readonly generation: number;
  /** For a task: little makes state batches frequent, and state be read from disk. */
  readonly cacheBytes: number;
  readonly commitRecordsMax: number;
  /** Called with the input records that task 0 has taken: to `stop`, or to end the process. */
  readonly reached?: (taken: number, stop: () => void) => void;
}

/** Makes many small state batches. */
export const manyBatches = { cacheBytes: 64 * 1024, commitRecordsMax: 10 } as const;

/** Runs all tasks to the end of the input. */
export async function runHandbook(
  { directory, log }: HandbookPlace,
  options: HandbookRunOptions,
): Promise<HandbookRun> {
  const { generation, cacheBytes, commitRecordsMax, reached } = options;
  const module = {
    module: new URL("../../topologies/handbook.ts", import.meta.url).href,
    parameters: { model },
  };
  const topology = await loadTopology(module);
  await createTopics(topology, log, handbookPartitions);
  const registryDir = join(directory, "registry");
  const ends = (topic: string) =>
    Promise.all([0, 1].map(async (p) => Number(await log.endOffset(topic, p, "written"))));
  const reports: ThreadReport[] = [];
  const tasks = new Set<Task>();
  const worker = new EngineWorker({
    order: {
      ...{ thread: 0, topology: module, log: threadHandle(log), partitionCount: handbookPartitions },
      registry: { kind: "embedded", folder: registryDir },
      stateDir: join(directory, "state"),
      schemaIds: await registerSchemas(topology, await EmbeddedSchemaRegistry.open(registryDir)),
      settings: {
        ...defaultSettings,
        commitRecordsMax,
        cacheBytes: handbookPartitions * cacheBytes,
        untilEnd: true,
      },
      ends: { transactions: await ends("transactions"), "fraud-labels": await ends("fraud-labels") },
    },
    clock: systemClock,
    report: (report) => {
      reports.push(report);
      if (report.kind === "ended") worker.receive({ kind: "stop" });
    },
    tap: (task, _step, sequence) => {
      tasks.add(task);
      if (task.partition !== 0 || reached === undefined) return;
      const inputs = Object.values(task.record(sequence).inputs);
      reached(
        inputs.reduce((sum, { offset }) => sum + offset, 0),
        () => worker.receive({ kind: "stop" }),
      );
    },
  });
  worker.receive({ kind: "own", version: 1, partitions: [0, 1], generation });
  await worker.run();
  const cycled = Array.from(
    { length: handbookPartitions },
    (_, p) => [...tasks].filter((task) => task.partition === p).length,
  );
  return { reports, cycled };
}

/** Batches in the log of task 0's database, which LevelDB has in no table yet. */
export function batchesInLog(directory: string): number {
  const state = join(directory, "state", "0");
  const names = existsSync(state) ? readdirSync(state).filter((name) => name.endsWith(".log")) : [];
  const last = names.sort().at(-1);
  return last === undefined ? 0 : readLevelLog(readFileSync(join(state, last))).records.length;
}

/** Databases that were thrown away, as the metric counts them. */
export async function discardsCounted(reports: readonly ThreadReport[]): Promise<number> {
  const meter = new PrometheusMeter();
  for (const report of reports) if (report.kind === "progress") meter.merge(0, report.metrics);
  return Number(/^kappa_state_discarded_total\{.*\} (\d+)$/m.exec(await meter.page())?.[1] ?? 0);
}

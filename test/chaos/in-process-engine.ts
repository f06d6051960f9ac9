import { setImmediate as turn } from "node:timers/promises";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { noMeter } from "../../src/core/meter.ts";
import { defaultSettings, type Log, type TaskSettings, type Topology } from "../../src/index.ts";
import type { StateDatabase } from "../../src/state/state-database.ts";
import { createTopics, partitionCount, partitionedInputs, registerSchemas } from "../../src/task/application.ts";
import { loadModels } from "../../src/task/models.ts";
import type { Task, TaskTap } from "../../src/task/task.ts";
import { openTask, type TaskSurroundings } from "../../src/task/task-opener.ts";
import { commitsTopic } from "../../src/topology/graph.ts";

export interface InProcessOptions {
  readonly topology: Topology;
  readonly log: Log;
  readonly registryDir: string;
  readonly settings: Partial<TaskSettings>;
  /** Opens the local database of a partition; `discard` throws away what is there. */
  readonly openDatabase: (partition: number, discard: boolean) => Promise<StateDatabase>;
  readonly tap: TaskTap;
}

/** A run that does nothing for so long, and has not ended, never will. */
const idleMsMax = 20_000;
/** Rounds of cycles between two sweeps, and entities that a sweep looks at. */
const [sweptRounds, sweptEntities] = [20, 50];

/**
 * Runs an application to the end of its input, all tasks in this thread: what `EngineWorker` does, over any log and
 * any databases.
 */
export async function runToEnd(options: InProcessOptions): Promise<void> {
  const { topology, log, tap } = options;
  const partitions = await partitionCount(topology, log);
  await createTopics(topology, log, partitions);
  const registry = await EmbeddedSchemaRegistry.open(options.registryDir);
  const endsOf = async (topic: string): Promise<number[]> => {
    const ends: number[] = [];
    for (let p = 0; p < partitions; p++) ends.push(Number(await log.endOffset(topic, p, "written")));
    return ends;
  };
  const ends: Record<string, readonly number[]> = {};
  for (const { topic } of partitionedInputs(topology)) ends[topic] = await endsOf(topic);
  const commits = await endsOf(commitsTopic(topology.applicationId));
  const scorers = await loadModels(topology, systemClock, noMeter);
  const around: TaskSurroundings = {
    topology,
    partitions,
    log,
    registry,
    schemaIds: await registerSchemas(topology, registry),
    settings: { ...defaultSettings, ...options.settings, untilEnd: true },
    clock: systemClock,
    meter: noMeter,
    globalTables: new Map(),
    scorers,
    // As `Engine` numbers its runs: commits so far plus one.
    generation: commits.reduce((sum, end) => sum + end, 1),
    ends,
    openDatabase: options.openDatabase,
    tap,
  };
  const tasks: Task[] = [];
  try {
    for (let partition = 0; partition < partitions; partition++) tasks.push(await openTask(partition, around));
    await cycleToEnd(tasks, log);
  } finally {
    for (const task of tasks) await task.close();
    for (const scorer of scorers.values()) await scorer.close();
  }
}

async function cycleToEnd(tasks: readonly Task[], log: Log): Promise<void> {
  let workedMs = systemClock.monotonic();
  for (let round = 1; ; round++) {
    let worked = false;
    for (const task of tasks) if (await task.cycle()) worked = true;
    if (worked) workedMs = systemClock.monotonic();
    else if (systemClock.monotonic() - workedMs > idleMsMax) throw new Error(`the run hangs at ${lagOf(tasks)}`);
    if (round % sweptRounds === 0) for (const task of tasks) await task.sweep(sweptEntities);
    if (worked) await turn();
    else if (tasks.every((task) => task.finished)) return;
    else await log.changed(Math.min(...tasks.map((task) => task.waitMs)));
  }
}

function lagOf(tasks: readonly Task[]): string {
  return tasks.map((task) => `commit ${task.sequence} of ${task.id}, ${task.lag} records behind`).join("; ");
}

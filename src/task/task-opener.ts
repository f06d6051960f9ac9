import type { SchemaRegistry } from "../codec/schema-registry.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import type { Timers } from "../core/timers.ts";
import type { Log, Writer } from "../log/log.ts";
import type { Scorer } from "../scoring/scorer.ts";
import type { StateDatabase } from "../state/state-database.ts";
import {
  commitsTopic,
  deadLettersTopic,
  type RepartitionNode,
  repartitionTopic,
  type StreamSourceNode,
  type SubTopology,
  type TableSourceNode,
  type Topology,
} from "../topology/graph.ts";
import { inputSerde, outputSerde, type SchemaIds } from "./application.ts";
import { countChanged } from "./changed-input.ts";
import { type CommitRecord, type LanePosition, parseCommitRecord } from "./commit-record.ts";
import { CommitReplay } from "./commit-replay.ts";
import { DeadLetters } from "./dead-letter.ts";
import type { GlobalTable } from "./global-table.ts";
import { InputSource } from "./input-source.ts";
import { inputStart } from "./input-start.ts";
import { Intake } from "./intake.ts";
import { Lane, LaneInput, type LaneStart, type Port, trimmedByOwner } from "./lane.ts";
import { Outputs } from "./outputs.ts";
import { PartitionGroup } from "./partition-group.ts";
import { buildProcessors } from "./processor-builder.ts";
import { RepartitionSender } from "./processors/repartition.ts";
import type { TaskSettings } from "./settings.ts";
import { Stage } from "./stage.ts";
import { TableFaults } from "./table-faults.ts";
import { Task, type TaskTap } from "./task.ts";
import { TaskStores } from "./task-stores.ts";

/** The steps of a take-over, in their order; each is told as it begins. The last one begins when the task is open. */
export type TakeOverStep = "open-writer" | "open-database" | "read-end" | "apply-commits" | "first-cycle";

/** Sees where the opening of a task is, by the task's id: for tests that kill a process at a step. */
export type TakeOverTap = (task: string, step: TakeOverStep) => void;

/** What the tasks of one engine thread share. */
export interface TaskSurroundings {
  readonly topology: Topology;
  readonly partitions: number;
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly schemaIds: SchemaIds;
  readonly settings: TaskSettings;
  readonly clock: Clock;
  /** Default: those of the system. */
  readonly timers?: Timers;
  readonly meter: Meter;
  readonly globalTables: ReadonlyMap<number, GlobalTable>;
  readonly scorers: ReadonlyMap<number, Scorer>;
  /** Number of this run of the application, higher than that of any run before. */
  readonly generation: number;
  /** Where each input partition ends, by topic; only for a run until the end. */
  readonly ends: Readonly<Record<string, readonly number[]>>;
  /** Opens the local database of a partition; `discard` throws away what is there. */
  openDatabase(partition: number, discard: boolean): Promise<StateDatabase>;
  readonly tap: TaskTap;
  /** Gives the opening up: the task is not wanted here any more. */
  readonly signal?: AbortSignal | undefined;
  readonly takeOverTap?: TakeOverTap | undefined;
  /** Told that local state was thrown away, and why. */
  onDiscard?(partition: number, reason: string): void;
  /** Told how far a restore is: commits applied and commits in all. */
  onRestore?(partition: number, applied: number, total: number): void;
}

/**
 * Opens a task: fences its former owner, brings its state up to its last commit, and continues there.
 *
 * 1. open the writer: nothing of the former owner can be appended after this
 * 2. open the local state, meanwhile; what cannot be trusted is thrown away and restored from the log
 * 3. apply the changelog of every commit that the local state has not seen
 * 4. continue reading where the last commit record says
 */
export async function openTask(partition: number, around: TaskSurroundings): Promise<Task> {
  const { topology, log } = around;
  const id = `${topology.applicationId}-${partition}`;
  around.takeOverTap?.(id, "open-writer");
  const writing = log.openWriter(id);
  around.takeOverTap?.(id, "open-database");
  const [writer, database] = await Promise.allSettled([writing, around.openDatabase(partition, false)]);
  if (writer.status === "rejected") {
    if (database.status === "fulfilled") await database.value.close();
    throw writer.reason;
  }
  const opened: Opened = [() => writer.value.close()];
  try {
    return await openBehind(writer.value, database, partition, around, opened);
  } catch (error) {
    // When it is tried again it must find its database unlocked; and a cursor that nobody closes is filled for ever.
    for (const close of opened.reverse()) await close();
    throw error;
  }
}

/** What ends each thing that was opened for a task, in the order of their opening. */
type Opened = (() => Promise<void> | void)[];

async function openBehind(
  writer: Writer,
  found: PromiseSettledResult<StateDatabase>,
  partition: number,
  around: TaskSurroundings,
  opened: Opened,
): Promise<Task> {
  const { topology, log, settings, clock, meter } = around;
  let restored: Restored;
  try {
    if (found.status === "rejected") throw found.reason;
    restored = await restore(partition, around, found.value);
  } catch (error) {
    if (!(error instanceof KappaError) || error.recovery !== "restore-task") throw error;
    tellDiscarded(partition, around, error);
    around.takeOverTap?.(writer.id, "open-database");
    restored = await restore(partition, around, await around.openDatabase(partition, true));
  }
  const { database, stores, record, end } = restored;
  opened.push(() => database.close());
  const outputs = new Outputs();
  const dead = new DeadLetters(
    deadLettersTopic(topology.applicationId),
    partition,
    topology.applicationId,
    outputs,
    meter,
  );
  const stages: Stage[] = [];
  for (const sub of topology.subTopologies) {
    stages.push(await openStage(sub, { around, partition, outputs, dead, stores, record, opened, commitsEnd: end }));
  }
  const globalTables = [...around.globalTables.values()];
  const answers = partition === 0 && globalTables.length > 0;
  const sequence = (record?.sequence ?? -1) + 1;
  around.takeOverTap?.(writer.id, "first-cycle");
  return new Task({
    topology,
    partition,
    partitions: around.partitions,
    settings,
    clock,
    meter,
    log,
    writer,
    database,
    outputs,
    stores,
    stages,
    tableFaults: answers ? new TableFaults(globalTables, log, dead, record?.tables ?? {}) : null,
    sequence,
    commitsEnd: end,
    committed: record,
    tap: around.tap,
  });
}

/** Says that the local state of a task is not to be trusted, before it is thrown away. */
export function tellDiscarded(
  partition: number,
  { topology, meter, onDiscard }: Omit<TaskSurroundings, "generation">,
  error: KappaError,
): void {
  meter.counter("kappa_state_discarded_total", topology.applicationId).add(1);
  onDiscard?.(partition, error.message);
}

interface Restored {
  readonly database: StateDatabase;
  readonly stores: TaskStores;
  readonly record: CommitRecord | null;
  /** End of the commits topic. */
  readonly end: number;
}

/** Closes the database when it fails. */
async function restore(partition: number, around: TaskSurroundings, database: StateDatabase): Promise<Restored> {
  const { topology, log } = around;
  const id = `${topology.applicationId}-${partition}`;
  try {
    const stores = new TaskStores(topology, database);
    const local = database.position === null ? null : parseCommitRecord(database.position);
    // The writer is open: what the former owner left is settled, so the end stays where it is.
    around.takeOverTap?.(id, "read-end");
    const end = Number(await log.endOffset(commitsTopic(topology.applicationId), partition, "written"));
    around.takeOverTap?.(id, "apply-commits");
    const record = await replayOf(partition, around, database, local).run(end);
    if (record !== null && record.partitions !== around.partitions)
      throw countChanged(around.partitions, record.partitions);
    return { database, stores, record, end };
  } catch (error) {
    await database.close();
    throw error;
  }
}

function replayOf(
  partition: number,
  around: TaskSurroundings,
  database: StateDatabase,
  local: CommitRecord | null,
): CommitReplay {
  const { log, clock, timers, meter, signal } = around;
  const topic = commitsTopic(around.topology.applicationId);
  const progress = (applied: number, total: number): void => around.onRestore?.(partition, applied, total);
  return new CommitReplay({ partition, topic, log, clock, timers, meter, database, progress, signal }, local);
}

interface StageSurroundings {
  readonly around: TaskSurroundings;
  readonly partition: number;
  readonly outputs: Outputs;
  readonly dead: DeadLetters;
  readonly stores: TaskStores;
  readonly record: CommitRecord | null;
  readonly opened: Opened;
  /** End of the commits topic as of the restore. */
  readonly commitsEnd: number;
}

async function openStage(sub: SubTopology, surroundings: StageSurroundings): Promise<Stage> {
  const { around, partition, outputs, dead, stores, record } = surroundings;
  const { topology, log, settings, clock } = around;
  const intake = new Intake();
  const inputs: InputSource[] = [];
  for (const node of sub.inputs) inputs.push(await openInput(node, surroundings, intake));
  const lanes = sub.keySpace === null ? null : await openLanes(sub.keySpace, surroundings, intake);
  const group = new PartitionGroup(
    [...inputs, ...(lanes?.lanes ?? [])],
    clock,
    settings.mergeWaitMs,
    settings.untilEnd,
  );
  const position = record?.stages[sub.index];
  if (position !== undefined) group.resumeAt(position);
  const senders = openSenders(sub, surroundings);
  const partitionsOf = await sinkPartitions(sub, around);
  let stage: Stage | null = null;
  const built = buildProcessors(sub, {
    topology,
    partition,
    outputs,
    stores,
    meter: around.meter,
    senders,
    globalTables: around.globalTables,
    scorers: around.scorers,
    serde: (node) => outputSerde(node, around.registry, around.schemaIds),
    partitionsOf: (topic) => partitionsOf.get(topic) ?? around.partitions,
    bury: (row, error) => stage?.bury(row, error),
  });
  const { nodes } = topology;
  stage = new Stage({ subTopology: sub, nodes, log, intake, group, inputs, lanes, ...built, senders, dead, partition });
  return stage;
}

async function openInput(
  node: StreamSourceNode | TableSourceNode,
  { around, partition, dead, record, opened }: StageSurroundings,
  intake: Intake,
): Promise<InputSource> {
  const { log, settings } = around;
  const from = await inputStart(log, node.topic, partition, record);
  const cursor = await log.openCursor(node.topic, partition, BigInt(from.offset), "written");
  opened.push(() => cursor.close());
  const end = settings.untilEnd ? (around.ends[node.topic]?.[partition] ?? 0) : Number.POSITIVE_INFINITY;
  const serde = inputSerde(node, around.registry);
  return new InputSource(node, cursor, serde, dead, intake, settings.timeBounds, end, from);
}

async function sinkPartitions(sub: SubTopology, { log }: TaskSurroundings): Promise<ReadonlyMap<string, number>> {
  const partitions = new Map<string, number>();
  for (const node of sub.nodes) {
    if (node.kind !== "sink") continue;
    const topic = await log.topic(node.topic);
    if (topic !== undefined) partitions.set(node.topic, topic.partitions);
  }
  return partitions;
}

async function openLanes(
  keySpace: string,
  { around, partition, record, opened, commitsEnd }: StageSurroundings,
  intake: Intake,
): Promise<LaneInput> {
  const { topology, log, partitions, generation } = around;
  const ports: Port[] = [];
  for (const node of topology.nodes) {
    if (node.kind === "repartition" && node.keySpace === keySpace)
      ports[node.port] = { node: node.id, columns: node.columns };
  }
  const upstream = new Set(feedersOf(topology, keySpace).map((sub) => sub.index));
  const topic = repartitionTopic(topology.applicationId, keySpace);
  const from = record?.lanes[topic];
  const lanes = [...upstream].flatMap((_, feeder) =>
    Array.from(
      { length: partitions },
      (_, task) => new Lane(ports, generation, laneStart(from, feeder * partitions + task), intake),
    ),
  );
  const start = await log.startOffset(topic, partition);
  const offset = from === undefined ? start : BigInt(from.offset);
  if (offset < start) {
    const message = `frames of ${topic}[${partition}] from ${offset} are needed and begin at ${start}`;
    const lost = new KappaError("KAPPA_LOG_TRUNCATED", message, { topic, partition, offset, start });
    const moved = (await log.endOffset(commitsTopic(topology.applicationId), partition, "written")) > commitsEnd;
    // Whoever has trimmed them has committed before.
    throw moved ? trimmedByOwner(lost) : lost;
  }
  const cursor = await log.openCursor(topic, partition, offset, "written");
  opened.push(() => cursor.close());
  return new LaneInput(topic, cursor, lanes);
}

function laneStart(from: LanePosition | undefined, lane: number): LaneStart {
  return {
    consumed: from?.consumed[lane] ?? -1,
    orderTimeMs: from?.heard?.orderTimeMs[lane] ?? beginningOfTimeMs,
    rank: from?.heard?.rank[lane] ?? 0,
    caughtUpIn: from?.heard?.caughtUpIn[lane] ?? 0,
  };
}

/** Sub-topologies that send to a key space, in their order: their place in it is part of a lane's number. */
function feedersOf(topology: Topology, keySpace: string): SubTopology[] {
  const sends = (sub: SubTopology): boolean =>
    sub.nodes.some((node) => node.kind === "repartition" && node.keySpace === keySpace);
  return topology.subTopologies.filter(sends);
}

function openSenders(
  sub: SubTopology,
  { around, partition, outputs, record }: StageSurroundings,
): Map<string, RepartitionSender> {
  const { topology, partitions, generation } = around;
  const senders = new Map<string, RepartitionSender>();
  const nodes = sub.nodes.filter((node): node is RepartitionNode => node.kind === "repartition");
  for (const { keySpace } of nodes) {
    if (senders.has(keySpace)) continue;
    const feeder = feedersOf(topology, keySpace).indexOf(sub);
    const from = record?.stages[sub.index]?.senders[keySpace] ?? {
      sequence: 0,
      orderTimeMs: beginningOfTimeMs,
      rank: 0,
    };
    const topic = repartitionTopic(topology.applicationId, keySpace);
    senders.set(
      keySpace,
      new RepartitionSender({
        ...{ topic, partitions, source: feeder * partitions + partition, generation, outputs, from },
        intervalMs: around.settings.frontierIntervalMs,
      }),
    );
  }
  return senders;
}

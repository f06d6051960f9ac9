import { setImmediate as turn } from "node:timers/promises";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import type { Log } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { Scorer } from "../scoring/scorer.ts";
import type { StateDatabase } from "../state/state-database.ts";
import {
  commitsTopic,
  deadLettersTopic,
  type RepartitionNode,
  repartitionTopic,
  type SubTopology,
  type Topology,
} from "../topology/graph.ts";
import { inputSerde, outputSerde, type SchemaIds } from "./application.ts";
import { type CommitRecord, decodeCommit, parseCommitRecord } from "./commit-record.ts";
import { DeadLetters } from "./dead-letter.ts";
import type { GlobalTable } from "./global-table.ts";
import { InputSource } from "./input-source.ts";
import { Intake } from "./intake.ts";
import { Lane, LaneInput, type Port } from "./lane.ts";
import { Outputs } from "./outputs.ts";
import { PartitionGroup } from "./partition-group.ts";
import { buildProcessors } from "./processor-builder.ts";
import { RepartitionSender } from "./processors/repartition.ts";
import type { TaskSettings } from "./settings.ts";
import { Stage } from "./stage.ts";
import { TableFaults } from "./table-faults.ts";
import { Task, type TaskTap } from "./task.ts";
import { TaskStores } from "./task-stores.ts";

/** What the tasks of one engine thread share. */
export interface TaskSurroundings {
  readonly topology: Topology;
  readonly partitions: number;
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly schemaIds: SchemaIds;
  readonly settings: TaskSettings;
  readonly clock: Clock;
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
  /** Told how far a restore is: commits applied and commits in all. */
  onRestore?(partition: number, applied: number, total: number): void;
}

/**
 * Opens a task: fences its former owner, brings its state up to its last commit, and continues there.
 *
 * 1. open the writer: nothing of the former owner can be appended after this
 * 2. open the local state; what cannot be trusted is thrown away and restored from the log
 * 3. apply the changelog of every commit that the local state has not seen
 * 4. continue reading where the last commit record says
 */
export async function openTask(partition: number, around: TaskSurroundings): Promise<Task> {
  const { topology, log, settings, clock, meter } = around;
  const writer = await log.openWriter(`${topology.applicationId}-${partition}`);
  let restored: Restored;
  try {
    restored = await restore(partition, around, false);
  } catch (error) {
    if (!(error instanceof KappaError) || error.recovery !== "restore-task") throw error;
    meter.counter("kappa_state_discarded_total", topology.applicationId).add(1);
    restored = await restore(partition, around, true);
  }
  const { database, stores, record } = restored;
  const outputs = new Outputs();
  const dead = new DeadLetters(
    deadLettersTopic(topology.applicationId),
    partition,
    topology.applicationId,
    outputs,
    meter,
  );
  const stages = topology.subTopologies.map((sub) =>
    openStage(sub, { around, partition, outputs, dead, stores, record }),
  );
  const globalTables = [...around.globalTables.values()];
  const answers = partition === 0 && globalTables.length > 0;
  const sequence = (record?.sequence ?? -1) + 1;
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
    committed: record,
    tap: around.tap,
  });
}

interface Restored {
  readonly database: StateDatabase;
  readonly stores: TaskStores;
  readonly record: CommitRecord | null;
}

async function restore(partition: number, around: TaskSurroundings, discard: boolean): Promise<Restored> {
  const { topology, log } = around;
  const database = await around.openDatabase(partition, discard);
  try {
    const stores = new TaskStores(topology, database);
    const local = database.position === null ? null : parseCommitRecord(database.position);
    const topic = commitsTopic(topology.applicationId);
    const end = Number(log.endOffset(topic, partition, "written"));
    if (local !== null && local.sequence >= end) {
      throw new KappaError(
        "KAPPA_STATE_CORRUPT",
        `local state of task ${partition} is at commit ${local.sequence}, the log ends at ${end}: it is of another log`,
        { partition },
      );
    }
    const record = await applyCommits(partition, around, database, local, end);
    if (record !== null && record.partitions !== around.partitions) {
      throw new KappaError(
        "KAPPA_TOPIC_MISMATCH",
        `the application was run with ${record.partitions} partitions, its inputs now have ${around.partitions}; ` +
          "state is cut by partition: run under a new application id from the beginning",
      );
    }
    return { database, stores, record };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/**
 * Applies every commit after `local`. State that no longer fits the bound on memory is written on the way, each time as
 * of a commit that is durable; the event loop turns between batches, so that a stop comes through.
 *
 * @returns the record of the last commit, or null when there was none
 */
async function applyCommits(
  partition: number,
  around: TaskSurroundings,
  database: StateDatabase,
  local: CommitRecord | null,
  end: number,
): Promise<CommitRecord | null> {
  const { topology, log } = around;
  const topic = commitsTopic(topology.applicationId);
  let record = local;
  if (local !== null && local.sequence + 1 >= end) return local;
  let next = local === null ? restoreFrom(log, topic, partition, end) : local.sequence + 1;
  if (next >= end) return record;
  const total = end - next;
  const cursor = log.cursor(topic, partition, BigInt(next), "written");
  const reader = new RecordBatchReader();
  const remaining = around.meter.gauge("kappa_restore_remaining_commits", String(partition));
  while (next < end) {
    const batch = cursor.next();
    if (batch === undefined)
      throw new KappaError("KAPPA_LOG_CORRUPT", `${topic} of partition ${partition} ends at ${next}, expected ${end}`);
    reader.reset(batch.bytes);
    while (reader.next()) {
      const commit = decodeCommit(reader.value() as Buffer);
      database.applyChangelog(commit.changelog);
      record = commit.record;
      next++;
    }
    if (database.overfull && BigInt(next) <= log.endOffset(topic, partition, "durable")) {
      await database.beginFlush(Buffer.from(JSON.stringify(record))).write();
    }
    await turn();
    remaining.set(end - next);
    around.onRestore?.(partition, total - (end - next), total);
  }
  cursor.close();
  return record;
}

/** The first commit that a restore from nothing needs, as the last one names it. */
function restoreFrom(log: Log, topic: string, partition: number, end: number): number {
  if (end === 0) return 0;
  const cursor = log.cursor(topic, partition, BigInt(end - 1), "written");
  const batch = cursor.next();
  cursor.close();
  if (batch === undefined)
    throw new KappaError("KAPPA_LOG_CORRUPT", `${topic} of partition ${partition} has no commit ${end - 1}`);
  const reader = new RecordBatchReader();
  reader.reset(batch.bytes);
  reader.next();
  return decodeCommit(reader.value() as Buffer).record.restoreFrom;
}

interface StageSurroundings {
  readonly around: TaskSurroundings;
  readonly partition: number;
  readonly outputs: Outputs;
  readonly dead: DeadLetters;
  readonly stores: TaskStores;
  readonly record: CommitRecord | null;
}

function openStage(sub: SubTopology, surroundings: StageSurroundings): Stage {
  const { around, partition, outputs, dead, stores, record } = surroundings;
  const { topology, log, settings, clock } = around;
  const intake = new Intake();
  const inputs = sub.inputs.map((node) => {
    const from = record?.inputs[node.topic] ?? {
      offset: Number(log.startOffset(node.topic, partition)),
      orderTimeMs: beginningOfTimeMs,
    };
    const cursor = log.cursor(node.topic, partition, BigInt(from.offset), "written");
    const end = settings.untilEnd ? (around.ends[node.topic]?.[partition] ?? 0) : Number.POSITIVE_INFINITY;
    const visibleEnd = (): number => Number(log.endOffset(node.topic, partition, "written"));
    return new InputSource(
      node,
      cursor,
      inputSerde(node, around.registry),
      dead,
      intake,
      settings.timeBounds,
      end,
      visibleEnd,
      from,
    );
  });
  const lanes = sub.keySpace === null ? null : openLanes(sub.keySpace, surroundings, intake);
  const group = new PartitionGroup(
    [...inputs, ...(lanes?.lanes ?? [])],
    clock,
    settings.mergeWaitMs,
    settings.untilEnd,
  );
  const position = record?.stages[sub.index];
  if (position !== undefined) {
    const { orderTimeMs, rank, lastSource, lastSequence } = position;
    group.resumeAt(orderTimeMs, rank, lastSource, lastSequence);
  }
  const senders = openSenders(sub, surroundings);
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
    partitionsOf: (topic) => log.topic(topic)?.partitions ?? around.partitions,
    bury: (row, error) => stage?.bury(row, error),
  });
  const { nodes } = topology;
  stage = new Stage({ subTopology: sub, nodes, log, intake, group, inputs, lanes, ...built, senders, dead, partition });
  return stage;
}

function openLanes(keySpace: string, { around, partition, record }: StageSurroundings, intake: Intake): LaneInput {
  const { topology, log, partitions } = around;
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
      (_, task) => new Lane(ports, around.generation, from?.consumed[feeder * partitions + task] ?? -1, intake),
    ),
  );
  const cursor = log.cursor(
    topic,
    partition,
    BigInt(from?.offset ?? Number(log.startOffset(topic, partition))),
    "written",
  );
  return new LaneInput(topic, cursor, lanes);
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
      new RepartitionSender({ topic, partitions, source: feeder * partitions + partition, generation, outputs, from }),
    );
  }
  return senders;
}

import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { Meter } from "../core/meter.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import type { Log, Writer } from "../log/log.ts";
import type { StateDatabase } from "../state/state-database.ts";
import { choicesTopic, commitsTopic, type Topology } from "../topology/graph.ts";
import {
  appendCommit,
  type CommitRecord,
  type InputPosition,
  type LanePosition,
  type StagePosition,
} from "./commit-record.ts";
import { IdleTicker, type Tick } from "./idle-ticker.ts";
import type { Outputs } from "./outputs.ts";
import { RestoreHorizon } from "./restore-horizon.ts";
import type { TaskSettings } from "./settings.ts";
import { SkewGauge } from "./skew-gauge.ts";
import type { Stage } from "./stage.ts";
import { StateFlusher } from "./state-flusher.ts";
import type { TableFaults } from "./table-faults.ts";
import { TaskMetrics } from "./task-metrics.ts";
import type { TaskStores } from "./task-stores.ts";

/** The steps of a commit cycle, in their order, as a tap sees them. */
export type TaskStep = "read" | "process" | "score" | "write" | "durable" | "state-batch";

/** Sees where each task is: for tests that kill a process at a step. Costs one call a step of a commit, not of a record. */
export type TaskTap = (task: Task, step: TaskStep, sequence: number) => void;

export interface TaskParts {
  readonly topology: Topology;
  readonly partition: number;
  readonly partitions: number;
  readonly settings: TaskSettings;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly log: Log;
  readonly writer: Writer;
  readonly database: StateDatabase;
  readonly outputs: Outputs;
  readonly stores: TaskStores;
  readonly stages: readonly Stage[];
  /** Of the global tables; null for all tasks but one. */
  readonly tableFaults: TableFaults | null;
  /** Sequence of the next commit. */
  readonly sequence: number;
  /** End of the commits topic: every commit so far stands before it. */
  readonly commitsEnd: number;
  /** The last commit of a run before this one; null when there was none. */
  readonly committed: CommitRecord | null;
  readonly tap: TaskTap;
}

/**
 * Partition p of every sub-topology of an application: the unit of order, state and commit.
 *
 * A cycle takes what is visible of its inputs through all stages and ends in one transaction:
 *
 *   1. read      refresh sources; nothing is taken yet
 *   2. process   rows in order through the processors; state changes in memory, outputs and changelog in buffers
 *   3. score     models see the rows of the cycle together; their rows go on to the sinks
 *   4. write     outputs, changelog and commit record are handed to the log as one transaction
 *   5. durable   the log says that no crash can take the transaction back; only now may readers outside see it
 *   6. state     now and then, what changed since the last time is written to the local database in one batch with
 *                the commit record it belongs to, and only after that commit is durable
 *
 * A crash before 4 leaves nothing. One between 4 and 6 leaves a transaction that is whole or absent, and a database
 * that is behind it: the restart applies the changelog of the commits that the database has not seen. The state is
 * never ahead of the log, so there is nothing to undo.
 */
export class Task {
  readonly id: string;
  readonly partition: number;
  readonly #parts: TaskParts;
  readonly #skew: SkewGauge;
  /** Empty in a run until the end. */
  readonly #tickers: ReadonlyMap<Stage, IdleTicker>;
  #sequence: number;
  #inFlight = 0;
  readonly #flusher: StateFlusher;
  readonly #horizon: RestoreHorizon;
  readonly #metrics: TaskMetrics;
  #restoreFrom: number;
  /** When the last commit was made; as `Clock.monotonic`. */
  #committedMs: number;
  /** Positions of the newest durable commit. */
  #durableInputs: CommitRecord["inputs"] = {};
  /** One past the offset of the newest durable commit. */
  #newerFrom: number;
  /** The last commit handed to the log. A state batch belongs to it: inputs may have been read further meanwhile. */
  #committed: CommitRecord | null;
  /** The commit of the last state batch. */
  #flushed: CommitRecord | null = null;
  #failure: unknown = null;
  #full = false;
  #idle: (() => void) | null = null;

  constructor(parts: TaskParts) {
    this.#parts = parts;
    this.partition = parts.partition;
    this.id = `${parts.topology.applicationId}-${parts.partition}`;
    this.#sequence = parts.sequence;
    const { topology, partition, stages, database, clock, meter, settings } = parts;
    const ticking = settings.untilEnd ? [] : stages.filter(({ idle }) => idle.length > 0);
    this.#tickers = new Map(ticking.map((stage) => [stage, new IdleTicker(stage, clock.monotonic())]));
    this.#skew = new SkewGauge(stages, settings.bufferedRecordsMax);
    this.#committed = parts.committed;
    this.#committedMs = clock.monotonic();
    this.#newerFrom = parts.commitsEnd;
    this.#restoreFrom = parts.committed?.restoreFrom ?? 0;
    this.#horizon = new RestoreHorizon(parts.stores.retentionMs, this.#restoreFrom);
    this.#metrics = new TaskMetrics({ application: topology.applicationId, partition, stages, database, clock, meter });
    this.#flusher = new StateFlusher(database, {
      intervalMs: settings.flushIntervalMs,
      durableSequence: parts.sequence - 1,
      // Tasks take turns, so that they do not all keep the disk busy at once.
      nowMs: clock.monotonic() - (settings.flushIntervalMs * partition) / parts.partitions,
      written: () => {
        this.#trim();
        this.#wake();
      },
      failed: (error) => {
        this.#failure ??= error;
        this.#wake();
      },
      writing: (sequence) => parts.tap(this, "state-batch", sequence),
    });
  }

  /** Commits handed to the log so far. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Whether the last cycle left rows behind that it could have taken: the next one should not wait. */
  get full(): boolean {
    return this.#full;
  }

  get stages(): readonly Stage[] {
    return this.#parts.stages;
  }

  get stores(): TaskStores {
    return this.#parts.stores;
  }

  get database(): StateDatabase {
    return this.#parts.database;
  }

  /**
   * Runs one cycle if there is something to do. How often that may be is up to the caller.
   *
   * @returns whether anything was done: if not, the caller waits for the log to change or for `waitMs`
   * @throws what the log or the state failed with; the task must then be closed
   */
  async cycle(): Promise<boolean> {
    if (this.#failure !== null) throw this.#failure;
    try {
      return await this.#cycle();
    } catch (error) {
      // What a broken cycle has changed belongs to no commit: from here on nothing of it may be written.
      this.#failure ??= error;
      throw error;
    }
  }

  async #cycle(): Promise<boolean> {
    const { settings, stages, clock, tap, database } = this.#parts;
    const startMs = clock.monotonic();
    if (this.#inFlight >= settings.commitsInFlightMax) return false;
    if (database.overfull && this.#flusher.underWay) {
      // Memory is bounded: while too much is dirty and a batch is on its way, the task waits for the disk.
      this.#flusher.encode(true);
      return false;
    }
    tap(this, "read", this.#sequence);
    for (const stage of stages) stage.refresh();
    const { tableFaults } = this.#parts;
    if (tableFaults?.pending) await tableFaults.bury();
    tap(this, "process", this.#sequence);
    let rows = 0;
    let full = false;
    for (const stage of stages) {
      if (this.#skew.ahead(stage)) continue;
      const stageMs = clock.monotonic();
      const taken = stage.run(settings.commitRecordsMax);
      if (taken > 0) this.#metrics.processed(stage, (clock.monotonic() - stageMs) / 1000);
      rows += taken;
      const tick = this.#tickers.get(stage)?.tick(taken, startMs) ?? null;
      if (tick !== null) this.#writeTick(stage, tick);
      if (taken >= settings.commitRecordsMax || stage.full) full = true;
    }
    this.#full = full;
    tap(this, "score", this.#sequence);
    for (const stage of stages) {
      await stage.flush();
      if (stage.dying) await stage.buryDying();
    }
    if (rows === 0 && this.#parts.outputs.empty && !this.#frontierDue(startMs)) {
      this.#flushIfDue(startMs);
      return false;
    }
    this.#commit(startMs);
    this.#metrics.committed(rows);
    this.#flushIfDue(startMs);
    return true;
  }

  /** Whether the tasks downstream have something to hear, or have heard nothing for long. */
  #frontierDue(nowMs: number): boolean {
    const { stages, settings } = this.#parts;
    if (stages.some((stage) => stage.frontierChanged(nowMs))) return true;
    const silentMs = nowMs - this.#committedMs;
    return silentMs >= settings.frontierRepeatMs && stages.some(({ senders }) => senders.size > 0);
  }

  #commit(startMs: number): void {
    this.#committedMs = startMs;
    const { outputs, stages, topology, partition, writer, database, tap } = this.#parts;
    for (const stage of stages) this.#skew.sent(stage, stage.finish(startMs));
    this.#writeChoices();
    const sequence = this.#sequence++;
    this.#restoreFrom = this.#horizon.committed(
      sequence,
      this.#newerFrom,
      this.orderTimeMs,
      Math.min(...stages.map((stage) => stage.orderTimeMs)),
    );
    const record = this.record(sequence);
    this.#committed = record;
    const timeMs = Math.max(0, ...stages.map((stage) => stage.orderTimeMs));
    const commits = outputs.writer(commitsTopic(topology.applicationId), partition);
    appendCommit(commits, timeMs, record, database.takeChangelog());
    this.#inFlight++;
    tap(this, "write", sequence);
    const sections = outputs.sections();
    const own = sections.findIndex((section) => section.topic === commitsTopic(topology.applicationId));
    const appended = writer.append(sections);
    outputs.clear();
    appended.then(
      ({ baseOffsets }) => {
        this.#newerFrom = Number(baseOffsets[own]) + 1;
        this.#durable(record, startMs);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #durable(record: CommitRecord, startMs: number): void {
    const { sequence } = record;
    this.#inFlight--;
    this.#durableInputs = record.inputs;
    this.#parts.tap(this, "durable", sequence);
    this.#metrics.durable((this.#parts.clock.monotonic() - startMs) / 1000);
    this.#flusher.durable(sequence);
    this.#wake();
  }

  #fail(error: unknown): void {
    this.#inFlight--;
    this.#failure ??= error;
    this.#wake();
  }

  #wake(): void {
    const idle = this.#idle;
    this.#idle = null;
    idle?.();
  }

  #writeTick(stage: Stage, tick: Tick): void {
    const { topology, partition, outputs } = this.#parts;
    const value = Buffer.from(JSON.stringify({ version: 1, stage: stage.index, kind: "tick", ...tick }));
    outputs.writer(choicesTopic(topology.applicationId), partition).append(Math.max(0, tick.orderTimeMs), null, value);
  }

  #writeChoices(): void {
    const { stages, topology, partition, outputs } = this.#parts;
    for (const stage of stages) {
      const choices = stage.takeChoices();
      if (choices.length === 0) continue;
      const value = Buffer.from(JSON.stringify({ version: 1, stage: stage.index, kind: "order", rows: choices }));
      outputs
        .writer(choicesTopic(topology.applicationId), partition)
        .append(Math.max(0, stage.orderTimeMs), null, value);
    }
  }

  /** What the task's state and outputs include as of now. */
  record(sequence: number): CommitRecord {
    const inputs: Record<string, InputPosition> = {};
    const lanes: Record<string, LanePosition> = {};
    const stages: StagePosition[] = [];
    for (const stage of this.#parts.stages) {
      for (const input of stage.inputs)
        inputs[input.node.topic] = {
          offset: input.position,
          orderTimeMs: input.takenOrderTimeMs,
          ...(input.topicId === undefined ? {} : { topicId: input.topicId }),
        };
      if (stage.lanes !== null) {
        lanes[stage.lanes.topic] = {
          offset: stage.lanes.position,
          consumed: stage.lanes.lanes.map((lane) => lane.consumed),
          heard: stage.lanes.heard,
        };
      }
      const senders: Record<string, { sequence: number; orderTimeMs: number; rank: number }> = {};
      for (const [keySpace, sender] of stage.senders) {
        senders[keySpace] = { sequence: sender.sequence, orderTimeMs: sender.orderTimeMs, rank: sender.rank };
      }
      const { orderTimeMs, rank, reachedSource, lastSource, lastSequence } = stage.group;
      stages.push({ orderTimeMs, rank, reachedSource, lastSource, lastSequence, senders });
    }
    const tables = this.#parts.tableFaults?.positions ?? {};
    return {
      version: 1,
      sequence,
      newerFrom: this.#newerFrom,
      inputs,
      lanes,
      stages,
      partitions: this.#parts.partitions,
      restoreFrom: this.#restoreFrom,
      ...(Object.keys(tables).length === 0 ? {} : { tables }),
    };
  }

  /** Takes a state batch when one is due; it is written once the commit it belongs to is durable. */
  #flushIfDue(nowMs: number): void {
    if (this.#flusher.due(nowMs)) this.#beginFlush(nowMs);
    this.#flusher.encode(this.#full);
  }

  #beginFlush(nowMs: number): void {
    const record = this.#committed;
    assert(record !== null, () => `task ${this.id} has state to write and no commit`);
    this.#flushed = record;
    this.#flusher.begin(nowMs, record.sequence, Buffer.from(JSON.stringify(record)));
  }

  /** Tells the log what neither a restart nor a restore from nothing will read again. Advice: a failure costs space. */
  #trim(): void {
    const { log, topology, partition } = this.#parts;
    if (this.#flushed === null) return;
    const { restoreFrom, lanes } = this.#flushed;
    const ignore = (): void => {};
    log.trimTo(commitsTopic(topology.applicationId), partition, BigInt(restoreFrom)).catch(ignore);
    for (const [topic, { offset }] of Object.entries(lanes)) log.trimTo(topic, partition, BigInt(offset)).catch(ignore);
  }

  /** Until a commit became durable or a state batch was written. */
  #settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Whether the run has reached its end: every input taken, every frame of the other tasks, every commit durable. */
  get finished(): boolean {
    return (
      this.#inFlight === 0 &&
      this.#parts.stages.every((stage) => stage.group.caughtUp() && !stage.frontierChanged(Number.POSITIVE_INFINITY))
    );
  }

  /** How long the caller may wait for the log before it asks again, when the last cycle did nothing. */
  get waitMs(): number {
    const { settings, stages } = this.#parts;
    // What is awaited then is told to the task, not by a change of the log.
    if (this.#inFlight > 0 || this.#flusher.underWay) return 1;
    if (stages.some((stage) => stage.group.waiting())) return settings.mergeWaitMs;
    const untold = stages.some((stage) => stage.frontierChanged(Number.POSITIVE_INFINITY));
    return untold ? settings.frontierIntervalMs : 100;
  }

  /** Lets what is under way become durable, writes the state and closes. Nothing is lost without it: it saves time. */
  async close(): Promise<void> {
    const { stages, writer, database, clock } = this.#parts;
    try {
      while (this.#failure === null && (this.#inFlight > 0 || this.#flusher.underWay || database.dirty)) {
        this.#flusher.encode(true);
        if (this.#inFlight > 0 || this.#flusher.underWay) await this.#settled();
        else this.#beginFlush(clock.monotonic());
      }
    } finally {
      for (const stage of stages) stage.close();
      await writer.close().catch(() => {});
      await database.close();
    }
    if (this.#failure !== null) throw this.#failure;
  }

  /** Sets the gauges, which are too dear for every commit. */
  sample(): void {
    this.#metrics.sample();
  }

  /** Whether `sweep` has something to do; when busy, something that should not wait. */
  sweepDue(busy: boolean): boolean {
    return !this.#flusher.underWay && this.#parts.database.sweepDue(busy);
  }

  /** Looks at `entriesMax` entities on disk and deletes those past their retention. */
  async sweep(entriesMax: number): Promise<void> {
    await this.#parts.database.sweep(entriesMax);
  }

  /** Offset of each input up to which everything is durable, by topic. */
  get positions(): Record<string, number> {
    const positions: Record<string, number> = {};
    for (const stage of this.#parts.stages) {
      for (const { node, position } of stage.inputs) {
        // With nothing under way all that was taken is durable, and what came after it holds no record.
        const durable = this.#inFlight === 0 ? position : this.#durableInputs[node.topic]?.offset;
        if (durable !== undefined) positions[node.topic] = durable;
      }
    }
    return positions;
  }

  /** Input records that are visible and not taken. */
  get lag(): number {
    let lag = 0;
    for (const stage of this.#parts.stages) for (const input of stage.inputs) lag += input.lag;
    return lag;
  }

  /** Highest order time of the task's stages; for lag and for people. */
  get orderTimeMs(): number {
    return this.#parts.stages.reduce((highest, stage) => Math.max(highest, stage.orderTimeMs), beginningOfTimeMs);
  }
}

import { InvariantError } from "../core/assert.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Log } from "../log/log.ts";
import { recordAt } from "../log/record-at.ts";
import type { GraphNode, SubTopology } from "../topology/graph.ts";
import { type DeadLetters, type Death, deadReasonOf } from "./dead-letter.ts";
import type { InputSource } from "./input-source.ts";
import type { Intake } from "./intake.ts";
import type { LaneInput } from "./lane.ts";
import type { Choice, PartitionGroup } from "./partition-group.ts";
import type { Deferred, Processor } from "./processors/processor.ts";
import type { RepartitionSender } from "./processors/repartition.ts";
import type { SinkProcessor } from "./processors/sink.ts";
import type { IdleDriven, TimeDriven } from "./processors/time-driven.ts";
import type { Row } from "./row.ts";

/** The parts of a stage, as `stage-builder.ts` puts them together. */
export interface StageParts {
  readonly subTopology: SubTopology;
  /** Of the whole topology, by id. */
  readonly nodes: readonly GraphNode[];
  /** Holds the inputs: a record that dies after it was decoded is looked up there. */
  readonly log: Log;
  readonly intake: Intake;
  readonly group: PartitionGroup;
  readonly inputs: readonly InputSource[];
  readonly lanes: LaneInput | null;
  /** Where rows enter, by the node they come from. */
  readonly entries: readonly (Processor | undefined)[];
  /** Rows wait here for a model; in the order of the graph. */
  readonly deferred: readonly Deferred[];
  /** What must know that order time moved on, in the order of the graph. */
  readonly timeDriven: readonly TimeDriven[];
  /** What waits for time to go on although no row comes. */
  readonly idle: readonly IdleDriven[];
  readonly sinks: readonly SinkProcessor[];
  readonly senders: ReadonlyMap<string, RepartitionSender>;
  readonly dead: DeadLetters;
  readonly partition: number;
}

/** A sub-topology of one task: one order of rows through one set of processors. */
export class Stage {
  readonly #parts: StageParts;
  readonly #frontier = { orderTimeMs: 0, rank: 0 };
  /** Input records buried in the commit at hand, as node and offset. */
  readonly #buried = new Set<string>();
  /** Records buried in the commit at hand that are still to be looked up: over a network that takes time. */
  readonly #dying: { readonly row: Row; readonly key: string; readonly death: Death }[] = [];
  #orderTimeMs: number;

  constructor(parts: StageParts) {
    this.#parts = parts;
    this.#orderTimeMs = parts.group.orderTimeMs;
  }

  get index(): number {
    return this.#parts.subTopology.index;
  }
  get group(): PartitionGroup {
    return this.#parts.group;
  }
  get inputs(): readonly InputSource[] {
    return this.#parts.inputs;
  }
  get lanes(): LaneInput | null {
    return this.#parts.lanes;
  }
  get senders(): ReadonlyMap<string, RepartitionSender> {
    return this.#parts.senders;
  }
  get sinks(): readonly SinkProcessor[] {
    return this.#parts.sinks;
  }
  get idle(): readonly IdleDriven[] {
    return this.#parts.idle;
  }
  get orderTimeMs(): number {
    return this.#orderTimeMs;
  }

  /** Begins a commit: looks at the log, without taking rows. */
  refresh(): void {
    this.#parts.intake.begin();
    this.#buried.clear();
    this.#parts.lanes?.poll();
    this.#parts.group.refresh();
  }

  /** Whether the commit at hand holds all the input that it may. */
  get full(): boolean {
    return this.#parts.intake.spent;
  }

  /** Takes up to `rowsMax` rows in order through the processors, fewer when they are large. @returns rows taken */
  run(rowsMax: number): number {
    const { group, intake } = this.#parts;
    let rows = 0;
    for (; rows < rowsMax && !intake.spent; rows++) {
      const row = group.next();
      if (row === null) break;
      if (row.orderTimeMs > this.#orderTimeMs) this.#advance(row.orderTimeMs);
      this.#process(row);
    }
    return rows;
  }

  #advance(orderTimeMs: number): void {
    this.#orderTimeMs = orderTimeMs;
    for (const driven of this.#parts.timeDriven) driven.advance(orderTimeMs);
  }

  /** Moves the time of the stage on without a row. */
  tick(orderTimeMs: number): void {
    if (orderTimeMs <= this.#orderTimeMs) return;
    this.#parts.group.advanceTo(orderTimeMs);
    this.#advance(orderTimeMs);
  }

  #process(row: Row): void {
    const entry = this.#parts.entries[row.origin];
    if (entry === undefined) return;
    try {
      entry.process(row);
    } catch (error) {
      this.bury(row, error);
    }
  }

  /**
   * A row whose processing throws would throw again: it becomes a dead letter. A row of an input is buried as the record
   * it was, once, on however many ways it died; a row that another stage sent or a window made has no record, and its
   * value is buried as it is now. Errors of ours that say otherwise (a corrupt store, a bug) go up.
   */
  bury(row: Row, error: unknown): void {
    if (error instanceof InvariantError) throw error;
    if (error instanceof KappaError && error.recovery !== "dead-letter") throw error;
    const { subTopology, nodes, partition, dead } = this.#parts;
    const reason = error instanceof KappaError ? deadReasonOf(error, "processing") : "processing";
    const passed = row.passed !== "not";
    const death = { partition, offset: row.sequence, reason, message: messageOf(error), passed } as const;
    const input = subTopology.inputs.find(({ id }) => id === row.origin);
    if (input !== undefined) {
      const id = `${row.origin} ${row.sequence}`;
      if (this.#buried.has(id)) return;
      this.#buried.add(id);
      const { topic, name, key } = input;
      this.#dying.push({ row, key, death: { ...death, topic, stage: name } });
      return;
    }
    const sender = nodes[row.origin];
    const stage = sender?.name ?? "";
    const key = sender?.kind === "repartition" || sender?.kind === "window" ? keyText(row, sender.key) : "";
    dead.buryValue(row.timeMs, key, row.value, { ...death, topic: subTopology.keySpace ?? stage, stage });
  }

  /** Whether records of inputs wait to be buried as they were. */
  get dying(): boolean {
    return this.#dying.length > 0;
  }

  /** Looks the records up that died in the commit at hand, and buries them in its transaction. */
  async buryDying(): Promise<void> {
    const { log, dead } = this.#parts;
    for (const { row, key, death } of this.#dying.splice(0)) {
      const record = await recordAt(log, death.topic, death.partition, death.offset);
      if (record !== undefined) dead.bury(record, death);
      else dead.buryValue(row.timeMs, keyText(row, key), row.value, death);
    }
  }

  /** Lets models score what waits for them, and sends their rows on. */
  async flush(): Promise<void> {
    for (const deferred of this.#parts.deferred) await deferred.flush();
  }

  /** Whether the tasks downstream would learn something from a commit now; Infinity: from any commit. */
  frontierChanged(nowMs: number): boolean {
    if (this.#parts.senders.size === 0) return false;
    this.#parts.group.frontier(this.#frontier);
    const caughtUp = this.#parts.group.caughtUp();
    for (const sender of this.#parts.senders.values()) if (sender.changed(this.#frontier, caughtUp, nowMs)) return true;
    return false;
  }

  /** Writes what is to be sent to other tasks. @returns rows sent */
  finish(nowMs: number): number {
    if (this.#parts.senders.size === 0) return 0;
    this.#parts.group.frontier(this.#frontier);
    const caughtUp = this.#parts.group.caughtUp();
    let rows = 0;
    for (const sender of this.#parts.senders.values()) rows += sender.finish(this.#frontier, caughtUp, nowMs);
    return rows;
  }

  takeChoices(): readonly Choice[] {
    return this.#parts.group.takeChoices();
  }

  close(): void {
    for (const input of this.#parts.inputs) input.close();
    this.#parts.lanes?.close();
  }
}

function keyText({ value }: Row, column: string): string {
  return String((value as Readonly<Record<string, unknown>>)[column] ?? "");
}

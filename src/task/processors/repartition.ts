import type { Column } from "../../codec/column.ts";
import { RowBatchWriter } from "../../codec/row-batch.ts";
import { beginningOfTimeMs } from "../../core/time.ts";
import { partitionOf } from "../../log/partitioner.ts";
import type { Value } from "../../topology/graph.ts";
import type { Outputs } from "../outputs.ts";
import { appendFrame } from "../repartition-frame.ts";
import type { Row } from "../row.ts";
import { Processor, requireKey } from "./processor.ts";

interface Frontier {
  readonly orderTimeMs: number;
  readonly rank: number;
}

interface Told {
  orderTimeMs: number;
  rank: number;
  caughtUp: boolean;
  atMs: number;
}

/**
 * What a task sends to the tasks of a key space: rows by destination, with one counter over all streams of the key
 * space, and the frontier. One a key space and sending sub-topology.
 */
export class RepartitionSender {
  readonly #topic: string;
  readonly #partitions: number;
  readonly #source: number;
  readonly #generation: number;
  readonly #outputs: Outputs;
  /** Writers by port, then partition. */
  readonly #writers: RowBatchWriter[][] = [];
  /** Counter of the next row. */
  #sequence: number;
  #timeMs: number;
  #rank: number;
  readonly #intervalMs: number;
  /** What each partition was told last. */
  readonly #told: Told[];
  #emitted = 0;

  constructor(options: {
    readonly topic: string;
    readonly partitions: number;
    readonly source: number;
    readonly generation: number;
    readonly outputs: Outputs;
    /** How long a frontier alone may wait: for each partition that is written a log does some work. */
    readonly intervalMs: number;
    readonly from: { readonly sequence: number; readonly orderTimeMs: number; readonly rank: number };
  }) {
    this.#topic = options.topic;
    this.#partitions = options.partitions;
    this.#source = options.source;
    this.#generation = options.generation;
    this.#outputs = options.outputs;
    this.#intervalMs = options.intervalMs;
    this.#told = Array.from({ length: options.partitions }, () => ({
      orderTimeMs: Number.NaN,
      rank: -1,
      caughtUp: false,
      atMs: Number.NEGATIVE_INFINITY,
    }));
    this.#sequence = options.from.sequence;
    this.#timeMs = options.from.orderTimeMs;
    this.#rank = options.from.rank;
  }

  addPort(port: number, columns: readonly Column[]): void {
    this.#writers[port] = Array.from({ length: this.#partitions }, () => new RowBatchWriter(columns));
  }

  get sequence(): number {
    return this.#sequence;
  }
  get orderTimeMs(): number {
    return this.#timeMs;
  }
  get rank(): number {
    return this.#rank;
  }

  send(port: number, key: string | number, row: Row): void {
    // What travels never goes back: a row that was taken late travels at the time of the one it came after.
    if (row.orderTimeMs > this.#timeMs) {
      this.#timeMs = row.orderTimeMs;
      this.#rank = row.rank;
    } else if (row.rank > this.#rank) this.#rank = row.rank;
    const writers = this.#writers[port] as RowBatchWriter[];
    const writer = writers[partitionOf(key, this.#partitions)] as RowBatchWriter;
    writer.add(row.value, this.#timeMs, this.#rank, this.#sequence++, row.timeMs, row.late);
    this.#emitted++;
  }

  /** Whether `finish` would tell the receivers anything; with Infinity as the time, whether it ever would. */
  changed(frontier: Frontier, caughtUp: boolean, nowMs: number): boolean {
    if (this.#emitted > 0) return true;
    for (const told of this.#told) if (this.#due(told, frontier, caughtUp, nowMs)) return true;
    return false;
  }

  /** Whether a partition without rows should hear the frontier. */
  #due(told: Told, { orderTimeMs, rank }: Frontier, caughtUp: boolean, nowMs: number): boolean {
    if (told.caughtUp !== caughtUp) return true;
    if (told.orderTimeMs === orderTimeMs && told.rank === rank) return false;
    return nowMs - told.atMs >= this.#intervalMs;
  }

  /** Writes a frame to each partition that has rows or is due to hear the frontier. @returns rows sent */
  finish(frontier: Frontier, caughtUp: boolean, nowMs: number): number {
    if (frontier.orderTimeMs > this.#timeMs) {
      this.#timeMs = frontier.orderTimeMs;
      this.#rank = frontier.rank;
    } else if (frontier.orderTimeMs === this.#timeMs && frontier.rank > this.#rank) this.#rank = frontier.rank;
    const batchHead = { source: this.#source, frontierTimeMs: this.#timeMs, frontierRank: this.#rank, caughtUp };
    const head = { ...batchHead, generation: this.#generation };
    const timestamp = this.#timeMs === beginningOfTimeMs ? 0 : this.#timeMs;
    for (let partition = 0; partition < this.#partitions; partition++) {
      const ports: number[] = [];
      const batches: Buffer[] = [];
      for (let port = 0; port < this.#writers.length; port++) {
        const writer = this.#writers[port]?.[partition];
        if (writer === undefined || writer.count === 0) continue;
        ports.push(port);
        batches.push(writer.take(batchHead));
      }
      const told = this.#told[partition] as Told;
      if (batches.length === 0 && !this.#due(told, frontier, caughtUp, nowMs)) continue;
      appendFrame(this.#outputs.writer(this.#topic, partition), timestamp, head, ports, batches);
      told.orderTimeMs = frontier.orderTimeMs;
      told.rank = frontier.rank;
      told.caughtUp = caughtUp;
      told.atMs = nowMs;
    }
    const emitted = this.#emitted;
    this.#emitted = 0;
    return emitted;
  }
}

/** Hands rows to the sender of their key space. */
export class RepartitionProcessor extends Processor {
  readonly #sender: RepartitionSender;
  readonly #port: number;
  readonly #keyOf: (value: Value) => string | number | null;

  constructor(sender: RepartitionSender, port: number, keyOf: (value: Value) => string | number | null) {
    super();
    this.#sender = sender;
    this.#port = port;
    this.#keyOf = keyOf;
  }

  override process(row: Row): void {
    const key = requireKey(this.#keyOf(row.value));
    this.#sender.send(this.#port, key, row);
  }
}

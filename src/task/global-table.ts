import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import type { Cursor, Log, RecordBatch } from "../log/log.ts";
import { nextBatch } from "../log/record-at.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { TableSourceNode, Value } from "../topology/graph.ts";
import type { DeadReason } from "./dead-letter.ts";
import { InputDecoder, type TimeBounds } from "./input-decoder.ts";

interface Version {
  readonly timeMs: number;
  readonly value: Value | null;
}

/** A record of a global table that is no version. */
export interface TableFault {
  readonly partition: number;
  readonly offset: number;
  readonly reason: DeadReason;
  readonly message: string;
}

export interface GlobalTableOptions {
  readonly node: TableSourceNode;
  readonly log: Log;
  readonly serde: Serde<Value>;
  readonly timeBounds: TimeBounds;
  /** Whether somebody takes the faults: `TableFaults` of task 0. Otherwise they are passed over. */
  readonly keepFaults: boolean;
}

/**
 * A table that every task of a process sees whole: read to its end before the first row, and followed from then on. A
 * lookup takes the newest version with a time at or before the row's. Every version is kept: fit for lists, rules and
 * catalogues, not for what changes with each event.
 */
export class GlobalTable {
  readonly node: TableSourceNode;
  readonly #decoder: InputDecoder;
  readonly #keepFaults: boolean;
  readonly #cursors: readonly Cursor[];
  readonly #versions = new Map<string | number, Version[]>();
  readonly #reader = new RecordBatchReader();
  readonly #faults: TableFault[] = [];

  private constructor({ node, serde, timeBounds, keepFaults }: GlobalTableOptions, cursors: readonly Cursor[]) {
    this.node = node;
    this.#decoder = new InputDecoder(node, serde, timeBounds);
    this.#keepFaults = keepFaults;
    this.#cursors = cursors;
  }

  /** Opens a table and reads it to its end. @throws KAPPA_TOPIC_UNKNOWN */
  static async open(options: GlobalTableOptions): Promise<GlobalTable> {
    const { node, log } = options;
    const topic = await log.topic(node.topic);
    if (topic === undefined)
      throw new KappaError(
        "KAPPA_TOPIC_UNKNOWN",
        `topic "${node.topic}" does not exist; type: kappa topics create ${node.topic}`,
      );
    const cursors: Cursor[] = [];
    for (let p = 0; p < topic.partitions; p++) {
      cursors.push(await log.openCursor(node.topic, p, await log.startOffset(node.topic, p), "written"));
    }
    const table = new GlobalTable(options, cursors);
    for (const cursor of cursors) {
      for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor))
        table.#read(batch);
    }
    return table;
  }

  /** Takes up what has become visible. */
  refresh(): void {
    for (const cursor of this.#cursors) {
      for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) this.#read(batch);
    }
  }

  #read({ partition, baseOffset, bytes }: RecordBatch): void {
    this.#reader.reset(bytes);
    for (let offset = Number(baseOffset); this.#reader.next(); offset++) this.#take(partition, offset);
  }

  #take(partition: number, offset: number): void {
    const decoder = this.#decoder;
    const value = decoder.decode(this.#reader);
    if (value !== null) this.#put(decoder.key, decoder.timeMs, decoder.tombstone ? null : value);
    else if (this.#keepFaults) {
      const { reason, message } = decoder;
      this.#faults.push({ partition, offset, reason, message });
    }
  }

  /** Records that are no versions; of a partition, in offset order. It only grows. */
  get faults(): readonly TableFault[] {
    return this.#faults;
  }

  #put(key: string | number, timeMs: number, value: Value | null): void {
    const versions = this.#versions.get(key);
    if (versions === undefined) {
      this.#versions.set(key, [{ timeMs, value }]);
      return;
    }
    let at = versions.length;
    while (at > 0 && (versions[at - 1] as Version).timeMs > timeMs) at--;
    versions.splice(at, 0, { timeMs, value });
  }

  /** The newest version at or before `asOfMs`; null where there is none or it was deleted. */
  get(key: string | number, asOfMs: number): Value | null {
    const versions = this.#versions.get(key);
    if (versions === undefined) return null;
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i] as Version;
      if (version.timeMs <= asOfMs) return version.value;
    }
    return null;
  }

  close(): void {
    for (const cursor of this.#cursors) cursor.close();
  }
}

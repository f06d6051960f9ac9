import { setTimeout as sleep } from "node:timers/promises";
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
  /** Ends the wait of `open` for a schema registry that does not answer: the process is told to stop. */
  readonly signal?: AbortSignal;
  /** Told while `open` waits for a schema registry, about every second. */
  readonly onWait?: (reason: string) => void;
}

/** Between two looks at whether a schema registry has answered, in ms. */
const lookAgainMs = 20;

/** Looks between two times that a wait is told. */
const tellWaitEvery = 50;

/** A partition of the table, and what is left of a batch in whose middle a record awaits its schema. */
interface TablePartition {
  readonly cursor: Cursor;
  rest: { readonly bytes: Buffer; readonly baseOffset: number; readonly taken: number } | null;
}

/**
 * A table that every task of a process sees whole: read to its end before the first row, and followed from then on. A
 * lookup takes the newest version with a time at or before the row's. Every version is kept: fit for lists, rules and
 * catalogues, not for what changes with each event. A partition pauses in front of a record whose schema the registry has
 * not told yet; before the first row that is waited for.
 */
export class GlobalTable {
  readonly node: TableSourceNode;
  readonly #decoder: InputDecoder;
  readonly #keepFaults: boolean;
  readonly #partitions: readonly TablePartition[];
  readonly #versions = new Map<string | number, Version[]>();
  readonly #reader = new RecordBatchReader();
  readonly #faults: TableFault[] = [];
  #waitsFor: string | null = null;

  private constructor({ node, serde, timeBounds, keepFaults }: GlobalTableOptions, cursors: readonly Cursor[]) {
    this.node = node;
    this.#decoder = new InputDecoder(node, serde, timeBounds);
    this.#keepFaults = keepFaults;
    this.#partitions = cursors.map((cursor) => ({ cursor, rest: null }));
  }

  /** Opens a table and reads it to its end. @throws KAPPA_TOPIC_UNKNOWN */
  static async open(options: GlobalTableOptions): Promise<GlobalTable> {
    const { node, log, signal, onWait } = options;
    const topic = await log.topic(node.topic);
    if (topic === undefined)
      throw new KappaError(
        "KAPPA_TOPIC_UNKNOWN",
        `topic "${node.topic}" does not exist; type: kappa topics create ${node.topic}`,
      );
    const cursors: Cursor[] = [];
    const ends: number[] = [];
    for (let p = 0; p < topic.partitions; p++) {
      ends.push(Number(await log.endOffset(node.topic, p, "written")));
      cursors.push(await log.openCursor(node.topic, p, await log.startOffset(node.topic, p), "written"));
    }
    const table = new GlobalTable(options, cursors);
    for (const [p, partition] of table.#partitions.entries()) {
      for (;;) {
        for (let looks = 1; !table.#readRest(partition) && signal?.aborted !== true; looks++) {
          if (looks % tellWaitEvery === 0) onWait?.(table.#waitsFor ?? "");
          await sleep(lookAgainMs);
        }
        const batch = partition.rest === null ? await nextBatch(partition.cursor) : undefined;
        if (batch !== undefined) table.#read(partition, batch);
        // A broker that has just come to lead a partition shows less for a moment.
        else if (signal?.aborted || Number(partition.cursor.position) >= (ends[p] as number)) break;
        else await sleep(lookAgainMs);
      }
    }
    return table;
  }

  /** Takes up what has become visible. */
  refresh(): void {
    this.#waitsFor = null;
    for (const partition of this.#partitions) {
      while (this.#readRest(partition)) {
        const batch = partition.cursor.next();
        if (batch === undefined) break;
        this.#read(partition, batch);
      }
    }
  }

  /** What a paused partition waits for, in words; null when none is paused. */
  get waitsFor(): string | null {
    return this.#waitsFor;
  }

  /** Goes on where a partition paused, if it did. @returns whether there is nothing left of its batch */
  #readRest(partition: TablePartition): boolean {
    const { rest } = partition;
    if (rest === null) return true;
    this.#reader.reset(rest.bytes);
    for (let i = 0; i < rest.taken; i++) this.#reader.next();
    return this.#readFrom(partition, rest.bytes, rest.baseOffset, rest.taken);
  }

  #read(partition: TablePartition, { baseOffset, bytes }: RecordBatch): void {
    this.#reader.reset(bytes);
    this.#readFrom(partition, bytes, Number(baseOffset), 0);
  }

  /** Takes the records of a batch from the `taken`th on, before which the reader stands. @returns whether to the last */
  #readFrom(table: TablePartition, bytes: Buffer, baseOffset: number, from: number): boolean {
    for (let taken = from; this.#reader.next(); taken++) {
      if (this.#take(table.cursor.partition, baseOffset + taken)) continue;
      // A copy: the bytes of a batch are lent until the cursor goes on.
      table.rest = { bytes: table.rest?.bytes ?? Buffer.from(bytes), baseOffset, taken };
      return false;
    }
    table.rest = null;
    return true;
  }

  /** @returns false for a record that cannot be judged yet */
  #take(partition: number, offset: number): boolean {
    const decoder = this.#decoder;
    const value = decoder.decode(this.#reader);
    if (value !== null) this.#put(decoder.key, decoder.timeMs, decoder.tombstone ? null : value);
    else if (decoder.pending) {
      this.#waitsFor = decoder.message;
      return false;
    } else if (this.#keepFaults) {
      const { reason, message } = decoder;
      this.#faults.push({ partition, offset, reason, message });
    }
    return true;
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
    for (const { cursor } of this.#partitions) cursor.close();
  }
}

import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import type { Cursor, Log } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { TableSourceNode, Value } from "../topology/graph.ts";

interface Version {
  readonly timeMs: number;
  readonly value: Value | null;
}

/**
 * A table that every task of a process sees whole: read to its end before the first row, and followed from then on. A
 * lookup takes the newest version with a time at or before the row's. Every version is kept: fit for lists, rules and
 * catalogues, not for what changes with each event.
 */
export class GlobalTable {
  readonly node: TableSourceNode;
  readonly #serde: Serde<Value>;
  readonly #cursors: readonly Cursor[];
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #timeOf: ((value: Value) => string | number | null) | null;
  readonly #versions = new Map<string | number, Version[]>();
  readonly #reader = new RecordBatchReader();
  /** Records that could not be read: they are no versions. */
  skipped = 0;

  constructor(node: TableSourceNode, log: Log, serde: Serde<Value>) {
    this.node = node;
    this.#serde = serde;
    const topic = log.topic(node.topic);
    if (topic === undefined)
      throw new KappaError(
        "KAPPA_TOPIC_UNKNOWN",
        `topic "${node.topic}" does not exist; type: kappa topics create ${node.topic}`,
      );
    this.#cursors = Array.from({ length: topic.partitions }, (_, p) =>
      log.cursor(node.topic, p, log.startOffset(node.topic, p), "written"),
    );
    this.#keyOf = node.schema.shape.keyReader(node.key);
    this.#timeOf = node.time === null ? null : node.schema.shape.keyReader(node.time);
    this.refresh();
  }

  /** Takes up what has become visible. */
  refresh(): void {
    for (const cursor of this.#cursors) {
      for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) {
        this.#reader.reset(batch.bytes);
        while (this.#reader.next()) this.#take();
      }
    }
  }

  #take(): void {
    const reader = this.#reader;
    const text = reader.keyAt < 0 ? null : reader.buffer.toString("utf8", reader.keyAt, reader.keyEnd);
    if (reader.valueAt < 0) {
      const numeric = this.node.columns.find(({ name }) => name === this.node.key)?.type !== "text";
      if (text !== null) this.#put(numeric ? Number(text) : text, reader.timestamp, null);
      return;
    }
    try {
      const value = this.#serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      const time = this.#timeOf === null ? reader.timestamp : this.#timeOf(value);
      const key = this.#keyOf(value);
      if (key === null || typeof time !== "number") this.skipped++;
      else this.#put(key, time, value);
    } catch (error) {
      if (!(error instanceof KappaError) || error.recovery !== "dead-letter") throw error;
      this.skipped++;
    }
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

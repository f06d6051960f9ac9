import { type Cursor, type Log, RecordBatchReader } from "../../src/index.ts";
import { decisionsTopic } from "./decisions.ts";

/** A reader outside the application: it sees durable decisions, and remembers each with its partition and offset. */
export class DecisionReader {
  readonly #log: Log;
  readonly #reader = new RecordBatchReader();
  #cursors: readonly Cursor[] = [];
  #seen: string[][] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** By partition, in offset order from 0: key, time and value. */
  get seen(): readonly (readonly string[])[] {
    return this.#seen;
  }

  get count(): number {
    return this.#seen.reduce((sum, decisions) => sum + decisions.length, 0);
  }

  /** Reads what there is by now. */
  read(): void {
    const partitions = this.#log.topic(decisionsTopic)?.partitions ?? 0;
    if (this.#cursors.length < partitions) {
      this.#cursors = Array.from({ length: partitions }, (_, p) => this.#log.cursor(decisionsTopic, p, 0n, "durable"));
      this.#seen = this.#cursors.map(() => []);
    }
    for (const [p, cursor] of this.#cursors.entries()) {
      for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) this.#take(p, batch.bytes);
    }
  }

  #take(partition: number, bytes: Buffer): void {
    const reader = this.#reader;
    reader.reset(bytes);
    while (reader.next()) {
      const value = reader.value()?.toString("base64");
      this.#seen[partition]?.push(`${reader.key()?.toString()} ${reader.timestamp} ${value}`);
    }
  }

  close(): void {
    for (const cursor of this.#cursors) cursor.close();
  }
}

/**
 * Compares what a reader was once shown with what there is.
 *
 * @returns the first decision that is gone or another one now, or null
 */
export function brokenPromise(
  shown: readonly (readonly string[])[],
  found: readonly (readonly string[])[],
): string | null {
  for (const [p, decisions] of shown.entries()) {
    for (const [offset, decision] of decisions.entries()) {
      const now = found[p]?.[offset];
      if (now === decision) continue;
      const what = now === undefined ? "is gone" : `is another now, of key ${keyOf(now)}`;
      return `decision ${offset} of partition ${p}, shown with key ${keyOf(decision)}, ${what}`;
    }
  }
  return null;
}

const keyOf = (decision: string): string => decision.slice(0, decision.indexOf(" "));

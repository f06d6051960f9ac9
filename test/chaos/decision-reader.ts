import { type Cursor, type Log, RecordBatchReader } from "../../src/index.ts";
import { decisionsTopic } from "./decisions.ts";

/** A reader outside the application: it sees durable decisions, and remembers each with its partition and offset. */
export class DecisionReader {
  readonly #log: Log;
  readonly #reader = new RecordBatchReader();
  readonly #cursors: Cursor[] = [];
  /** Stay where they are, and tell what is written. */
  readonly #written: Cursor[] = [];
  readonly #seen: string[][] = [];

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

  /** Decisions in the log, durable or not. */
  get written(): number {
    return this.#written.reduce((sum, { end }) => sum + Number(end), 0);
  }

  /** Opens the partitions of the topic, if it is there by now: what is not open is not read. */
  async open(): Promise<void> {
    const partitions = (await this.#log.topic(decisionsTopic))?.partitions ?? 0;
    for (let p = this.#cursors.length; p < partitions; p++) {
      this.#cursors.push(await this.#log.openCursor(decisionsTopic, p, 0n, "durable"));
      this.#written.push(await this.#log.openCursor(decisionsTopic, p, 0n, "written"));
      this.#seen.push([]);
    }
  }

  /** Reads what there is by now, at once: the power may be cut at any moment. */
  read(): void {
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
    for (const cursor of [...this.#cursors, ...this.#written]) cursor.close();
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

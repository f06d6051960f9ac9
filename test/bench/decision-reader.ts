import { setTimeout as pause } from "node:timers/promises";
import { type Cursor, type Log, RecordBatchReader } from "../../src/index.ts";

/** Decisions that are durable. */
export async function decidedIn(log: Log, topic: string): Promise<number> {
  let count = 0;
  const partitions = (await log.topic(topic))?.partitions ?? 0;
  for (let p = 0; p < partitions; p++) count += Number(await log.endOffset(topic, p, "durable"));
  return count;
}

/** Milliseconds of the clock that all processes of a machine share. */
export function sharedClockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Which decisions were seen, and when, on the shared clock. */
export interface Seen {
  readonly keys: string[];
  readonly atMs: number[];
}

/** Follows a topic as a reader outside would: durable records only, from where they end now. */
export class DecisionReader {
  readonly seen: Seen = { keys: [], atMs: [] };
  readonly #log: Log;
  readonly #cursors: readonly Cursor[];
  readonly #reader = new RecordBatchReader();
  #stopped = false;

  private constructor(log: Log, cursors: readonly Cursor[]) {
    this.#log = log;
    this.#cursors = cursors;
  }

  static async open(log: Log, topic: string): Promise<DecisionReader> {
    const partitions = (await log.topic(topic))?.partitions ?? 0;
    const cursors: Cursor[] = [];
    for (let p = 0; p < partitions; p++) {
      cursors.push(await log.openCursor(topic, p, await log.endOffset(topic, p, "durable"), "durable"));
    }
    return new DecisionReader(log, cursors);
  }

  /** Reads until it is stopped. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#read();
      await this.#log.changed(100);
      // Not at every change: on a small machine the reader would take from the engine what it measures.
      await pause(1);
    }
    for (const cursor of this.#cursors) cursor.close();
  }

  #read(): void {
    const reader = this.#reader;
    for (const cursor of this.#cursors) {
      for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) {
        const nowMs = sharedClockMs();
        reader.reset(batch.bytes);
        while (reader.next()) {
          this.seen.keys.push(reader.buffer.toString("latin1", reader.keyAt, reader.keyEnd));
          this.seen.atMs.push(nowMs);
        }
      }
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}

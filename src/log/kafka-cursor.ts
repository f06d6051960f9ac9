import { setTimeout as sleep } from "node:timers/promises";
import type { KappaError } from "../core/errors.ts";
import type { DecodedBatch } from "./kafka-record-decoder.ts";
import type { Cursor, RecordBatch } from "./log.ts";

/** What the fetcher does for a cursor. */
export interface CursorHost {
  /** The cursor has room again, or is closed. */
  drained(cursor: KafkaCursor): void;
}

/** Bytes that a cursor holds ready; above it nothing more is fetched for it. */
const heldBytesMax = 1024 * 1024;

/** One partition, read committed, ahead of whoever takes its batches. The fetcher fills it. */
export class KafkaCursor implements Cursor {
  readonly topic: string;
  readonly partition: number;
  readonly #host: CursorHost;
  readonly #held: DecodedBatch[] = [];
  #taken = 0;
  #heldBytes = 0;
  /** Offset of the next record to be fetched. */
  #fetchOffset: number;
  #end = -1;
  #failure: KappaError | undefined;
  #waiting: (() => void)[] = [];
  /** Whether a request that is under way asks for it. */
  underWay = false;
  /** Number of the last request that asked for it. */
  askedAt = 0;
  closed = false;

  constructor(topic: string, partition: number, from: number, host: CursorHost) {
    this.topic = topic;
    this.partition = partition;
    this.#fetchOffset = from;
    this.#host = host;
  }

  get fetchOffset(): number {
    return this.#fetchOffset;
  }

  /** Whether a fetch would serve it now. */
  get wanting(): boolean {
    return !this.closed && !this.underWay && this.#failure === undefined && this.#heldBytes < heldBytesMax;
  }

  /** Whether the last answer left nothing that is visible. */
  get atEnd(): boolean {
    return this.#end >= 0 && this.#fetchOffset >= this.#end;
  }

  get position(): bigint {
    return BigInt(this.#held[this.#taken]?.baseOffset ?? this.#fetchOffset);
  }

  get end(): bigint {
    return BigInt(Math.max(this.#end, this.#fetchOffset));
  }

  /** What a fetch brought: batches in offset order, and where the next one begins. */
  receive(batches: readonly DecodedBatch[], fetchOffset: number, end: number): void {
    for (const batch of batches) {
      this.#held.push(batch);
      this.#heldBytes += batch.bytes.length;
    }
    this.#fetchOffset = fetchOffset;
    this.#end = end;
    this.#wake();
  }

  fail(error: KappaError): void {
    this.#failure ??= error;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  next(): RecordBatch | undefined {
    const batch = this.#held[this.#taken];
    if (batch === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      return undefined;
    }
    this.#taken++;
    const hadRoom = this.#heldBytes < heldBytesMax;
    this.#heldBytes -= batch.bytes.length;
    if (this.#taken === this.#held.length) {
      this.#held.length = 0;
      this.#taken = 0;
    }
    if (!hadRoom && this.#heldBytes < heldBytesMax) this.#host.drained(this);
    const { topic, partition } = this;
    return { topic, partition, baseOffset: BigInt(batch.baseOffset), count: batch.count, bytes: batch.bytes };
  }

  caughtUp(): boolean {
    return this.#taken === this.#held.length && this.#failure === undefined && this.atEnd;
  }

  async arrival(timeoutMs: number): Promise<void> {
    if (this.#taken < this.#held.length || this.#failure !== undefined) return;
    const stop = new AbortController();
    const arrived = new Promise<void>((resolve) => this.#waiting.push(resolve));
    await Promise.race([arrived, sleep(timeoutMs, undefined, { signal: stop.signal }).catch(() => {})]);
    stop.abort();
  }

  close(): void {
    this.closed = true;
    this.#held.length = 0;
    this.#taken = 0;
    this.#heldBytes = 0;
    this.#host.drained(this);
    this.#wake();
  }
}

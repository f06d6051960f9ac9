import type { KappaError } from "../../src/core/errors.ts";
import type { Cursor, RecordBatch } from "../../src/log/log.ts";
import { outOfRange, wholeFrom } from "../../src/log/offset-range.ts";
import { Refusal } from "./network.ts";
import type { ProcessLog } from "./process-log.ts";
import type { Found, SimulatedPartition } from "./simulated-partition.ts";

/** Batches that are held ready; nothing is fetched above. */
const heldMax = 64;
/** Appends in one answer, at most. */
const answerMax = 32;
const backoffMs = 20;
const backoffMaxMs = 1000;

/**
 * What `KafkaCursor` and its fetcher do: batches come ahead of whoever takes them, as many at a time as the broker likes,
 * and whether there are more is known as of the last answer only.
 */
export class SimulatedCursor implements Cursor {
  readonly topic: string;
  readonly partition: number;
  readonly #log: ProcessLog;
  readonly #held: RecordBatch[] = [];
  #fetchOffset: number;
  #end = -1;
  #failure: KappaError | undefined;
  #waiting: (() => void)[] = [];
  #underWay = false;
  #failures = 0;
  #closed = false;

  constructor(log: ProcessLog, topic: string, partition: number, from: number) {
    this.#log = log;
    this.topic = topic;
    this.partition = partition;
    this.#fetchOffset = from;
    this.#fetch();
  }

  get #atEnd(): boolean {
    return this.#end >= 0 && this.#fetchOffset >= this.#end;
  }

  #fetch(): void {
    if (this.#closed || this.#underWay || this.#failure !== undefined || this.#held.length >= heldMax) return;
    this.#underWay = true;
    const { network, incarnation } = this.#log;
    const at = this.#log.partition(this.topic, this.partition);
    const [from, polls] = [this.#fetchOffset, this.#atEnd];
    network
      .request(incarnation, at.leader, "Fetch", () => this.#answer(at, from, polls))
      .then(
        (found) => this.#deliver(found, from),
        (error: unknown) => this.#failed(error, at),
      );
  }

  /** What the broker does. One that is asked at the end waits until there is more. */
  #answer(at: SimulatedPartition, from: number, polls: boolean): Found | Promise<Found> {
    if (!polls || at.stableOffset > from || this.#closed) return at.read(from, this.#log.answerSize(answerMax));
    return at.moved().then(() => this.#answer(at, from, polls));
  }

  #deliver({ entries, nextOffset, stableOffset }: Found, from: number): void {
    this.#underWay = false;
    if (this.#closed) return;
    this.#failures = 0;
    const { topic, partition } = this;
    for (const { baseOffset, count, bytes } of entries) {
      if (bytes === null) continue;
      const batch = { topic, partition, baseOffset: BigInt(baseOffset), count, bytes };
      this.#held.push(baseOffset < from ? wholeFrom(batch, BigInt(from)) : batch);
    }
    this.#fetchOffset = nextOffset;
    this.#end = stableOffset;
    this.#wake();
    this.#log.arrived();
    this.#fetch();
  }

  #failed(error: unknown, at: SimulatedPartition): void {
    if (error instanceof Refusal) {
      const [start, end] = [BigInt(at.startOffset), BigInt(at.stableOffset)];
      this.#failure = outOfRange(this.topic, this.partition, BigInt(this.#fetchOffset), start, end);
      this.#underWay = false;
      this.#wake();
      this.#log.arrived();
      return;
    }
    const waitMs = Math.min(backoffMaxMs, backoffMs * 2 ** this.#failures++);
    this.#log.incarnation.after(waitMs, () => {
      this.#underWay = false;
      this.#fetch();
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  get position(): bigint {
    return this.#held[0]?.baseOffset ?? BigInt(this.#fetchOffset);
  }

  get end(): bigint {
    return BigInt(Math.max(this.#end, this.#fetchOffset));
  }

  next(): RecordBatch | undefined {
    const batch = this.#held.shift();
    if (batch === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      return undefined;
    }
    if (this.#held.length === heldMax - 1) this.#fetch();
    return batch;
  }

  caughtUp(): boolean {
    return this.#held.length === 0 && this.#failure === undefined && this.#atEnd;
  }

  arrival(timeoutMs: number): Promise<void> {
    if (this.#held.length > 0 || this.#failure !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#log.incarnation.after(timeoutMs, resolve);
    });
  }

  close(): void {
    this.#closed = true;
    this.#held.length = 0;
    this.#wake();
  }
}

import type { DurationMs } from "../core/time.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import type { Entity, EntityKind } from "./entity.ts";
import type { EntityStore } from "./entity-store.ts";
import { KeyQueue } from "./key-queue.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

/** Entries of a chunk: enough to make an entry cheap, few enough that a flush writes little again. */
const chunkEntries = 256;

/** Buckets over the reach: what is in memory at a time is about one of them. */
const bucketsInReach = 64;

/** Some of the keys that come up within one stretch of time. */
class Chunk implements Entity {
  /** A number: the bucket, whose newest entries are here. A text `bucket/n`: its nth chunk, full. */
  readonly key: StateKey;
  flags = 0;
  bytes = 0;
  readonly times: number[] = [];
  readonly keys: StateKey[] = [];
  /** Full chunks of the bucket; 0 in those themselves. */
  fullCount = 0;

  constructor(key: StateKey) {
    this.key = key;
  }
}

/** Payload: | full chunks u32 | entries u32 | and for each: time, ms f64, key |. */
class ChunkKind implements EntityKind<Chunk> {
  readonly layout: StoreLayout;
  readonly retentionMs = 0;
  readonly changesReachMs = 0;
  readonly #bucketMs: number;

  constructor(name: string, bucketMs: number) {
    const held = { reachMs: null, heldCount: 0, folded: true };
    this.layout = {
      store: name,
      kind: "due",
      version: 1,
      columns: [],
      features: [`buckets of ${bucketMs} ms`],
      ...held,
    };
    this.#bucketMs = bucketMs;
  }

  /** The end of the bucket: everything in it has come up by then. */
  newestMs({ key }: Chunk): number {
    const bucket = typeof key === "number" ? key : Number.parseInt(key, 10);
    return (bucket + 1) * this.#bucketMs;
  }
  encode(chunk: Chunk, writer: ByteWriter): void {
    writer.u32(chunk.fullCount);
    writer.u32(chunk.keys.length);
    for (let i = 0; i < chunk.keys.length; i++) {
      writer.f64(chunk.times[i] as number);
      writer.key(chunk.keys[i] as StateKey);
    }
  }
  decode(key: StateKey, reader: ByteReader): Chunk {
    const chunk = new Chunk(key);
    chunk.fullCount = reader.u32();
    for (let left = reader.u32(); left > 0; left--) {
      chunk.times.push(reader.f64());
      chunk.keys.push(reader.key());
    }
    return chunk;
  }
  contentBytes(chunk: Chunk): number {
    return chunk.keys.reduce<number>((bytes, key) => bytes + entryBytes(key), 100);
  }
  release(): void {}
}

function entryBytes(key: StateKey): number {
  return 16 + (typeof key === "string" ? 24 + key.length : 0);
}

/**
 * When which key has to be looked at again. Times lie in buckets of a 64th of the reach, and buckets on disk in chunks
 * like any other state, so that millions of keys do not have to be in memory; only the bucket that is next is, sorted.
 *
 * An entry is a hint: the owner knows whether something is really due, and enters a key again when it is not. So an
 * entry is never taken back. Nothing of this is in the changelog: the owner enters its keys again as it restores them.
 */
export class DueIndex {
  readonly #chunks: EntityStore<Chunk>;
  readonly #bucketMs: number;
  /** Buckets that have chunks and are not in the queue, ascending. */
  #ahead: number[] | null = null;
  /** Buckets that were put into the queue and still have chunks, ascending. */
  readonly #loaded: number[] = [];
  readonly #queue = new KeyQueue();

  /** @param reachMs no entry is further ahead of order time */
  constructor(database: StateDatabase, name: string, reachMs: DurationMs) {
    this.#bucketMs = Math.max(1, Math.ceil(reachMs / bucketsInReach));
    this.#chunks = database.store(new ChunkKind(name, this.#bucketMs));
  }

  /** Nothing comes up before; Infinity when nothing is entered. */
  get nextMs(): number {
    const first = this.#buckets()[0];
    return Math.min(this.#queue.nextMs, first === undefined ? Number.POSITIVE_INFINITY : first * this.#bucketMs);
  }

  /** The buckets on disk: they can only be within reach of order time, so a look at each will do. */
  #buckets(): number[] {
    if (this.#ahead !== null) return this.#ahead;
    const ahead: number[] = [];
    const first = this.#bucketOf(this.#chunks.orderTimeMs);
    for (let bucket = first; bucket <= first + bucketsInReach + 1; bucket++) {
      if (this.#chunks.find(bucket) !== undefined) ahead.push(bucket);
    }
    this.#ahead = ahead;
    return ahead;
  }

  #bucketOf(timeMs: number): number {
    return Math.floor(timeMs / this.#bucketMs);
  }

  /**
   * Enters a key for a time, at most the reach after order time; one that has passed comes up at once. What was due by
   * `orderTimeMs` was popped before.
   */
  add(timeMs: number, key: StateKey, orderTimeMs: number): void {
    const chunks = this.#chunks;
    const ahead = this.#buckets();
    this.passed(orderTimeMs);
    const bucket = this.#bucketOf(Math.max(timeMs, chunks.orderTimeMs));
    let chunk = chunks.find(bucket);
    if (chunk === undefined) {
      chunk = new Chunk(bucket);
      chunks.add(chunk);
      if (bucket <= (this.#loaded.at(-1) ?? Number.NEGATIVE_INFINITY)) insertSorted(this.#loaded, bucket);
      else insertSorted(ahead, bucket);
    } else if (chunk.keys.length >= chunkEntries) {
      this.#moveOut(chunk);
    }
    chunk.times.push(timeMs);
    chunk.keys.push(key);
    chunks.resized(chunk, entryBytes(key));
    chunks.changed(chunk);
    if (bucket <= (this.#loaded.at(-1) ?? Number.NEGATIVE_INFINITY)) this.#queue.push(timeMs, key);
  }

  #moveOut(chunk: Chunk): void {
    this.#chunks.changed(chunk); // dirty, so that the other one does not push it out
    const full = new Chunk(`${chunk.key}/${chunk.fullCount++}`);
    const before = this.#chunks.kind.contentBytes(chunk);
    full.times.push(...chunk.times.splice(0));
    full.keys.push(...chunk.keys.splice(0));
    this.#chunks.resized(chunk, this.#chunks.kind.contentBytes(chunk) - before);
    this.#chunks.add(full);
  }

  /** Takes off the first entry that comes up at or before `orderTimeMs`, by time, then key; null when there is none. */
  pop(orderTimeMs: number): { readonly timeMs: number; readonly key: StateKey } | null {
    const ahead = this.#buckets();
    // What is in the queue comes before all that is ahead.
    while (this.#queue.length === 0 && ahead.length > 0 && (ahead[0] as number) * this.#bucketMs <= orderTimeMs) {
      this.#load(ahead.shift() as number);
    }
    if (this.#queue.nextMs > orderTimeMs) return null;
    return this.#queue.pop();
  }

  #load(bucket: number): void {
    this.#loaded.push(bucket);
    const chunk = this.#chunks.find(bucket) as Chunk;
    this.#enqueue(chunk);
    for (let n = 0; n < chunk.fullCount; n++) this.#enqueue(this.#chunks.find(`${bucket}/${n}`) as Chunk);
  }

  #enqueue({ times, keys }: Chunk): void {
    for (let i = 0; i < keys.length; i++) this.#queue.push(times[i] as number, keys[i] as StateKey);
  }

  /** Every key that is entered, some more than once, in no order. */
  *keys(): Generator<StateKey> {
    for (const bucket of [...this.#loaded, ...this.#buckets()]) {
      const fullCount = this.#chunks.find(bucket)?.fullCount ?? 0;
      for (let n = 0; n < fullCount; n++) yield* this.#chunks.find(`${bucket}/${n}`)?.keys ?? [];
      yield* this.#chunks.find(bucket)?.keys ?? [];
    }
  }

  /** All up to `orderTimeMs` was popped: what lies behind it is given up. */
  passed(orderTimeMs: number): void {
    if (orderTimeMs > this.#chunks.orderTimeMs) this.#chunks.orderTimeMs = orderTimeMs;
    const current = this.#bucketOf(orderTimeMs);
    while ((this.#loaded[0] ?? current) < current) this.#drop(this.#loaded.shift() as number);
  }

  #drop(bucket: number): void {
    const chunk = this.#chunks.find(bucket) as Chunk;
    for (let n = 0; n < chunk.fullCount; n++) this.#chunks.delete(this.#chunks.find(`${bucket}/${n}`) as Chunk);
    this.#chunks.delete(chunk);
  }
}

function insertSorted(list: number[], value: number): void {
  let at = list.length;
  while (at > 0 && (list[at - 1] as number) > value) at--;
  list.splice(at, 0, value);
}

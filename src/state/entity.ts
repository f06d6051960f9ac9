import type { ByteReader, ByteWriter } from "./bytes.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

/**
 * What a store holds for one key, as an object in memory. A store has millions: every field counts.
 */
export interface Entity {
  readonly key: StateKey;
  /** Bits of `entityFlags`; owned by the store. */
  flags: number;
  /** Resident bytes that the store accounts for it; owned by the store. */
  bytes: number;
}

/** Bits of `Entity.flags`. */
export const entityFlags = {
  /** Changed since the last flush began. */
  dirty: 1,
  /** In a flush that is not on disk yet. */
  flushing: 2,
  /** Deleted; kept until the flush that deletes it is on disk. */
  deleted: 4,
  /** Used since the eviction hand last passed. */
  used: 8,
  /** Changed since the changelog was last taken (stores that log values). */
  unlogged: 16,
  /** In the cache no more. */
  gone: 32,
  /** Of a flush that has begun, and not in its batch yet: encoded before anything can change it. */
  pending: 64,
} as const;

/** How a store's entities become bytes. */
export interface EntityKind<E extends Entity> {
  readonly layout: StoreLayout;
  /** An entity whose newest content is this old, seen from order time, equals an absent one. Infinity: never. */
  readonly retentionMs: number;
  /**
   * How long, in event time, a change in the changelog can matter; a restore need not begin before. Default: as long as
   * the retention. Infinity where content can outlive it, so that every change matters until a newer one of its key.
   */
  readonly changesReachMs?: number;
  /** Event time of the newest content. */
  newestMs(entity: E): number;
  encode(entity: E, writer: ByteWriter): void;
  /** Reads what `encode` wrote: `reader` is at its start and ends at its end. */
  decode(key: StateKey, reader: ByteReader): E;
  /** Resident bytes of what hangs on the entity besides the object itself and its key. */
  contentBytes(entity: E): number;
  /** The entity leaves memory; nothing touches it again. */
  release(entity: E): void;
  /** Writes and deletes values that belong to the entity but are stored apart from it. All of them when it is deleted. */
  encodeParts?(entity: E, parts: PartSink): void;
  /** The flush with `encodeParts` is on disk. */
  partsWritten?(entity: E): void;
}

export interface PartSink {
  /** Begin a part's value; write into the returned writer, then call `put`. */
  begin(): ByteWriter;
  put(key: StateKey, part: number): void;
  delete(key: StateKey, part: number): void;
}

import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import { ByteReader } from "./bytes.ts";
import type { ChangeSink } from "./changelog.ts";
import { type Entity, type EntityKind, entityFlags, type PartSink } from "./entity.ts";
import type { KeyFilter } from "./key-filter.ts";
import type { BackendBatch, StateBackend } from "./state-backend.ts";
import type { StateKey } from "./state-key.ts";
import { StoredForm } from "./stored-form.ts";

const held = entityFlags.dirty | entityFlags.flushing | entityFlags.unlogged;

/** What the database shares with its stores. */
export interface StoreSurroundings {
  readonly backend: StateBackend;
  readonly budget: CacheBudget;
  readonly written: WrittenKeys;
}

/** What is known of the keys that are on disk. */
export interface WrittenKeys {
  /** Keys that are on disk, or are about to be; null when there may be any. */
  filter: KeyFilter | null;
}

/** Bytes in memory over all stores of a database. */
export interface CacheBudget {
  /** Resident bytes of all entities. */
  cachedBytes: number;
  /** Of these, changed since the last flush began. */
  dirtyBytes: number;
  /** Of these, in a flush that is not on disk yet. */
  flushingBytes: number;
  /** Evicts clean entities of all stores while there is too much. */
  makeRoom(): void;
}

/** V8 lets its heap grow to about this much of what is live before it collects: that is what a process is seen with. */
const heapHeadroom = 1.4;

/**
 * Bytes of an entity's place on the heap apart from its content, measured on Node 24: the object (header and up to seven
 * fields), its entry in the map at the average load of one that doubles, and its place in the ring.
 */
const placeBytes = Math.ceil((80 + 44 + 12) * heapHeadroom);

/** Bytes of a key as a one-byte string; numbers that are small integers cost nothing. */
function keyResidentBytes(key: StateKey): number {
  return typeof key === "string" ? Math.ceil((16 + Math.ceil(key.length / 8) * 8) * heapHeadroom) : 0;
}

/**
 * The entities of one name: a cache in front of the backend. Reads go through; changes stay in memory, dirty, until a
 * flush writes them. Dirty entities and those being flushed are never evicted; clean ones go by second chance.
 */
export class EntityStore<E extends Entity> {
  readonly name: string;
  readonly kind: EntityKind<E>;
  /** Number in keys on disk, 1 to 255. */
  readonly number: number;
  /** The latest order time the store was used at; what is past retention as of it does not count any more. */
  orderTimeMs: number = beginningOfTimeMs;
  /** Set where the store logs values: takes each changed entity once per commit. */
  sink: ChangeSink<E> | null = null;
  readonly #backend: StateBackend;
  readonly #budget: CacheBudget;
  readonly #written: WrittenKeys;
  readonly #entities = new Map<StateKey, E>();
  /** Everything in the cache once, and some that left it; the hand of the clock goes over it. */
  readonly #ring: E[] = [];
  #hand = 0;
  /** Entities in the ring that have left the cache. */
  #goneCount = 0;
  #dirty: E[] = [];
  #flushing: E[] = [];
  /** Of the flush that is being encoded; null when all of it is. */
  #batch: BackendBatch | null = null;
  #parts: PartSink | null = null;
  /** The next of `#flushing` to encode. */
  #encodeAt = 0;
  readonly #form: StoredForm;
  readonly #reader = new ByteReader();
  readonly #partReader = new ByteReader();

  constructor(number: number, kind: EntityKind<E>, surroundings: StoreSurroundings) {
    this.number = number;
    this.kind = kind;
    this.name = kind.layout.store;
    this.#form = new StoredForm(number, kind.layout);
    this.#backend = surroundings.backend;
    this.#budget = surroundings.budget;
    this.#written = surroundings.written;
  }

  /** Entities in memory. */
  get cachedCount(): number {
    return this.#entities.size;
  }

  /** The entity of a key, from memory or disk. @throws KAPPA_STATE_CORRUPT when its bytes are not what was written */
  find(key: StateKey): E | undefined {
    const cached = this.#entities.get(key);
    if (cached !== undefined) {
      if ((cached.flags & (entityFlags.deleted | entityFlags.pending)) !== 0) {
        if ((cached.flags & entityFlags.deleted) !== 0) return undefined;
        this.#encode(cached); // whoever finds it may change it
      }
      cached.flags |= entityFlags.used;
      return cached;
    }
    const form = this.#form;
    const entityKey = form.entityKey(key);
    if (this.#written.filter?.mayHold(entityKey, entityKey.length) === false) return undefined;
    const bytes = this.#backend.get(entityKey);
    if (bytes === undefined) return undefined;
    const entity = this.kind.decode(key, form.open(bytes, key, this.#reader));
    this.#admit(entity);
    return entity;
  }

  /** Takes in a new entity, which is dirty from now on. Its key has none, or a deleted one. */
  add(entity: E): void {
    this.#admit(entity);
    this.changed(entity);
  }

  #admit(entity: E): void {
    this.#budget.makeRoom();
    entity.flags = entityFlags.used;
    entity.bytes = placeBytes + keyResidentBytes(entity.key) + this.kind.contentBytes(entity);
    this.#budget.cachedBytes += entity.bytes;
    this.#entities.set(entity.key, entity);
    this.#ring.push(entity);
  }

  /** Notes that an entity changed: it belongs to the next flush, and to the next changelog. */
  changed(entity: E): void {
    const flags = entity.flags;
    if ((flags & entityFlags.dirty) === 0) {
      assert(
        (flags & entityFlags.pending) === 0,
        () => `store ${this.name}: an entity changed that was not found first`,
      );
      entity.flags = flags | entityFlags.dirty;
      this.#dirty.push(entity);
      this.#budget.dirtyBytes += entity.bytes;
    }
    if (this.sink !== null && (flags & entityFlags.unlogged) === 0) {
      entity.flags |= entityFlags.unlogged;
      this.sink.note(entity);
    }
  }

  /** Notes that an entity takes more or less memory than before. */
  resized(entity: E, byBytes: number): void {
    entity.bytes += byBytes;
    this.#budget.cachedBytes += byBytes;
    if ((entity.flags & entityFlags.dirty) !== 0) this.#budget.dirtyBytes += byBytes;
    if ((entity.flags & entityFlags.flushing) !== 0) this.#budget.flushingBytes += byBytes;
  }

  /** Deletes an entity; the next flush takes it off the disk. */
  delete(entity: E): void {
    entity.flags |= entityFlags.deleted;
    this.changed(entity);
  }

  /** Deletes an entity whose content is too old to count; the changelog need not know, since time tells. */
  expire(entity: E): void {
    const sink = this.sink;
    this.sink = null;
    this.delete(entity);
    this.sink = sink;
  }

  /** Whether content whose newest part has this event time is past retention. */
  expired(newestMs: number): boolean {
    return newestMs <= this.orderTimeMs - this.kind.retentionMs;
  }

  /** A part's value. The reader is used again for the next part. @throws KAPPA_STATE_CORRUPT when it is not there */
  findPart(key: StateKey, part: number): ByteReader {
    const bytes = this.#backend.get(this.#form.partKey(key, part));
    if (bytes === undefined) {
      throw new KappaError("KAPPA_STATE_CORRUPT", `store ${this.name}: part ${part} of a key is missing`, {
        store: this.name,
        key,
        part,
      });
    }
    return this.#form.open(bytes, key, this.#partReader);
  }

  /**
   * Makes all that is dirty the content of `batch`, as it is now: `encodePending` puts it there bit by bit, and `find`
   * what is asked for before its turn.
   */
  beginFlush(batch: BackendBatch): void {
    const flushing = this.#dirty;
    this.#dirty = this.#flushing;
    this.#flushing = flushing;
    for (const entity of flushing)
      entity.flags = (entity.flags & ~entityFlags.dirty) | entityFlags.flushing | entityFlags.pending;
    this.#batch = batch;
    this.#parts = this.#partSink(batch);
    this.#encodeAt = 0;
    // Deletions first: the key may have come back, and what it has now must not be put before its deletion.
    for (const entity of flushing) if ((entity.flags & entityFlags.deleted) !== 0) this.#encode(entity);
  }

  /** Puts the next entities into the batch, `bytesMax` of memory or one more. @returns their bytes; 0 when none is left */
  encodePending(bytesMax: number): number {
    const flushing = this.#flushing;
    let bytes = 0;
    while (this.#batch !== null && bytes < bytesMax) {
      const entity = flushing[this.#encodeAt++];
      if (entity === undefined) this.#batch = this.#parts = null;
      else if ((entity.flags & entityFlags.pending) !== 0) {
        bytes += entity.bytes;
        this.#encode(entity);
      }
    }
    return bytes;
  }

  #encode(entity: E): void {
    const [form, batch, parts] = [this.#form, this.#batch, this.#parts];
    assert(batch !== null && parts !== null, () => `store ${this.name}: an entity is pending and no flush under way`);
    entity.flags &= ~entityFlags.pending;
    this.kind.encodeParts?.(entity, parts);
    if ((entity.flags & entityFlags.deleted) !== 0) {
      batch.delete(form.entityKey(entity.key));
      return;
    }
    this.kind.encode(entity, form.begin(this.kind.newestMs(entity)));
    const entityKey = form.entityKey(entity.key);
    this.#written.filter?.add(entityKey, entityKey.length);
    batch.put(entityKey, form.seal());
  }

  /** The batch of the last `beginFlush` is on disk. */
  flushed(): void {
    for (const entity of this.#flushing) {
      entity.flags &= ~entityFlags.flushing;
      this.kind.partsWritten?.(entity);
      const gone = entityFlags.deleted | entityFlags.dirty;
      if ((entity.flags & gone) === entityFlags.deleted) this.#forget(entity);
    }
    this.#flushing.length = 0;
  }

  /** Moves the hand over up to `steps` entities and evicts those that are clean and were not used since its last pass. */
  evict(steps: number, excessBytes: number): number {
    const ring = this.#ring;
    let freed = 0;
    for (let i = 0; i < steps && freed < excessBytes && ring.length > 0; i++) {
      if (this.#hand >= ring.length) this.#hand = 0;
      const entity = ring[this.#hand] as E;
      const flags = entity.flags;
      if ((flags & entityFlags.gone) === 0 && (flags & (held | entityFlags.used)) !== 0) {
        entity.flags = flags & ~entityFlags.used;
        this.#hand++;
        continue;
      }
      const last = ring.pop() as E;
      if (last !== entity) ring[this.#hand] = last;
      if ((flags & entityFlags.gone) !== 0) {
        this.#goneCount--;
      } else {
        freed += entity.bytes;
        this.#leave(entity);
      }
    }
    return freed;
  }

  #leave(entity: E): void {
    this.#budget.cachedBytes -= entity.bytes;
    entity.flags |= entityFlags.gone;
    if (this.#entities.get(entity.key) === entity) this.#entities.delete(entity.key);
    this.kind.release(entity);
  }

  /** As `leave`, for an entity somewhere in the ring. */
  #forget(entity: E): void {
    this.#leave(entity);
    this.#goneCount++;
    if (this.#goneCount > 1024 && this.#goneCount > this.#ring.length / 2) this.#sweepRing();
  }

  /** Closes the gaps in the ring, which deletions alone would leave there while nothing has to be evicted. */
  #sweepRing(): void {
    const ring = this.#ring;
    let kept = 0;
    for (const entity of ring) {
      if ((entity.flags & entityFlags.gone) === 0) ring[kept++] = entity;
    }
    ring.length = kept;
    this.#hand = 0;
    this.#goneCount = 0;
  }

  /** What is in memory, deleted entities included. */
  cached(): IterableIterator<E> {
    return this.#entities.values();
  }

  /** The entity in memory, deleted or not, without marking it as used. */
  peek(key: StateKey): E | undefined {
    return this.#entities.get(key);
  }

  /** Keys on disk in key order, from the key after `after` on; only text that begins with `prefix`, when given. */
  async *stored(after: StateKey | null, prefix: string | null): AsyncGenerator<StoredKey> {
    const [from, to] = this.#form.range(after, prefix);
    for await (const [key, value] of this.#backend.entries(from, to)) {
      yield {
        key: this.#form.keyOf(key),
        newestMs: this.#form.newestMs(value),
        bytes: key.length + value.length,
      };
    }
  }

  /** The newest content of an entity as it is on disk; null when it is not there. */
  storedNewestMs(key: StateKey): number | null {
    const bytes = this.#backend.get(this.#form.entityKey(key));
    return bytes === undefined ? null : this.#form.newestMs(bytes);
  }

  /** Gives the space of deleted values back to the file system. */
  compact(): Promise<void> {
    return this.#backend.compact(Buffer.from([this.number]), Buffer.from([this.number + 1]));
  }

  #partSink(batch: BackendBatch): PartSink {
    const form = this.#form;
    return {
      begin: () => form.begin(0),
      put: (key, part) => {
        const partKey = form.partKey(key, part);
        batch.put(partKey, form.seal());
      },
      delete: (key, part) => batch.delete(form.partKey(key, part)),
    };
  }
}

/** An entity on disk. */
export interface StoredKey {
  readonly key: StateKey;
  /** Event time of its newest content. */
  readonly newestMs: number;
  readonly bytes: number;
}

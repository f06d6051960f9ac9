import { crc32 } from "node:zlib";
import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import { Arena } from "./arena.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { Changelog, type ChangelogSection } from "./changelog.ts";
import { type Entity, type EntityKind, entityFlags } from "./entity.ts";
import { type CacheBudget, EntityStore, type WrittenKeys } from "./entity-store.ts";
import { ExpirySweep } from "./expiry-sweep.ts";
import { KeyFilter } from "./key-filter.ts";
import type { BackendBatch, StateBackend } from "./state-backend.ts";
import type { StateKey } from "./state-key.ts";
import { parseLayout, requireCompatible, type StoreLayout } from "./store-layout.ts";

export interface StateDatabaseOptions {
  readonly backend: StateBackend;
  /**
   * Resident bytes of all entities in memory, dirty ones included. Above it clean entities are evicted; what is dirty
   * cannot be, so a task flushes when `flushWanted` says so. LevelDB's own buffers come on top.
   */
  readonly cacheBytes: number;
}

/**
 * A flush that has begun: it holds the state as it was then. Its batch is built bit by bit, so that rows need not wait
 * for all of it.
 */
export interface PendingFlush {
  /** Encodes about `bytesMax` more bytes of entities. @returns whether all of them are in the batch */
  encode(bytesMax: number): boolean;
  /**
   * Writes it, whole: to be called once the log says that the commit at its position is durable.
   *
   * @param sync whether it is fsynced; default true. What was not may be gone after a power cut, or a later flush be there
   *   without it, which the traces tell: then all is restored
   */
  write(sync?: boolean): Promise<void>;
}

/** Of the cache: how much is evicted at once when it is full, so that not every entity that comes has to look for room. */
const evictedShare = 1 / 64;

/** Of the cache: how much it grows before room is looked for again that was not to be found. */
const retryShare = 1 / 4096;

/** Flushes of which a trace is kept, to find out on opening that one in the middle was lost. */
const flushesTraced = 256;

/** Of the cache: what is spent on not looking for keys in a database that began empty. */
const filterShare = 1 / 8;

/** Share of the cache that may be dirty before a flush is wanted. */
const dirtyShare = 0.25;

/** The same while nothing but changes comes in, as in a restore: so much in one flush, and as much under way. */
const overfullShare = 0.45;

/**
 * Dirty bytes at which a flush is wanted however large the cache is. Some 12,000 small entities: encoding them holds a
 * task up for about 30 ms.
 */
const dirtyBytesMax = 4 * 1024 * 1024;

const metaStore = 0;
const positionKey = Buffer.from([metaStore, 1]);
const traceKey = (flush: number): Buffer => Buffer.from([metaStore, 2, flush % flushesTraced]);
const orderTimeKey = (store: number): Buffer => Buffer.from([metaStore, 4, store]);
const layoutKey = (store: string): Buffer => Buffer.concat([Buffer.from([metaStore, 3]), Buffer.from(store)]);

/**
 * The state of one task: named stores over one backend, and the position in the log that the state is at.
 *
 * Changes stay in memory until a flush takes all of them together with the position into one batch, which is written
 * only when the log's commit is durable. So what is on disk is always the state at some durable commit, never ahead of
 * the log and never in between; a crash costs the replay of the commits since then.
 *
 *     | 0 | 1 |             crc32 u32, flush number f64, position
 *     | 0 | 2 | n mod 256 | crc32 u32, flush number f64: one is written by each flush
 *     | 0 | 3 | name |      crc32 u32, store number u8, layout as JSON
 *     | 0 | 4 | n |         crc32 u32, order time of store n f64
 *     | n | ...             store n, see `StoredForm`
 *
 * LevelDB can lose a batch in the middle of its log after a power cut and go on without a word; a missing trace among
 * the last 256 flushes gives it away.
 */
export class StateDatabase {
  /** Memory of the reservoirs' events. */
  readonly arena = new Arena();
  readonly #changelog = new Changelog();
  readonly #backend: StateBackend;
  readonly #cacheBytes: number;
  readonly #stores = new Map<string, EntityStore<Entity>>();
  readonly #numbers = new Map<string, number>();
  readonly #layouts = new Map<string, StoreLayout>();
  readonly #unwrittenLayouts = new Set<string>();
  readonly #budget: CacheBudget;
  readonly #written: WrittenKeys = { filter: null };
  readonly #writer = new ByteWriter();
  #position: Buffer | null = null;
  #flushNumber = 0;
  #flushing = false;
  /** Room is looked for when more than this is in memory. */
  #roomFromBytes: number;
  readonly #sweep = new ExpirySweep(this);

  private constructor(options: StateDatabaseOptions) {
    this.#backend = options.backend;
    this.#cacheBytes = options.cacheBytes;
    this.#roomFromBytes = options.cacheBytes;
    this.#budget = { cachedBytes: 0, dirtyBytes: 0, flushingBytes: 0, makeRoom: () => this.#makeRoom() };
  }

  /** @throws KAPPA_STATE_CORRUPT when what is on disk is not the state at one commit: discard it and restore */
  static async open(options: StateDatabaseOptions): Promise<StateDatabase> {
    const database = new StateDatabase(options);
    database.#readPosition();
    if (database.#position === null) database.#written.filter = new KeyFilter(options.cacheBytes * filterShare);
    await database.#readLayouts();
    return database;
  }

  /** What `beginFlush` was given for the state on disk; null when nothing was ever flushed. */
  get position(): Buffer | null {
    return this.#position;
  }

  /** How long, in event time, a change in the changelog can matter to any store. Infinity when one never forgets. */
  get retentionMs(): number {
    return Math.max(0, ...[...this.#stores.values()].map(({ kind }) => kind.changesReachMs ?? kind.retentionMs));
  }

  /** Resident bytes of all entities in memory. */
  get cachedBytes(): number {
    return this.#budget.cachedBytes;
  }

  /** Bytes of entities that changed since the last flush began. */
  get dirtyBytes(): number {
    return this.#budget.dirtyBytes;
  }

  /** Whether so much is dirty that memory, or the length of the pause, needs a flush. */
  get flushWanted(): boolean {
    return !this.#flushing && this.#budget.dirtyBytes > Math.min(this.#cacheBytes * dirtyShare, dirtyBytesMax);
  }

  /** Whether so much is dirty, a flush under way or not, that more would break the bound on memory. */
  get overfull(): boolean {
    return this.#budget.dirtyBytes > this.#cacheBytes * overfullShare;
  }

  /** Whether anything changed since the last flush began. */
  get dirty(): boolean {
    return this.#budget.dirtyBytes > 0;
  }

  /** Flushes begun so far. */
  get flushNumber(): number {
    return this.#flushNumber;
  }

  /** Whether a flush was begun and is not on disk yet. */
  get flushing(): boolean {
    return this.#flushing;
  }

  /**
   * Opens a store by its kind's name.
   * @throws KAPPA_STATE_INCOMPATIBLE when what is stored under the name cannot serve as it
   */
  store<E extends Entity>(kind: EntityKind<E>): EntityStore<E> {
    const { layout } = kind;
    const name = layout.store;
    assert(!this.#stores.has(name), () => `store ${name} is opened twice`);
    const stored = this.#layouts.get(name);
    const renewed = stored === undefined || requireCompatible(stored, layout);
    if (renewed) this.#unwrittenLayouts.add(name);
    this.#layouts.set(name, layout);
    const [backend, budget, written] = [this.#backend, this.#budget, this.#written];
    const store = new EntityStore(this.#numberOf(name), kind, { backend, budget, written });
    const orderTime = this.#backend.get(orderTimeKey(store.number));
    if (orderTime !== undefined) store.orderTimeMs = unsealed(orderTime, "order time").f64();
    this.#stores.set(name, store as unknown as EntityStore<Entity>);
    this.#sweep.add(store as unknown as EntityStore<Entity>);
    return store;
  }

  /** Adds a store's part to the changelog. */
  log(section: ChangelogSection): void {
    this.#changelog.add(section);
  }

  /** What changed since the last call, for the commit frame. Empty when nothing did. */
  takeChangelog(): Buffer {
    return this.#changelog.take();
  }

  /**
   * Makes the changes of one commit again; to be called with the commits after `position`, in order.
   * @throws KAPPA_STATE_INCOMPATIBLE when a store's changes have another form than they had
   */
  applyChangelog(bytes: Buffer): void {
    this.#changelog.apply(bytes);
  }

  /** Stores on disk that nobody has opened: the topology has lost them. */
  unclaimed(): string[] {
    return [...this.#numbers.keys()].filter((name) => !this.#stores.has(name));
  }

  #numberOf(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const number = Math.max(0, ...this.#numbers.values()) + 1;
    assert(number <= 255, () => `store ${name} would be number ${number}, limit 255`);
    this.#numbers.set(name, number);
    return number;
  }

  /**
   * Makes everything that changed, and the position the state is at, one batch. Call it between two rows, after the
   * changelog was taken; what changes from now on belongs to the next flush. One flush at a time.
   */
  beginFlush(position: Buffer): PendingFlush {
    assert(!this.#flushing, () => `flush ${this.#flushNumber + 1} began before flush ${this.#flushNumber} was written`);
    assert(this.#changelog.empty, () => "a flush began with changes that are in no changelog");
    this.#flushing = true;
    const batch = this.#backend.batch();
    const flush = ++this.#flushNumber;
    for (const store of this.#stores.values()) store.beginFlush(batch);
    this.#putMeta(batch, flush, position);
    this.#budget.flushingBytes = this.#budget.dirtyBytes;
    this.#budget.dirtyBytes = 0;
    const written = Buffer.from(position);
    return {
      encode: (bytesMax) => this.#encode(bytesMax),
      write: (sync = true) => this.#writeFlush(batch, written, sync),
    };
  }

  #encode(bytesMax: number): boolean {
    let left = bytesMax;
    for (const store of this.#stores.values()) {
      left -= store.encodePending(left);
      if (left <= 0) return false;
    }
    return true;
  }

  async #writeFlush(batch: BackendBatch, position: Buffer, sync: boolean): Promise<void> {
    this.#encode(Number.POSITIVE_INFINITY);
    await batch.write(sync);
    if (this.#written.filter?.full) this.#written.filter = null;
    for (const store of this.#stores.values()) store.flushed();
    this.#budget.flushingBytes = 0;
    this.#position = position;
    this.#flushing = false;
    this.#roomFromBytes = this.#cacheBytes;
    this.#makeRoom();
  }

  #putMeta(batch: BackendBatch, flush: number, position: Buffer): void {
    for (const name of this.#unwrittenLayouts) {
      const layout = JSON.stringify(this.#layouts.get(name));
      const value = Buffer.concat([Buffer.from([this.#numberOf(name)]), Buffer.from(layout)]);
      batch.put(layoutKey(name), this.#sealed(value));
    }
    this.#unwrittenLayouts.clear();
    const number = Buffer.alloc(8);
    for (const store of this.#stores.values()) {
      number.writeDoubleLE(store.orderTimeMs);
      batch.put(orderTimeKey(store.number), this.#sealed(number));
    }
    number.writeDoubleLE(flush);
    batch.put(traceKey(flush), this.#sealed(number));
    batch.put(positionKey, this.#sealed(Buffer.concat([number, position])));
  }

  #sealed(value: Buffer): Buffer {
    const writer = this.#writer;
    writer.clear();
    writer.u32(crc32(value));
    writer.raw(value, 0, value.length);
    return writer.written();
  }

  #readPosition(): void {
    const value = this.#backend.get(positionKey);
    if (value === undefined) return;
    const reader = unsealed(value, "position");
    const flush = reader.f64();
    for (let n = flush; n > 0 && n > flush - flushesTraced; n--) {
      const trace = this.#backend.get(traceKey(n));
      const traced = trace === undefined ? "none" : unsealed(trace, "flush trace").f64();
      if (traced !== n) {
        throw new KappaError(
          "KAPPA_STATE_CORRUPT",
          `state is at flush ${flush}, but the trace of flush ${n} is ${traced}: a batch was lost`,
          { flush, missing: n },
        );
      }
    }
    this.#flushNumber = flush;
    this.#position = Buffer.from(value.subarray(reader.at));
  }

  async #readLayouts(): Promise<void> {
    const end = Buffer.from([metaStore, 4]);
    for await (const [key, value] of this.#backend.entries(layoutKey(""), end)) {
      const reader = unsealed(value, "layout");
      const name = key.toString("utf8", 2);
      this.#numbers.set(name, reader.u8());
      this.#layouts.set(name, parseLayout(value.toString("utf8", reader.at)));
    }
  }

  #makeRoom(): void {
    const { cachedBytes } = this.#budget;
    if (cachedBytes <= this.#roomFromBytes) return;
    let excess = cachedBytes - this.#cacheBytes * (1 - evictedShare);
    let entities = 0;
    for (const store of this.#stores.values()) entities += store.cachedCount;
    for (const store of this.#stores.values()) {
      // Each store gives in proportion to what it has. The steps are bounded, the hand goes on from there next time.
      excess -= store.evict(1 + Math.floor((256 * store.cachedCount) / entities), excess);
      if (excess <= 0) break;
    }
    // What waits for a flush cannot go: the hand would pass over it again for every entity that comes.
    this.#roomFromBytes = excess <= 0 ? this.#cacheBytes : this.#budget.cachedBytes + this.#cacheBytes * retryShare;
  }

  /**
   * Keys of a store as of the call, disk first, in key order, then those that are only in memory yet; only text keys
   * that begin with `prefix`, when given. Keys whose content is past retention are left out, swept or not. Changes made
   * while it runs may or may not show.
   */
  async *keys(name: string, prefix: string | null = null): AsyncGenerator<StateKey> {
    const store = this.#stores.get(name);
    if (store === undefined) return;
    const unwritten = new Set<StateKey>();
    for (const entity of store.cached()) {
      const matches = prefix === null || (typeof entity.key === "string" && entity.key.startsWith(prefix));
      const changed = (entity.flags & (entityFlags.dirty | entityFlags.flushing)) !== 0;
      if (matches && changed) unwritten.add(entity.key);
    }
    for await (const { key, newestMs } of store.stored(null, prefix)) {
      unwritten.delete(key);
      if (counts(store, key, newestMs)) yield key;
    }
    for (const key of unwritten) {
      // One that has left memory meanwhile was written first.
      const newestMs = store.peek(key) === undefined ? store.storedNewestMs(key) : null;
      if (counts(store, key, newestMs)) yield key;
    }
  }

  /** Number of keys of a store, as `keys` gives them. */
  async count(name: string): Promise<number> {
    let count = 0;
    for await (const _ of this.keys(name)) count++;
    return count;
  }

  /** Whether `sweep` has something to do; when busy, something that should not wait. */
  sweepDue(busy: boolean): boolean {
    return this.#sweep.due(busy);
  }

  /** Looks at `entriesMax` entities on disk and deletes those past retention. @returns how many it deleted */
  sweep(entriesMax: number): Promise<number> {
    return this.#sweep.sweep(entriesMax);
  }

  /** Closes the backend. What was not flushed is dropped: it is in the log. */
  async close(): Promise<void> {
    await this.#sweep.close();
    await this.#backend.close();
  }
}

/** Whether a key has content that counts; `newestMs` is what the disk says, null when it has nothing. */
function counts(store: EntityStore<Entity>, key: StateKey, newestMs: number | null): boolean {
  const cached = store.peek(key);
  if (cached === undefined) return newestMs !== null && !store.expired(newestMs);
  return (cached.flags & entityFlags.deleted) === 0 && !store.expired(store.kind.newestMs(cached));
}

function unsealed(value: Buffer, what: string): ByteReader {
  const stored = value.length < 4 ? -1 : value.readUInt32LE(0);
  const computed = crc32(value.subarray(4));
  if (stored !== computed) {
    throw new KappaError("KAPPA_STATE_CORRUPT", `${what} has checksum ${stored}, its content ${computed}`);
  }
  return new ByteReader().reset(value, 4);
}

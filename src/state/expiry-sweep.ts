import type { Entity } from "./entity.ts";
import type { EntityStore, StoredKey } from "./entity-store.ts";
import type { StateKey } from "./state-key.ts";

/** Bytes deleted by sweeps after which their space is given back, before a pass has ended. */
const compactionBytes = 8 * 1024 * 1024;

/**
 * Entities that are read through one iterator. What an iterator holds outside the heap is freed when V8 collects it, so
 * they should be few; but one that stays keeps files on disk that were compacted meanwhile.
 */
const readingEntities = 20_000;

/** Share of the retention by which time moves on before a busy task looks again: what it may hold for nothing. */
const slackShare = 1 / 16;

/** What a sweep must know of the database around the stores. */
export interface SweptDatabase {
  /** The flush that is on disk, or was taken last. */
  readonly flushNumber: number;
  readonly flushing: boolean;
  /** Whether more changes would break the bound on memory: what is deleted stays in memory until it is flushed. */
  readonly overfull: boolean;
}

/**
 * Goes round stores on disk and deletes what is past retention, some entities at a time. What it deletes counts as absent
 * anyway, so no answer depends on it; the next flush takes it off the disk, and a compaction gives the space back.
 */
export class ExpirySweep {
  readonly #database: SweptDatabase;
  readonly #stores: EntityStore<Entity>[] = [];
  /** By store: its order time when its last whole pass began. Nothing has expired since while it is the same. */
  readonly #sweptUntilMs = new Map<EntityStore<Entity>, number>();
  #turn = 0;
  /** Key that the pass under way goes on behind; null at its beginning. */
  #after: StateKey | null = null;
  /** Where the pass reads, with how many entities it still may. */
  #reading: AsyncGenerator<StoredKey> | null = null;
  #left = 0;
  #passTimeMs = 0;
  #sweptBytes = 0;
  /** The flush that takes what was swept last off the disk. */
  #sweptFlush = 0;
  /** Stores whose swept values are off the disk once a flush is written, with its number. */
  readonly #compactions = new Map<EntityStore<Entity>, number>();
  #compacting: Promise<void> | null = null;
  #failure: unknown = null;

  constructor(database: SweptDatabase) {
    this.#database = database;
  }

  /** Takes a store into the round, if it ever forgets anything. */
  add(store: EntityStore<Entity>): void {
    if (Number.isFinite(store.kind.retentionMs)) this.#stores.push(store);
  }

  /**
   * Whether there is something to look at or to give back, else time must go on first: by some of the retention for a
   * task that is busy, at all for one that is not.
   */
  due(busy: boolean): boolean {
    if (this.#failure !== null) return true;
    if (this.#compacting !== null || this.#database.overfull) return false;
    if (this.#after !== null || this.#compactable() !== undefined) return true;
    return this.#stores.some((store) => this.#wanted(store, busy ? slackShare : 0));
  }

  #wanted(store: EntityStore<Entity>, slack: number): boolean {
    const sweptUntilMs = this.#sweptUntilMs.get(store);
    return sweptUntilMs === undefined || store.orderTimeMs - sweptUntilMs > slack * store.kind.retentionMs;
  }

  /**
   * Looks at the next `entriesMax` entities.
   * @returns how many it deleted
   * @throws what a compaction begun by an earlier call failed with
   */
  async sweep(entriesMax: number): Promise<number> {
    if (this.#failure !== null) throw this.#failure;
    this.#compactIfDue();
    const store = this.#next();
    if (store === undefined || this.#compacting !== null) return 0;
    if (this.#after === null) this.#passTimeMs = store.orderTimeMs;
    if (this.#reading === null) {
      this.#reading = store.stored(this.#after, null);
      this.#left = readingEntities;
    }
    let deleted = 0;
    let passEnded = false;
    for (let seen = 0; seen < entriesMax && !this.#database.overfull; seen++) {
      const { value, done } = await this.#reading.next();
      if (done === true) {
        passEnded = true;
        break;
      }
      const { key, newestMs, bytes } = value;
      this.#after = key;
      this.#left--;
      if (store.expired(newestMs)) {
        const entity = store.find(key); // in memory it may be newer
        if (entity !== undefined && store.expired(store.kind.newestMs(entity))) {
          store.expire(entity);
          this.#sweptBytes += bytes;
          this.#sweptFlush = this.#database.flushNumber + 1;
          deleted++;
        }
      }
    }
    if (passEnded || this.#left <= 0) await this.#endReading();
    if (passEnded) {
      this.#after = null;
      this.#sweptUntilMs.set(store, this.#passTimeMs);
      this.#turn++;
    }
    if (this.#sweptBytes > (passEnded ? 0 : compactionBytes)) {
      this.#compactions.set(store, this.#sweptFlush);
      this.#sweptBytes = 0;
    }
    return deleted;
  }

  /** The store of the pass under way, or the next one that is wanted. */
  #next(): EntityStore<Entity> | undefined {
    const stores = this.#stores;
    for (let i = 0; i < stores.length; i++, this.#turn++) {
      const store = stores[this.#turn % stores.length] as EntityStore<Entity>;
      if (this.#after !== null || this.#wanted(store, 0)) return store;
    }
    return undefined;
  }

  /** A store of which there is space to give back by now. */
  #compactable(): EntityStore<Entity> | undefined {
    const { flushing, flushNumber } = this.#database;
    if (flushing) return undefined;
    for (const [store, afterFlush] of this.#compactions) if (flushNumber >= afterFlush) return store;
    return undefined;
  }

  /** A compaction may take seconds: it runs beside the rows. */
  #compactIfDue(): void {
    const store = this.#compacting === null ? this.#compactable() : undefined;
    if (store === undefined) return;
    this.#compactions.delete(store);
    this.#compacting = store.compact().then(
      () => {
        this.#compacting = null;
      },
      (error: unknown) => {
        this.#compacting = null;
        this.#failure ??= error;
      },
    );
  }

  async #endReading(): Promise<void> {
    const reading = this.#reading;
    this.#reading = null;
    await reading?.return(undefined);
  }

  /** Lets go of the database: no compaction is under way afterwards, and nothing is read. */
  async close(): Promise<void> {
    await this.#endReading();
    await this.#compacting;
  }
}

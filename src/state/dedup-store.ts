import type { DurationMs } from "../core/time.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { ValueSection } from "./changelog.ts";
import type { Entity, EntityKind } from "./entity.ts";
import type { EntityStore } from "./entity-store.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

export interface DedupOptions {
  /** Of the store. */
  readonly name: string;
  /** How long an id is remembered, in order time from when it was first seen. */
  readonly ttlMs: DurationMs;
}

/** An id that was seen. */
class SeenId implements Entity {
  readonly key: StateKey;
  flags = 0;
  bytes = 0;
  firstMs: number;

  constructor(key: StateKey, firstMs: number) {
    this.key = key;
    this.firstMs = firstMs;
  }
}

/** Payload: nothing but the time in front of every value; in the changelog | first seen, ms f64 |. */
class SeenIdKind implements EntityKind<SeenId> {
  readonly layout: StoreLayout;
  readonly retentionMs: number;

  constructor({ name, ttlMs }: DedupOptions) {
    const held = { reachMs: null, heldCount: 0, folded: false };
    this.layout = { store: name, kind: "dedup", version: 1, columns: [], features: [], ...held };
    this.retentionMs = ttlMs;
  }

  newestMs(seen: SeenId): number {
    return seen.firstMs;
  }
  encode(seen: SeenId, writer: ByteWriter): void {
    writer.f64(seen.firstMs);
  }
  decode(key: StateKey, reader: ByteReader): SeenId {
    return new SeenId(key, reader.f64());
  }
  contentBytes(): number {
    return 0;
  }
  release(): void {}
}

/** Remembers ids for a time, so that what comes twice passes once. */
export class DedupStore {
  readonly #entities: EntityStore<SeenId>;

  /** @throws KAPPA_STATE_INCOMPATIBLE when the database holds a store of another kind under this name */
  constructor(database: StateDatabase, options: DedupOptions) {
    this.#entities = database.store(new SeenIdKind(options));
    database.log(new ValueSection(this.#entities));
  }

  /**
   * Notes an id.
   * @param timeMs event time of its row
   * @param orderTimeMs of the task, which never falls
   * @returns whether it was seen before, less than the time to live ago
   */
  seen(id: StateKey, timeMs: number, orderTimeMs: number): boolean {
    const nowMs = Math.max(timeMs, orderTimeMs);
    const entities = this.#entities;
    if (nowMs > entities.orderTimeMs) entities.orderTimeMs = nowMs;
    const known = entities.find(id);
    if (known === undefined) {
      entities.add(new SeenId(id, nowMs));
      return false;
    }
    if (!entities.expired(known.firstMs)) return true;
    known.firstMs = nowMs;
    entities.changed(known);
    return false;
  }
}

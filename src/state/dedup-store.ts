import type { DurationMs } from "../core/time.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { ValueSection } from "./changelog.ts";
import { type Entity, type EntityKind, type EntityStore, entityFlags } from "./entity-store.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

class SeenId implements Entity {
  readonly key: StateKey;
  flags: number = entityFlags.used;
  bytes = 0;
  firstMs: number;

  constructor(key: StateKey, firstMs: number) {
    this.key = key;
    this.firstMs = firstMs;
  }
}

class SeenIdKind implements EntityKind<SeenId> {
  readonly layout: StoreLayout;
  readonly retentionMs: number;

  constructor(name: string, ttlMs: DurationMs) {
    this.retentionMs = ttlMs;
    this.layout = { store: name, kind: "dedup", version: 1, columns: ["first_seen: integer"], features: [], reachMs: null, heldCount: 0, folded: false };
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
    return 16;
  }
  release(): void {}
}

/** Remembers ids for a time, so that each passes once. */
export class DedupStore {
  readonly #entities: EntityStore<SeenId>;
  readonly #ttlMs: DurationMs;

  constructor(database: StateDatabase, options: { readonly name: string; readonly ttlMs: DurationMs }) {
    this.#ttlMs = options.ttlMs;
    this.#entities = database.store(new SeenIdKind(options.name, options.ttlMs));
    database.log(new ValueSection(this.#entities));
  }

  /**
   * Whether the id was seen and is still remembered: first at a time after order time - ttl. If not, it counts as seen
   * from now on.
   */
  seen(id: StateKey, timeMs: number, orderTimeMs: number): boolean {
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    const known = this.#entities.find(id);
    if (known === undefined) {
      this.#entities.add(new SeenId(id, timeMs));
      return false;
    }
    if (known.firstMs > orderTimeMs - this.#ttlMs) return true;
    known.firstMs = timeMs;
    this.#entities.changed(known);
    return false;
  }
}

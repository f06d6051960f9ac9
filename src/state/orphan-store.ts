import type { DurationMs } from "../core/time.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { ValueSection } from "./changelog.ts";
import { DueIndex } from "./due-index.ts";
import type { Entity, EntityKind } from "./entity.ts";
import type { EntityStore } from "./entity-store.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

export interface OrphanOptions {
  /** Of the store. */
  readonly name: string;
  /** The longest that a mark waits. */
  readonly waitMs: DurationMs;
}

/** A mark whose event has not come. */
export interface Orphan {
  /** Name of the mark. */
  readonly mark: string;
  /** The event it is for. */
  readonly id: string | number;
  readonly timeMs: number;
  /** Order time at which it is given up. */
  readonly expiryMs: number;
  /** The row it came as, as text: whoever gives it up knows what to make of it. */
  readonly row: string;
}

/** The orphans of a key, in the order they came. */
class WaitingMarks implements Entity {
  readonly key: StateKey;
  flags = 0;
  bytes = 0;
  readonly orphans: Orphan[] = [];
  /** When the due index brings the key up; entries for other times are stale. Infinity when it does not. */
  watchedMs = Number.POSITIVE_INFINITY;

  constructor(key: StateKey) {
    this.key = key;
  }
}

/**
 * Payload:
 *
 *     | watched, ms f64 | orphans u32 |
 *     orphan: | mark text | 0 u8, id f64 or 1 u8, id text | event time f64 | expiry f64 | row text |
 */
class WaitingMarksKind implements EntityKind<WaitingMarks> {
  readonly layout: StoreLayout;
  readonly retentionMs = 0;
  readonly changesReachMs: number;

  constructor({ name, waitMs }: OrphanOptions) {
    const held = { reachMs: null, heldCount: 0, folded: false };
    this.layout = { store: name, kind: "orphans", version: 1, columns: [], features: [], ...held };
    this.changesReachMs = waitMs;
  }

  newestMs({ orphans }: WaitingMarks): number {
    let newest = Number.NEGATIVE_INFINITY;
    for (const { expiryMs } of orphans) if (expiryMs > newest) newest = expiryMs;
    return newest;
  }

  encode({ watchedMs, orphans }: WaitingMarks, writer: ByteWriter): void {
    writer.f64(watchedMs);
    writer.u32(orphans.length);
    for (const { mark, id, timeMs, expiryMs, row } of orphans) {
      writer.text(mark);
      writer.u8(typeof id === "string" ? 1 : 0);
      if (typeof id === "string") writer.text(id);
      else writer.f64(id);
      writer.f64(timeMs);
      writer.f64(expiryMs);
      writer.text(row);
    }
  }

  decode(key: StateKey, reader: ByteReader): WaitingMarks {
    const waiting = new WaitingMarks(key);
    waiting.watchedMs = reader.f64();
    for (let left = reader.u32(); left > 0; left--) {
      const mark = reader.text() as string;
      const id = reader.u8() === 1 ? (reader.text() as string) : reader.f64();
      const timeMs = reader.f64();
      const expiryMs = reader.f64();
      waiting.orphans.push({ mark, id, timeMs, expiryMs, row: reader.text() as string });
    }
    return waiting;
  }

  contentBytes({ orphans }: WaitingMarks): number {
    let bytes = 100;
    for (const orphan of orphans) bytes += orphanBytes(orphan);
    return bytes;
  }

  release(): void {}
}

function orphanBytes({ id, row }: Orphan): number {
  return 120 + (typeof id === "string" ? id.length : 0) + row.length * 2;
}

/** Marks that came before the event they are for, by the event's key. They wait for it, but not for ever. */
export class OrphanStore {
  readonly #entities: EntityStore<WaitingMarks>;
  readonly #index: DueIndex;
  readonly #waitMs: number;
  /** Null until someone asks, after a restart. */
  #waiting: number | null = null;

  /** @throws KAPPA_STATE_INCOMPATIBLE when the database holds a store of another kind under this name */
  constructor(database: StateDatabase, options: OrphanOptions) {
    const { name, waitMs } = options;
    this.#waitMs = waitMs;
    this.#entities = database.store(new WaitingMarksKind(options));
    this.#index = new DueIndex(database, `${name}/due`, waitMs);
    database.log(new ValueSection(this.#entities, (entity) => this.#restored(entity)));
  }

  #restored(entity: WaitingMarks): void {
    entity.watchedMs = Number.POSITIVE_INFINITY;
    // No mark was parked before it could be: a bound of the order time that the index reckons from.
    for (const { expiryMs } of entity.orphans) this.#watch(entity, expiryMs, expiryMs - this.#waitMs);
    this.#waiting = null;
  }

  /** How many marks wait. Cheap: while it is 0, nothing else need be asked. */
  get waiting(): number {
    this.#waiting ??= this.#count();
    return this.#waiting;
  }

  /** Every key with a mark that waits is in the index, so that not all keys need be read. */
  #count(): number {
    let waiting = 0;
    for (const key of new Set(this.#index.keys())) waiting += this.#entities.find(key)?.orphans.length ?? 0;
    return waiting;
  }

  /** No mark is given up before; Infinity when none waits. */
  get nextExpiryMs(): number {
    return this.#index.nextMs;
  }

  /** Lets a mark wait. `expire` was called with the order time before; the mark expires later than that. */
  park(key: StateKey, orphan: Orphan, orderTimeMs: number): void {
    const waiting = this.waiting;
    const entities = this.#entities;
    if (orderTimeMs > entities.orderTimeMs) entities.orderTimeMs = orderTimeMs;
    let entity = entities.find(key);
    if (entity === undefined) {
      entity = new WaitingMarks(key);
      entities.add(entity);
    } else {
      entities.changed(entity);
    }
    entity.orphans.push(orphan);
    entities.resized(entity, orphanBytes(orphan));
    this.#waiting = waiting + 1;
    this.#watch(entity, orphan.expiryMs, entities.orderTimeMs);
  }

  #watch(entity: WaitingMarks, expiryMs: number, orderTimeMs: number): void {
    if (expiryMs >= entity.watchedMs) return;
    entity.watchedMs = expiryMs;
    this.#index.add(expiryMs, entity.key, orderTimeMs);
  }

  /** Takes out the marks that wait for an event, in the order they came. */
  take(key: StateKey, timeMs: number, id: string | number): Orphan[] {
    const entity = this.#entities.find(key);
    if (entity === undefined) return [];
    return this.#remove(entity, (orphan) => orphan.timeMs === timeMs && orphan.id === id);
  }

  #remove(entity: WaitingMarks, wanted: (orphan: Orphan) => boolean): Orphan[] {
    const taken = entity.orphans.filter(wanted);
    if (taken.length === 0) return taken;
    const waiting = this.waiting;
    const kept = entity.orphans.filter((orphan) => !wanted(orphan));
    this.#entities.changed(entity);
    entity.orphans.splice(0, entity.orphans.length, ...kept);
    for (const orphan of taken) this.#entities.resized(entity, -orphanBytes(orphan));
    if (kept.length === 0) this.#entities.delete(entity);
    this.#waiting = waiting - taken.length;
    return taken;
  }

  /** Takes out the marks that expire up to `orderTimeMs`, in the order of expiry, key and arrival. */
  expire(orderTimeMs: number, visit: (key: StateKey, orphan: Orphan) => void): void {
    for (let due = this.#index.pop(orderTimeMs); due !== null; due = this.#index.pop(orderTimeMs)) {
      const { key, timeMs } = due;
      const entity = this.#entities.find(key);
      if (entity === undefined || entity.watchedMs !== timeMs) continue;
      this.#entities.changed(entity);
      entity.watchedMs = Number.POSITIVE_INFINITY;
      const expired = this.#remove(entity, ({ expiryMs }) => expiryMs <= timeMs);
      for (const { expiryMs } of entity.orphans) this.#watch(entity, expiryMs, this.#entities.orderTimeMs);
      for (const orphan of expired) visit(key, orphan);
    }
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    this.#index.passed(orderTimeMs);
  }
}

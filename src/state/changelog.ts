import { crc32 } from "node:zlib";
import { KappaError } from "../core/errors.ts";
import { type ByteReader, ByteWriter, ByteReader as Reader } from "./bytes.ts";
import { type Entity, entityFlags } from "./entity.ts";
import type { EntityStore } from "./entity-store.ts";

/** Takes note that an entity changed, once per commit. */
export interface ChangeSink<E extends Entity> {
  note(entity: E): void;
}

/** One store's part in the changelog. */
export interface ChangelogSection {
  readonly store: string;
  /** Of what the bytes of a change look like: a section is only applied to a store with the same one. */
  readonly fingerprint: number;
  /** Whether anything changed since the last `writeChanges`. */
  readonly changed: boolean;
  /** Order time of the store: logged as well, so that a restore may drop what is too old by then. */
  orderTimeMs: number;
  /** Writes the changes since the last call. */
  writeChanges(writer: ByteWriter): void;
  /** Makes the changes from `reader.at` to `reader.end` again, without logging them. */
  applyChanges(reader: ByteReader): void;
}

/** A short name for what the bytes of a section look like. */
export function fingerprintOf(...description: readonly string[]): number {
  return crc32(JSON.stringify(description));
}

const changelogVersion = 1;

/**
 * What changed in a task's stores since the last commit, as bytes for its commit frame. Applied in order to the state
 * that an older frame left, frames bring back the very same state.
 *
 *     | version u8 | sections u8 |
 *     section: | name text | fingerprint u32 | order time f64 | length u32 | changes |
 */
export class Changelog {
  readonly #sections: ChangelogSection[] = [];
  readonly #writer = new ByteWriter(65_536);
  readonly #reader = new Reader();

  add(section: ChangelogSection): void {
    this.#sections.push(section);
  }

  /** Whether nothing changed since the last `take`. */
  get empty(): boolean {
    return this.#sections.every((section) => !section.changed);
  }

  /** The changes since the last call; the bytes belong to the caller. Empty when nothing changed. */
  take(): Buffer {
    const changed = this.#sections.filter((section) => section.changed);
    if (changed.length === 0) return Buffer.alloc(0);
    const writer = this.#writer;
    writer.clear();
    writer.u8(changelogVersion);
    writer.u8(changed.length);
    for (const section of changed) {
      writer.text(section.store);
      writer.u32(section.fingerprint);
      writer.f64(section.orderTimeMs);
      const lengthAt = writer.at;
      writer.u32(0);
      section.writeChanges(writer);
      writer.buffer.writeUInt32LE(writer.at - lengthAt - 4, lengthAt);
    }
    return Buffer.from(writer.written());
  }

  /**
   * Makes the changes of one commit again. Changes of stores that are no more are passed over.
   * @throws KAPPA_STATE_INCOMPATIBLE when a store's changes have another form than they had
   */
  apply(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const reader = this.#reader.reset(bytes);
    const version = reader.u8();
    if (version !== changelogVersion) {
      throw new KappaError(
        "KAPPA_STATE_INCOMPATIBLE",
        `changelog has version ${version}, this release reads ${changelogVersion}: upgrade, or replay the inputs`,
      );
    }
    let sections = reader.u8();
    while (sections-- > 0) {
      const name = reader.text();
      const fingerprint = reader.u32();
      const orderTimeMs = reader.f64();
      const length = reader.u32();
      const end = reader.at + length;
      const section = this.#sections.find((candidate) => candidate.store === name);
      if (section !== undefined) {
        if (section.fingerprint !== fingerprint) {
          throw new KappaError(
            "KAPPA_STATE_INCOMPATIBLE",
            `store ${name} has columns ${section.fingerprint}, its changelog ${fingerprint}: ` +
              "restore the old definition, or give the store a new name",
            { store: name },
          );
        }
        reader.end = end;
        section.applyChanges(reader);
        // Only now: what the commit's own changes refer to must not be dropped before them.
        section.orderTimeMs = Math.max(section.orderTimeMs, orderTimeMs);
      }
      reader.at = end;
    }
  }
}

/**
 * The section of a store that logs what changed entities have become, once per commit each.
 *
 *     | key | present u8 | value of the entity, as its kind encodes it |
 */
export class ValueSection<E extends Entity> implements ChangelogSection, ChangeSink<E> {
  readonly store: string;
  readonly fingerprint: number;
  readonly #entities: EntityStore<E>;
  readonly #unlogged: E[] = [];
  readonly #restored: (entity: E) => void;

  /** @param restored is told of each entity that a restore brings back */
  constructor(entities: EntityStore<E>, restored: (entity: E) => void = () => {}) {
    this.#entities = entities;
    this.#restored = restored;
    this.store = entities.name;
    const { kind, version, columns } = entities.kind.layout;
    this.fingerprint = fingerprintOf(kind, `${version}`, ...columns);
    entities.sink = this;
  }

  get changed(): boolean {
    return this.#unlogged.length > 0;
  }

  get orderTimeMs(): number {
    return this.#entities.orderTimeMs;
  }
  set orderTimeMs(orderTimeMs: number) {
    this.#entities.orderTimeMs = orderTimeMs;
  }

  note(entity: E): void {
    this.#unlogged.push(entity);
  }

  writeChanges(writer: ByteWriter): void {
    for (const entity of this.#unlogged) {
      entity.flags &= ~entityFlags.unlogged;
      writer.key(entity.key);
      const deleted = (entity.flags & entityFlags.deleted) !== 0;
      writer.u8(deleted ? 0 : 1);
      if (!deleted) this.#entities.kind.encode(entity, writer);
    }
    this.#unlogged.length = 0;
  }

  applyChanges(reader: ByteReader): void {
    const entities = this.#entities;
    entities.sink = null;
    while (reader.at < reader.end) {
      const key = reader.key();
      const present = reader.u8() === 1;
      const old = entities.find(key);
      if (old !== undefined) entities.delete(old);
      if (!present) continue;
      const entity = entities.kind.decode(key, reader);
      entities.add(entity);
      this.#restored(entity);
    }
    entities.sink = this;
  }
}

import type { Column } from "../codec/column.ts";
import { type RowDecode, type RowEncode, RowLayout, rowHeaderLength } from "../codec/row-layout.ts";
import { TextSink, TextSource } from "../codec/text-bytes.ts";
import type { DurationMs } from "../core/time.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { ValueSection } from "./changelog.ts";
import type { Entity, EntityKind } from "./entity.ts";
import type { EntityStore } from "./entity-store.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

export interface TableOptions {
  /** Of the store. */
  readonly name: string;
  /** Columns of a row. */
  readonly columns: readonly Column[];
  /** How far behind order time a lookup still finds the version of its own time. */
  readonly graceMs: DurationMs;
}

/** The versions of a key, oldest first; a null row is a deletion. */
class Versions implements Entity {
  readonly key: StateKey;
  flags = 0;
  bytes = 0;
  readonly times: number[] = [];
  readonly rows: (object | null)[] = [];
  /** Encoded length of each row: what it costs in memory, roughly, and known without encoding it again. */
  readonly lengths: number[] = [];

  constructor(key: StateKey) {
    this.key = key;
  }
}

/** Payload: | versions u32 | and for each: time f64, length u32 (0 for a deletion), row as in a row batch without its header |. */
class VersionsKind implements EntityKind<Versions> {
  readonly layout: StoreLayout;
  readonly retentionMs: number;
  readonly changesReachMs = Number.POSITIVE_INFINITY;
  readonly #fixedLength: number;
  readonly #encode: RowEncode;
  readonly #decode: RowDecode;
  readonly #sink = new TextSink(1024, 0);
  readonly #source = new TextSource();

  constructor({ name, columns, graceMs }: TableOptions) {
    const held = { reachMs: null, heldCount: 0, folded: false };
    const lines = columns.map((column) => `${column.name}: ${column.type}${column.nullable ? "?" : ""}`);
    this.layout = { store: name, kind: "table", version: 1, columns: lines, features: [], ...held };
    this.retentionMs = graceMs;
    const layout = new RowLayout(columns);
    this.#fixedLength = layout.fixedLength - rowHeaderLength;
    this.#encode = layout.encoder();
    this.#decode = layout.decoder();
  }

  /** A row is kept for ever, a deletion until no lookup can be older than it. */
  newestMs(versions: Versions): number {
    return versions.rows.at(-1) === null ? (versions.times.at(-1) as number) : Number.POSITIVE_INFINITY;
  }

  /** The encoded row; valid until the next call. @throws KAPPA_RECORD_INVALID when it does not fit the columns */
  rowBytes(row: object): Buffer {
    const sink = this.#sink;
    sink.at = 0;
    sink.reserve(this.#fixedLength);
    sink.at = this.#fixedLength;
    this.#encode(row, sink, -rowHeaderLength);
    return sink.bytes.subarray(0, sink.at);
  }

  encode(versions: Versions, writer: ByteWriter): void {
    writer.u32(versions.times.length);
    for (let i = 0; i < versions.times.length; i++) {
      const row = versions.rows[i] as object | null;
      writer.f64(versions.times[i] as number);
      const bytes = row === null ? Buffer.alloc(0) : this.rowBytes(row);
      writer.u32(row === null ? 0 : bytes.length + 1);
      writer.raw(bytes, 0, bytes.length);
    }
  }

  decode(key: StateKey, reader: ByteReader): Versions {
    const versions = new Versions(key);
    for (let left = reader.u32(); left > 0; left--) {
      versions.times.push(reader.f64());
      const length = reader.u32() - 1;
      versions.lengths.push(Math.max(0, length));
      if (length < 0) {
        versions.rows.push(null);
        continue;
      }
      this.#source.reset(reader.buffer.subarray(reader.at, reader.at + length));
      versions.rows.push(this.#decode(this.#source, 0));
      reader.at += length;
    }
    return versions;
  }

  contentBytes(versions: Versions): number {
    return versions.lengths.reduce((bytes, length) => bytes + versionBytes(length), 200);
  }

  release(): void {}
}

/** Resident bytes of a version: places in three lists, an object, and its values at twice their encoded length. */
function versionBytes(length: number): number {
  return length === 0 ? 24 : 72 + length * 2;
}

/**
 * A keyed table whose versions are kept for a while, so that a row that is late within grace is joined with what was
 * true at its own time. The newest version is kept for ever.
 */
export class TableStore {
  readonly #kind: VersionsKind;
  readonly #entities: EntityStore<Versions>;
  readonly #graceMs: number;

  /** @throws KAPPA_STATE_INCOMPATIBLE when the database holds another store, or other columns, under this name */
  constructor(database: StateDatabase, options: TableOptions) {
    this.#kind = new VersionsKind(options);
    this.#graceMs = options.graceMs;
    this.#entities = database.store(this.#kind);
    database.log(new ValueSection(this.#entities));
  }

  /**
   * Adds a version, which hides an earlier one of the same time; null deletes the key from that time on. Versions that
   * no lookup within grace can find any more are dropped. A deletion is remembered for the grace as well: a row older
   * than it that comes still later brings the key back.
   * @param orderTimeMs of the task, which never falls
   * @throws KAPPA_RECORD_INVALID when the row does not fit the columns; nothing was changed then
   */
  put(key: StateKey, timeMs: number, row: object | null, orderTimeMs: number): void {
    const entities = this.#entities;
    const length = row === null ? 0 : this.#kind.rowBytes(row).length;
    let versions = entities.find(key);
    // Nothing to delete, unless an older row may still come.
    if (versions === undefined && row === null && timeMs <= orderTimeMs - this.#graceMs) return;
    if (orderTimeMs > entities.orderTimeMs) entities.orderTimeMs = orderTimeMs;
    if (versions === undefined) {
      versions = new Versions(key);
      entities.add(versions);
    }
    // What a sweep may have deleted must not show, whether it has or not.
    if (entities.expired(this.#kind.newestMs(versions))) this.#clear(versions);
    let at = versions.times.length;
    while (at > 0 && (versions.times[at - 1] as number) > timeMs) at--;
    const replaced = at > 0 && versions.times[at - 1] === timeMs ? 1 : 0;
    const before = this.#kind.contentBytes(versions);
    versions.times.splice(at - replaced, replaced, timeMs);
    versions.rows.splice(at - replaced, replaced, row);
    versions.lengths.splice(at - replaced, replaced, length);
    this.#prune(versions, orderTimeMs - this.#graceMs);
    entities.resized(versions, this.#kind.contentBytes(versions) - before);
    if (versions.times.length === 0) entities.delete(versions);
    else entities.changed(versions);
  }

  /** Drops what is hidden from `boundaryMs` on: all but the newest version at or before it, and that too if it is a deletion. */
  #prune(versions: Versions, boundaryMs: number): void {
    let hidden = -1;
    while (hidden + 1 < versions.times.length && (versions.times[hidden + 1] as number) <= boundaryMs) hidden++;
    if (hidden >= 0 && versions.rows[hidden] === null) hidden++;
    if (hidden <= 0) return;
    versions.times.splice(0, hidden);
    versions.rows.splice(0, hidden);
    versions.lengths.splice(0, hidden);
  }

  #clear(versions: Versions): void {
    this.#entities.resized(versions, -this.#kind.contentBytes(versions));
    versions.times.length = 0;
    versions.rows.length = 0;
    versions.lengths.length = 0;
    this.#entities.resized(versions, this.#kind.contentBytes(versions));
  }

  /** Order time of the latest change. */
  get orderTimeMs(): number {
    return this.#entities.orderTimeMs;
  }

  /**
   * The row of the newest version at or before `asOfMs`; null where there is none or it was deleted. A time that is
   * further behind the latest change of the table than the grace is taken as that far: whether older versions are still
   * there depends on when they were tidied away.
   */
  get(key: StateKey, asOfMs: number): object | null {
    const versions = this.#entities.find(key);
    if (versions === undefined) return null;
    const fromMs = Math.max(asOfMs, this.#entities.orderTimeMs - this.#graceMs);
    for (let i = versions.times.length - 1; i >= 0; i--) {
      if ((versions.times[i] as number) <= fromMs) return versions.rows[i] as object | null;
    }
    return null;
  }
}

import type { Column } from "../codec/column.ts";
import { RowShape } from "../codec/row-shape.ts";
import type { DurationMs } from "../core/time.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { ValueSection } from "./changelog.ts";
import { type Entity, type EntityKind, type EntityStore, entityFlags } from "./entity-store.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

interface Version {
  readonly timeMs: number;
  /** Null: the key was deleted. */
  readonly value: object | null;
  /** Length of the value as JSON, for the accounting of memory. */
  readonly jsonLength: number;
}

class TableRow implements Entity {
  readonly key: StateKey;
  flags: number = entityFlags.used;
  bytes = 0;
  /** Oldest first. */
  versions: Version[];

  constructor(key: StateKey, versions: Version[]) {
    this.key = key;
    this.versions = versions;
  }
}

/** Resident bytes of a version besides its value: array slot, object, and the value's own header. */
const versionBytes = 96;

const contentBytesOf = (versions: readonly Version[]): number => versions.reduce((sum, { jsonLength }) => sum + versionBytes + jsonLength, 32);

/** `| count u32 | for each: time f64, present u8, value as JSON text |` */
class TableRowKind implements EntityKind<TableRow> {
  readonly layout: StoreLayout;
  readonly retentionMs = Number.POSITIVE_INFINITY;
  readonly #shape: RowShape;

  constructor(name: string, columns: readonly Column[]) {
    this.#shape = new RowShape(columns);
    const described = columns.map((column) => `${column.name}: ${column.type}`);
    this.layout = { store: name, kind: "table", version: 1, columns: described, features: [], reachMs: null, heldCount: 0, folded: false };
  }

  newestMs(row: TableRow): number {
    return row.versions.at(-1)?.timeMs ?? 0;
  }

  encode(row: TableRow, writer: ByteWriter): void {
    writer.u32(row.versions.length);
    for (const { timeMs, value } of row.versions) {
      writer.f64(timeMs);
      writer.u8(value === null ? 0 : 1);
      if (value !== null) writer.text(JSON.stringify(value));
    }
  }

  decode(key: StateKey, reader: ByteReader): TableRow {
    const versions: Version[] = [];
    for (let count = reader.u32(); count > 0; count--) {
      const timeMs = reader.f64();
      const text = reader.u8() === 1 ? reader.text() : null;
      // `project` takes the columns alone, so no name in the text reaches a prototype.
      const value = text === null ? null : this.#shape.project(JSON.parse(text) as object);
      versions.push({ timeMs, value, jsonLength: text?.length ?? 0 });
    }
    return new TableRow(key, versions);
  }

  contentBytes(row: TableRow): number {
    return contentBytesOf(row.versions);
  }

  release(): void {}
}

/**
 * A keyed table whose versions are kept for as long as events older than them may come: a lookup gives the value as of
 * the event's time.
 */
export class TableStore {
  readonly #entities: EntityStore<TableRow>;
  readonly #graceMs: DurationMs;

  constructor(database: StateDatabase, options: { readonly name: string; readonly columns: readonly Column[]; readonly graceMs: DurationMs }) {
    this.#graceMs = options.graceMs;
    this.#entities = database.store(new TableRowKind(options.name, options.columns));
    database.log(new ValueSection(this.#entities));
  }

  /**
   * Adds a version; of two at one time the one put later counts. Versions that no event within the grace can ask for are
   * dropped, and so is a key whose only version is a deletion.
   */
  put(key: StateKey, timeMs: number, value: object | null, orderTimeMs: number): void {
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    const known = this.#entities.find(key);
    const version = { timeMs, value, jsonLength: value === null ? 0 : JSON.stringify(value).length };
    if (known === undefined) {
      if (value !== null) this.#entities.add(new TableRow(key, [version]));
      return;
    }
    const { versions } = known;
    let at = versions.length;
    while (at > 0 && (versions[at - 1] as Version).timeMs > timeMs) at--;
    const kept = this.#prune([...versions.slice(0, at), version, ...versions.slice(at)], orderTimeMs - this.#graceMs);
    const before = contentBytesOf(versions);
    known.versions = kept;
    if (kept.length === 1 && kept[0]?.value === null && kept[0].timeMs <= orderTimeMs - this.#graceMs) this.#entities.delete(known);
    else {
      this.#entities.changed(known);
      this.#entities.resized(known, contentBytesOf(kept) - before);
    }
  }

  /** Keeps the newest version at or before `oldestMs`, and all after it. */
  #prune(versions: Version[], oldestMs: number): Version[] {
    let first = 0;
    while (first + 1 < versions.length && (versions[first + 1] as Version).timeMs <= oldestMs) first++;
    return first === 0 ? versions : versions.slice(first);
  }

  /** The newest value at or before `asOfMs`; null where there is none or the key was deleted by then. */
  get(key: StateKey, asOfMs: number): object | null {
    const row = this.#entities.find(key);
    if (row === undefined) return null;
    for (let i = row.versions.length - 1; i >= 0; i--) {
      const version = row.versions[i] as Version;
      if (version.timeMs <= asOfMs) return version.value;
    }
    return null;
  }
}

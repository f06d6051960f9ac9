import type { ByteReader, ByteWriter } from "./bytes.ts";
import { ByteWriter as Writer } from "./bytes.ts";
import { type ChangelogSection, type ChangeSink, fingerprintOf } from "./changelog.ts";
import { entityFlags } from "./entity.ts";
import type { EntityStore } from "./entity-store.ts";
import type { KeyWindows, KeyWindowsKind } from "./key-windows.ts";
import type { StateKey } from "./state-key.ts";

/** What a restore does to the store. */
export interface WindowReplay {
  insert(
    key: StateKey,
    timeMs: number,
    orderTimeMs: number,
    late: boolean,
    numbers: Float64Array,
    texts: readonly (string | null)[],
  ): void;
  replace(entity: KeyWindows): void;
  /** All windows that close up to there were told of. */
  reached(orderTimeMs: number): void;
}

/** Below this many bytes of logged events a key is not written whole. */
const wholeBytesMin = 512;

/**
 * The changelog of a window store. An event costs its own bytes, however much its window holds; once the events of a key
 * weigh more than its windows, and at least once a reach, its windows are written whole, so that what is read again
 * stays bounded in bytes (twice the events) and in time (two reaches).
 *
 *     | length of events u32 | events | keys written whole |
 *     event: | key | event time f64 | order time f64 | late u8 | numbers f64 each | texts |
 *     whole: | key | value as in the database |
 *
 * That windows closed is not written: order time tells.
 */
export class WindowSection implements ChangelogSection, ChangeSink<KeyWindows> {
  readonly store: string;
  readonly fingerprint: number;
  readonly #entities: EntityStore<KeyWindows>;
  readonly #kind: KeyWindowsKind;
  readonly #replay: WindowReplay;
  readonly #changed: KeyWindows[] = [];
  /** Events since the last changelog; which key each is of, and where it ends. */
  readonly #events = new Writer();
  readonly #eventKeys: KeyWindows[] = [];
  readonly #eventEnds: number[] = [];
  readonly #numbers: Float64Array;
  readonly #texts: (string | null)[];

  constructor(entities: EntityStore<KeyWindows>, kind: KeyWindowsKind, replay: WindowReplay) {
    this.#entities = entities;
    this.#kind = kind;
    this.#replay = replay;
    this.store = entities.name;
    const { layout } = kind;
    this.fingerprint = fingerprintOf(layout.kind, `${layout.version}`, ...layout.columns, ...layout.features);
    this.#numbers = new Float64Array(kind.numberCount);
    this.#texts = Array.from({ length: kind.textCount }, () => null);
    entities.sink = this;
  }

  get changed(): boolean {
    return this.#changed.length > 0;
  }

  get orderTimeMs(): number {
    return this.#entities.orderTimeMs;
  }
  set orderTimeMs(orderTimeMs: number) {
    this.#entities.sink = null;
    this.#replay.reached(orderTimeMs);
    this.#entities.sink = this;
  }

  note(entity: KeyWindows): void {
    this.#changed.push(entity);
  }

  /** A window of `entity`, which was noted, took an event. */
  inserted(
    entity: KeyWindows,
    timeMs: number,
    orderTimeMs: number,
    late: boolean,
    numbers: Float64Array,
    texts: readonly (string | null)[],
  ): void {
    const writer = this.#events;
    const start = writer.at;
    writer.key(entity.key);
    writer.f64(timeMs);
    writer.f64(orderTimeMs);
    writer.u8(late ? 1 : 0);
    for (let i = 0; i < numbers.length; i++) writer.f64(numbers[i] as number);
    for (let i = 0; i < texts.length; i++) writer.text(texts[i] as string | null);
    this.#eventKeys.push(entity);
    this.#eventEnds.push(writer.at);
    entity.loggedBytes += writer.at - start;
    if (entity.loggedBytes > Math.max(wholeBytesMin, entity.bytes)) entity.whole = true;
    if (orderTimeMs - entity.loggedMs >= this.#kind.reachMs) entity.whole = true;
  }

  writeChanges(writer: ByteWriter): void {
    this.#writeEvents(writer);
    for (const entity of this.#changed) {
      entity.flags &= ~entityFlags.unlogged;
      if (!entity.whole) continue;
      entity.whole = false;
      if ((entity.flags & entityFlags.deleted) !== 0) continue;
      entity.loggedMs = this.#entities.orderTimeMs;
      entity.loggedBytes = 0;
      writer.key(entity.key);
      this.#kind.encode(entity, writer);
    }
    this.#changed.length = 0;
  }

  /** Leaves out the events of keys that are written whole or have no open window any more. */
  #writeEvents(writer: ByteWriter): void {
    const { buffer } = this.#events;
    const lengthAt = writer.at;
    writer.u32(0);
    for (let i = 0; i < this.#eventKeys.length; i++) {
      const { whole, flags } = this.#eventKeys[i] as KeyWindows;
      if (whole || (flags & entityFlags.deleted) !== 0) continue;
      writer.raw(buffer, this.#eventEnds[i - 1] ?? 0, this.#eventEnds[i] as number);
    }
    writer.buffer.writeUInt32LE(writer.at - lengthAt - 4, lengthAt);
    this.#events.clear();
    this.#eventKeys.length = 0;
    this.#eventEnds.length = 0;
  }

  applyChanges(reader: ByteReader): void {
    this.#entities.sink = null;
    const eventsLength = reader.u32();
    const eventsEnd = reader.at + eventsLength;
    const numbers = this.#numbers;
    const texts = this.#texts;
    while (reader.at < eventsEnd) {
      const key = reader.key();
      const timeMs = reader.f64();
      const orderTimeMs = reader.f64();
      const late = reader.u8() === 1;
      for (let i = 0; i < numbers.length; i++) numbers[i] = reader.f64();
      for (let i = 0; i < texts.length; i++) texts[i] = reader.text();
      this.#replay.insert(key, timeMs, orderTimeMs, late, numbers, texts);
    }
    while (reader.at < reader.end) {
      const key = reader.key();
      this.#replay.replace(this.#kind.decode(key, reader));
    }
    this.#entities.sink = this;
  }
}

import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Counter, Gauge } from "../core/meter.ts";
import type { Cursor, Log } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { MeterScope } from "../observability/thread-meter.ts";
import type { OnlineBatch, OnlineOrder, OnlinePlace, OnlineStore, OnlineValue } from "./online-store.ts";
import { type OnlineTable, orderOf } from "./online-table.ts";
import { type SkipReason, schemaIdOf, TableDecoder } from "./table-decoder.ts";

/** Most records, entities and bytes of records in a batch. A store answers others only between two batches. */
const batchRecordsMax = 1000;
const batchEntitiesMax = 128;
const batchBytesMax = 256 * 1024;

/** How long after a failure of the log a partition is opened again, in ms. */
const reopenMs = 1000;

/**
 * How long the log must end before the position in the store until it is taken for another log, in ms: a broker that has
 * just become the leader may name an end that is some ms old.
 */
const shortLogMs = 10_000;

export interface PartitionFollowerOptions {
  readonly table: OnlineTable;
  readonly partition: number;
  readonly log: Log;
  readonly store: OnlineStore;
  readonly registry: SchemaRegistry;
  readonly clock: Clock;
  /** Closed with the follower. */
  readonly meter: MeterScope;
}

/** The newest record of an entity in the batch that is being gathered. */
interface Newest {
  readonly timeMs: number;
  readonly offset: number;
  readonly value: Readonly<Record<string, unknown>> | null;
}

/**
 * One partition of a topic on its way into one table: reads durable records from the position that the store itself has,
 * and gathers what they change into batches that the store takes only from there. It may be left at any moment, and
 * another may follow the same partition at the same time.
 */
export class PartitionFollower {
  readonly place: OnlinePlace;
  readonly #options: PartitionFollowerOptions;
  readonly #decoder: TableDecoder;
  readonly #order: OnlineOrder;
  readonly #reader = new RecordBatchReader();
  readonly #lag: Gauge;
  readonly #records: Counter;
  readonly #writes: Counter;
  readonly #skipped: Readonly<Record<SkipReason | "trimmed", Counter>>;
  readonly #moved: Counter;
  readonly #failures: Counter;
  #cursor: Cursor | null = null;
  /** Where the store is, or was when this was open; null: it has nothing. */
  #stored: number | null = null;
  /** Where this was last opened: what the store lacks begins there as long as it has nothing. */
  #openedFrom: number | null = null;
  /** End of the partition when the log was last asked, not the cursor. */
  #end = 0n;
  /** Offset of the next record to gather. */
  #next = 0;
  /** Whether the reader stands on a record that is not gathered yet. */
  #standing = false;
  /** Whether the reader and, when it was last asked, the cursor had no more. */
  #drained = false;
  /** Offsets between what the store has and what the log still has. */
  #trimmed = 0;
  /** Schema that has to be fetched before the record is read. */
  #wantedSchema: number | null = null;
  #underWay: { readonly batch: OnlineBatch; readonly records: number } | null = null;
  #reopenAtMs = Number.NEGATIVE_INFINITY;
  #shortSinceMs: number | null = null;

  constructor(options: PartitionFollowerOptions) {
    const { table, partition, meter, registry } = options;
    this.#options = options;
    this.place = { table: table.name, topic: table.topic, partition };
    this.#decoder = new TableDecoder(table, registry);
    this.#order = orderOf(table);
    this.#lag = meter.gauge("kappa_online_store_lag_records", table.name, String(partition));
    this.#records = meter.counter("kappa_online_store_records_total", table.name);
    this.#writes = meter.counter("kappa_online_store_writes_total", table.name);
    const skipped = (reason: string): Counter => meter.counter("kappa_online_store_skipped_total", table.name, reason);
    this.#skipped = {
      null_key: skipped("null_key"),
      null_value: skipped("null_value"),
      decode: skipped("decode"),
      schema_unknown: skipped("schema_unknown"),
      trimmed: skipped("trimmed"),
    };
    this.#moved = meter.counter("kappa_online_store_errors_total", "moved");
    this.#failures = meter.counter("kappa_online_store_errors_total", "log");
  }

  get open(): boolean {
    return this.#cursor !== null;
  }

  /** Whether it is closed, and did not fail a moment ago. */
  get openable(): boolean {
    return !this.open && this.#options.clock.monotonic() >= this.#reopenAtMs;
  }

  /** Opens it where the store is, if the log lets it. @throws KAPPA_SERVICE_UNREACHABLE */
  async tryOpen(): Promise<void> {
    const stored = await this.#options.store.position(this.place);
    try {
      await this.#openAt(stored);
    } catch (error) {
      this.logFailed(error);
    }
  }

  async #openAt(stored: number | null): Promise<void> {
    const { log, clock } = this.#options;
    const { topic, partition } = this.place;
    const start = Number(await log.startOffset(topic, partition));
    this.#end = await log.endOffset(topic, partition, "durable");
    const end = Number(this.#end);
    let from = Math.max(stored ?? start, start);
    if (from > end) {
      this.#shortSinceMs ??= clock.monotonic();
      if (clock.monotonic() - this.#shortSinceMs < shortLogMs) {
        this.#reopenAtMs = clock.monotonic() + reopenMs;
        return;
      }
      from = start;
    }
    this.#shortSinceMs = null;
    const cursor = await log.openCursor(topic, partition, BigInt(from), "durable");
    this.#cursor = cursor;
    this.#stored = stored;
    this.#openedFrom = from;
    this.#next = from;
    this.#trimmed = stored === null ? 0 : Math.max(0, start - stored);
    this.#standing = false;
    this.#drained = false;
    this.#reader.reset(Buffer.alloc(0));
    this.#wantedSchema = null;
  }

  /** What has become visible since the last batch was settled; null when it changes nothing. */
  gather(): OnlineBatch | null {
    assert(this.#underWay === null, () => `a batch of ${this.place.topic} is under way`);
    if (this.#cursor === null) return null;
    const newest = new Map<string, Newest>();
    const first = this.#next;
    let bytes = 0;
    let records = 0;
    try {
      while (records < batchRecordsMax && newest.size < batchEntitiesMax && bytes < batchBytesMax && this.#advance()) {
        bytes += this.#reader.valueEnd - this.#reader.valueAt;
        if (!this.#take(newest)) break;
        records++;
      }
    } catch (error) {
      this.logFailed(error);
      return null;
    }
    // A position without records is written only to get past what the log no longer has.
    const jumped = this.#stored !== null && this.#stored !== first;
    if (records === 0 && !jumped) return null;
    const { ttlMs } = this.#options.table;
    const [from, next, order] = [this.#stored, this.#next, this.#order];
    const batch: OnlineBatch = { ...this.place, from, next, order, ttlMs, values: this.#valuesOf(newest) };
    this.#underWay = { batch, records };
    return batch;
  }

  /** Brings the reader onto the next record. */
  #advance(): boolean {
    if (this.#standing) return true;
    while (!this.#reader.next()) {
      const batch = this.#cursor?.next();
      this.#drained = batch === undefined;
      if (batch === undefined) return false;
      // A copy: another partition's cursor may be asked before all of it is gathered.
      this.#reader.reset(Buffer.from(batch.bytes));
      this.#next = Number(batch.baseOffset);
    }
    this.#standing = true;
    return true;
  }

  /** @returns false when the record has to wait for its schema */
  #take(newest: Map<string, Newest>): boolean {
    const reader = this.#reader;
    let skipped: SkipReason | null;
    try {
      skipped = this.#decoder.read(reader);
    } catch (error) {
      if (!(error instanceof KappaError) || error.code !== "KAPPA_SCHEMA_UNKNOWN") throw error;
      this.#wantedSchema = schemaIdOf(reader);
      return false;
    }
    const offset = this.#next++;
    this.#standing = false;
    if (skipped !== null) {
      this.#skipped[skipped].add(1);
      return true;
    }
    const { key, value } = this.#decoder;
    const timeMs = reader.timestamp;
    const known = newest.get(key);
    // Within a partition a later record of one time is the newer one in both orders.
    if (known === undefined || this.#order === "offset" || timeMs >= known.timeMs)
      newest.set(key, { timeMs, offset, value });
    return true;
  }

  #valuesOf(newest: Map<string, Newest>): OnlineValue[] {
    const values: OnlineValue[] = [];
    for (const [key, { timeMs, offset, value }] of newest)
      values.push({ key, timeMs, offset, fields: value === null ? null : this.#decoder.fieldsOf(value) });
    return values;
  }

  /** The batch under way is answered: the store is at `position` now. */
  settle(position: number | null): void {
    const { batch, records } = this.#underWay ?? {};
    this.#underWay = null;
    if (batch === undefined) return;
    if (position !== batch.next) {
      this.moved();
      return;
    }
    this.#stored = position;
    this.#skipped.trimmed.add(this.#trimmed);
    this.#trimmed = 0;
    this.#records.add(records ?? 0);
    this.#writes.add(batch.values.length);
  }

  /** The store may be elsewhere than it was left: what was read ahead counts no more. */
  forget(): void {
    this.#cursor?.close();
    this.#cursor = null;
    this.#underWay = null;
  }

  /** The store is elsewhere: another process writes, or it has lost data. */
  moved(): void {
    this.#moved.add(1);
    this.forget();
  }

  /** The log failed: it is opened again later, and others go on. @throws what is no error of the log */
  logFailed(error: unknown): void {
    if (!(error instanceof KappaError)) throw error;
    this.#failures.add(1);
    this.forget();
    this.#reopenAtMs = this.#options.clock.monotonic() + reopenMs;
  }

  /** Whether the store still is where this follower left it. Nothing may be under way. */
  async checkPlace(): Promise<void> {
    if (this.open && (await this.#options.store.position(this.place)) !== this.#stored) this.moved();
  }

  /** Asks the log how far the partition goes: the lag must not rest on what the cursor alone has heard. */
  async lookAhead(): Promise<void> {
    const { topic, partition } = this.place;
    try {
      this.#end = await this.#options.log.endOffset(topic, partition, "durable");
    } catch (error) {
      if (!(error instanceof KappaError)) throw error;
      this.#failures.add(1);
    }
  }

  /** Fetches the schema that stopped it, if one did; tries again later while the registry is away. */
  async learn(): Promise<void> {
    const id = this.#wantedSchema;
    if (id === null) return;
    this.#wantedSchema = null;
    try {
      await this.#options.registry.schemaOf(id);
    } catch (error) {
      if (error instanceof KappaError && error.recovery !== "retry") this.#decoder.giveUp(id);
      else this.logFailed(error);
    }
  }

  /** Whether there was no more when a batch was last gathered. */
  get drained(): boolean {
    return this.#cursor === null || this.#drained;
  }

  /** Records that are durable and not in the store, as far as it is known. */
  get lag(): number {
    const heard = this.#cursor?.end ?? 0n;
    const end = heard > this.#end ? heard : this.#end;
    const from = this.#stored ?? this.#openedFrom;
    return from === null || this.reached(end) ? 0 : Math.max(0, Number(end) - from);
  }

  /** Whether the store has everything before an offset. */
  reached(end: bigint): boolean {
    const cursor = this.#cursor;
    if (cursor === null || this.#underWay !== null) return false;
    // A log may leave offsets out, at its end too: those are behind the cursor, and no record of ours.
    return BigInt(this.#next) >= end || (this.#drained && cursor.caughtUp() && cursor.position >= end);
  }

  sample(): void {
    this.#lag.set(this.lag);
  }

  close(): void {
    this.forget();
    this.#options.meter.close();
  }
}

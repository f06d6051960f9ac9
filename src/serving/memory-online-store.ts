import type { Clock } from "../core/clock.ts";
import {
  newerByTime,
  type OnlineBatch,
  type OnlineEntity,
  type OnlinePlace,
  type OnlineStore,
  type OnlineValue,
} from "./online-store.ts";

interface HeldEntity extends OnlineEntity {
  /** As `Clock.monotonic`. */
  readonly expiresMs: number;
}

/** An online store in the memory of one process: for tests and simulation. */
export class MemoryOnlineStore implements OnlineStore {
  readonly trouble = undefined;
  readonly #clock: Clock;
  #positions = new Map<string, number>();
  #tables = new Map<string, Map<string, HeldEntity>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async position(place: OnlinePlace): Promise<number | null> {
    return this.#positions.get(placeKey(place)) ?? null;
  }

  async put(batches: readonly OnlineBatch[]): Promise<readonly (number | null)[]> {
    return batches.map((batch) => this.#take(batch));
  }

  #take(batch: OnlineBatch): number | null {
    const place = placeKey(batch);
    const at = this.#positions.get(place) ?? null;
    if (at !== batch.from) return at;
    const table = this.#tables.get(batch.table) ?? new Map<string, HeldEntity>();
    this.#tables.set(batch.table, table);
    for (const value of batch.values) this.#takeValue(table, batch, value);
    this.#positions.set(place, batch.next);
    return batch.next;
  }

  #takeValue(table: Map<string, HeldEntity>, batch: OnlineBatch, { key, timeMs, offset, fields }: OnlineValue): void {
    if (fields === null) {
      table.delete(key);
      return;
    }
    const { partition, order, ttlMs } = batch;
    const held = this.#held(table, key);
    if (order === "time" && held !== undefined && !newerByTime({ timeMs, partition, offset }, held)) return;
    const named: Record<string, string> = {};
    for (let i = 0; i + 1 < fields.length; i += 2) named[fields[i] as string] = fields[i + 1] as string;
    table.set(key, { timeMs, partition, offset, fields: named, expiresMs: this.#clock.monotonic() + ttlMs });
  }

  #held(table: Map<string, HeldEntity> | undefined, key: string): HeldEntity | undefined {
    const held = table?.get(key);
    if (held === undefined || held.expiresMs > this.#clock.monotonic()) return held;
    table?.delete(key);
    return undefined;
  }

  async get(table: string, key: string): Promise<OnlineEntity | null> {
    const held = this.#held(this.#tables.get(table), key);
    if (held === undefined) return null;
    const { timeMs, partition, offset, fields } = held;
    return { timeMs, partition, offset, fields };
  }

  /** What it holds now: to come back to it by `restore`, as a store does that was saved before it was lost. */
  save(): () => void {
    const positions = new Map(this.#positions);
    const tables = new Map([...this.#tables].map(([name, entities]) => [name, new Map(entities)]));
    return () => {
      this.#positions = new Map(positions);
      this.#tables = new Map([...tables].map(([name, entities]) => [name, new Map(entities)]));
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const placeKey = ({ table, topic, partition }: OnlinePlace): string => `${table}:${topic}:${partition}`;

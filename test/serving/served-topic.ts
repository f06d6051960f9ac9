import { RecordSchema } from "../../src/codec/record-schema.ts";
import type { Log } from "../../src/log/log.ts";
import { newerByTime, type OnlineEntity, type OnlineStore } from "../../src/serving/online-store.ts";
import type { OnlineTable } from "../../src/serving/online-table.ts";
import { sectionOf } from "../../src/testing/log-records.ts";

/** What the records of these tests say. */
export interface Decision {
  readonly customer: string;
  readonly shop: string;
  readonly n: number;
  readonly score: number | null;
  readonly late: boolean;
  readonly reasons: readonly string[];
}

export const decisionSchema = new RecordSchema<Decision>({
  type: "record",
  name: "Decision",
  fields: [
    { name: "customer", type: "string" },
    { name: "shop", type: "string" },
    { name: "n", type: "long" },
    { name: "score", type: ["null", "double"], default: null },
    { name: "late", type: "boolean" },
    { name: "reasons", type: { type: "array", items: "string" } },
  ],
});

export const decision = (customer: string, n: number, more: Partial<Decision> = {}): Decision => ({
  ...{ customer, shop: "s", n, score: null, late: false, reasons: [] },
  ...more,
});

const columns = decisionSchema.columns.map(({ name }) => name);
const topic = "decisions";

/** By the key of the topic, which is the customer. */
export const customers: OnlineTable = {
  name: "customers",
  topic,
  schema: decisionSchema.definition,
  format: "json",
  key: null,
  columns,
  ttlMs: 3_600_000,
};

/** By another column, whose records lie in all partitions. */
export const shops: OnlineTable = { ...customers, name: "shops", key: "shop", columns: ["customer", "n"] };

export interface DecisionRecord {
  readonly partition: number;
  readonly timeMs: number;
  readonly customer: string;
  /** Null: the customer is gone. */
  readonly value: Decision | null;
}

/** Appends records to partitions of the topic `decisions`, in one transaction. */
export async function appendDecisions(log: Log, records: readonly DecisionRecord[]): Promise<void> {
  const partitions = [...new Set(records.map(({ partition }) => partition))];
  const writer = await log.openWriter("decisions-writer");
  await writer.append(
    partitions.map((partition) =>
      sectionOf(
        topic,
        partition,
        records
          .filter((record) => record.partition === partition)
          .map(({ timeMs, customer, value }) => ({
            timestamp: timeMs,
            key: customer,
            value: value === null ? null : JSON.stringify(value),
          })),
      ),
    ),
  );
  await writer.close();
}

/** What the tables must hold in the end, record by record, without positions, batches or positions of a store. */
export class ExpectedTables {
  readonly #customers = new Map<string, OnlineEntity>();
  readonly #shops = new Map<string, OnlineEntity>();
  readonly #seen = { customers: new Set<string>(), shops: new Set<string>() };
  readonly #next: number[] = [];

  add({ partition, timeMs, customer, value }: DecisionRecord): void {
    const offset = this.#next[partition] ?? 0;
    this.#next[partition] = offset + 1;
    this.#seen.customers.add(customer);
    if (value === null) {
      this.#customers.delete(customer);
      return;
    }
    const place = { timeMs, partition, offset };
    const fields: Record<string, string> = {
      customer,
      shop: value.shop,
      n: String(value.n),
      late: String(value.late),
      reasons: JSON.stringify(value.reasons),
    };
    if (value.score !== null) fields.score = String(value.score);
    this.#customers.set(customer, { ...place, fields });
    this.#seen.shops.add(value.shop);
    const held = this.#shops.get(value.shop);
    if (held === undefined || newerByTime(place, held))
      this.#shops.set(value.shop, { ...place, fields: { customer, n: String(value.n) } });
  }

  /** Both tables whole. */
  get all(): Readonly<Record<string, Readonly<Record<string, OnlineEntity | null>>>> {
    const whole = (seen: ReadonlySet<string>, table: ReadonlyMap<string, OnlineEntity>) =>
      Object.fromEntries([...seen].sort().map((key) => [key, table.get(key) ?? null]));
    return {
      customers: whole(this.#seen.customers, this.#customers),
      shops: whole(this.#seen.shops, this.#shops),
    };
  }

  /** The same entities as a store has them. */
  async heldBy(store: OnlineStore): Promise<typeof this.all> {
    const held: Record<string, Record<string, OnlineEntity | null>> = {};
    for (const [table, seen] of Object.entries(this.#seen)) {
      const entities: Record<string, OnlineEntity | null> = {};
      for (const key of [...seen].sort()) entities[key] = await store.get(table, key);
      held[table] = entities;
    }
    return held;
  }
}

import assert from "node:assert/strict";
import type { OnlineBatch, OnlinePlace, OnlineStore, OnlineValue } from "../../src/serving/online-store.ts";

export interface OnlineStoreUnderTest {
  readonly store: OnlineStore;
  /** Another writer and reader of the same tables. */
  other(): OnlineStore;
  /** Lets time pass. */
  pass(ms: number): Promise<void>;
  dispose(): Promise<void>;
}

export interface OnlineStoreConformanceOptions {
  readonly name: string;
  readonly test: (name: string, run: () => Promise<void>) => void;
  /** A store that holds nothing. */
  readonly open: () => Promise<OnlineStoreUnderTest>;
}

type Case = readonly [rule: string, run: (under: OnlineStoreUnderTest) => Promise<void>];

/** The suite that every adapter of the online store must pass. Registers one test for each rule. */
export function onlineStoreConformance({ name, test, open }: OnlineStoreConformanceOptions): void {
  for (const [rule, run] of cases)
    test(`${name}: ${rule}`, async () => {
      const under = await open();
      try {
        await run(under);
      } finally {
        await under.dispose();
      }
    });
}

const place: OnlinePlace = { table: "customers", topic: "decisions", partition: 0 };

const value = (
  key: string,
  offset: number,
  fields: Readonly<Record<string, string>> | null,
  timeMs = 0,
): OnlineValue => ({
  key,
  timeMs,
  offset,
  fields: fields === null ? null : Object.entries(fields).flat(),
});

const batch = (from: number | null, next: number, ...values: readonly OnlineValue[]): OnlineBatch => ({
  ...place,
  from,
  next,
  order: "offset",
  ttlMs: 60_000,
  values,
});

const byTime = (partition: number, from: number | null, next: number, ...values: readonly OnlineValue[]) =>
  ({ ...batch(from, next, ...values), partition, order: "time" }) as const;

async function fieldsOf(store: OnlineStore, key: string, table = place.table) {
  return (await store.get(table, key))?.fields ?? null;
}

const odd = ["", ":", "a:b", "@a", "ä€😀", "new\nline", "nul\0byte", '"quoted"', "\\u0041", " ", "\u007f", "'; DEL"];

const cases: readonly Case[] = [
  [
    "values are read by any reader once they are put, with the time and place of their record",
    async ({ store, other }) => {
      assert.deepEqual(await store.put([batch(null, 8, value("c1", 7, { amount: "12.5" }, 1_700_000_000_123))]), [8]);
      const expected = { timeMs: 1_700_000_000_123, partition: 0, offset: 7, fields: { amount: "12.5" } };
      for (const reader of [store, other()]) assert.deepEqual(await reader.get("customers", "c1"), expected);
      assert.equal(await store.get("customers", "c2"), null);
    },
  ],
  [
    "a place is where its last batch led, and nowhere before the first",
    async ({ store }) => {
      assert.equal(await store.position(place), null);
      await store.put([batch(null, 8)]);
      assert.equal(await store.position(place), 8);
      await store.put([batch(8, 2 ** 53 - 1)]);
      assert.equal(await store.position(place), 2 ** 53 - 1);
    },
  ],
  [
    "a batch from elsewhere than the place is at leaves no trace, and tells where it is",
    async ({ store }) => {
      assert.deepEqual(await store.put([batch(5, 8, value("c1", 7, { n: "1" }))]), [null]);
      await store.put([batch(null, 8, value("c1", 7, { n: "1" }))]);
      for (const from of [null, 0, 7, 9, 80]) {
        const tried = [value("c1", 99, { n: "2" }), value("c2", 99, { n: "2" })];
        assert.deepEqual(await store.put([batch(from, 100, ...tried)]), [8]);
      }
      assert.deepEqual(await fieldsOf(store, "c1"), { n: "1" });
      assert.equal(await fieldsOf(store, "c2"), null);
    },
  ],
  [
    "a batch that is sent again, by whomever, leaves no trace",
    async ({ store, other }) => {
      const [first, second] = [batch(null, 1, value("c", 0, { n: "1" })), batch(1, 2, value("c", 1, { n: "2" }))];
      await store.put([first]);
      await other().put([second]);
      assert.deepEqual(await store.put([first]), [2]);
      assert.deepEqual(await other().put([second]), [2]);
      assert.deepEqual(await fieldsOf(store, "c"), { n: "2" });
    },
  ],
  [
    "of two that put at once from one position, one is taken whole",
    async ({ store, other }) => {
      for (let from = 0; from < 20; from++) {
        const batchOf = (n: string) =>
          batch(
            from === 0 ? null : from,
            from + 1,
            value("a", from, { n }),
            value("b", from, { n }),
            value("c", from, { n }),
          );
        await Promise.all([store.put([batchOf("mine")]), other().put([batchOf("theirs")])]);
        const [a, b, c] = [await fieldsOf(store, "a"), await fieldsOf(store, "b"), await fieldsOf(store, "c")];
        assert.deepEqual([a, a], [b, c]);
        assert.equal(await store.position(place), from + 1);
      }
    },
  ],
  [
    "a value replaces the whole of the one before: fields that are gone are gone",
    async ({ store }) => {
      await store.put([batch(null, 1, value("c", 0, { a: "1", b: "2" }))]);
      await store.put([batch(1, 2, value("c", 1, { b: "3", d: "4" }))]);
      assert.deepEqual(await fieldsOf(store, "c"), { b: "3", d: "4" });
      await store.put([batch(2, 3, value("c", 2, {}))]);
      assert.deepEqual(await fieldsOf(store, "c"), {});
    },
  ],
  [
    "a null value removes the entity, and it may come again",
    async ({ store }) => {
      await store.put([batch(null, 1, value("c", 0, { a: "1" }))]);
      await store.put([batch(1, 2, value("c", 1, null), value("never", 1, null))]);
      assert.equal(await store.get("customers", "c"), null);
      await store.put([batch(2, 3, value("c", 2, { a: "2" }))]);
      assert.deepEqual(await fieldsOf(store, "c"), { a: "2" });
    },
  ],
  [
    "in the order of offsets the later record is the newer one, whatever its time",
    async ({ store }) => {
      await store.put([batch(null, 1, value("c", 0, { n: "1" }, 2000))]);
      await store.put([batch(1, 2, value("c", 1, { n: "2" }, 1000))]);
      assert.equal((await store.get("customers", "c"))?.timeMs, 1000);
    },
  ],
  [
    "in the order of times the later event time wins, then the higher partition, then the higher offset",
    async ({ store }) => {
      const held = async () => {
        const { timeMs, partition, offset } = (await store.get("customers", "c")) ?? assert.fail("nothing is held");
        return [timeMs, partition, offset];
      };
      await store.put([byTime(1, null, 5, value("c", 4, { n: "1" }, 1000))]);
      await store.put([byTime(0, null, 9, value("c", 8, { n: "2" }, 999))]);
      assert.deepEqual(await held(), [1000, 1, 4]);
      await store.put([byTime(0, 9, 10, value("c", 9, { n: "3" }, 1000))]);
      assert.deepEqual(await held(), [1000, 1, 4]);
      await store.put([byTime(1, 5, 6, value("c", 5, { n: "4" }, 1000))]);
      assert.deepEqual(await held(), [1000, 1, 5]);
      await store.put([byTime(2, null, 1, value("c", 0, { n: "5" }, 1000))]);
      assert.deepEqual(await held(), [1000, 2, 0]);
      await store.put([byTime(0, 10, 11, value("c", 10, { n: "6" }, 1001))]);
      assert.deepEqual(await held(), [1001, 0, 10]);
      assert.deepEqual(await fieldsOf(store, "c"), { n: "6" });
      assert.equal(await store.position({ ...place, partition: 1 }), 6);
    },
  ],
  [
    "times and offsets compare as numbers: before 1970, and over any count of digits",
    async ({ store }) => {
      const times = [-20_000_000_000_000, -9, 0, 9, 10, 1_700_000_000_000, 9_007_199_254_740_991];
      for (const [i, timeMs] of times.entries())
        await store.put([byTime(0, i === 0 ? null : i, i + 1, value("c", i, { n: String(i) }, timeMs))]);
      assert.deepEqual(await fieldsOf(store, "c"), { n: String(times.length - 1) });
    },
  ],
  [
    "an entity that was not written for its time to live is gone; positions stay",
    async ({ store, pass }) => {
      await store.put([{ ...batch(null, 1, value("c", 0, { n: "1" }), value("d", 0, { n: "1" })), ttlMs: 1500 }]);
      await pass(1000);
      await store.put([{ ...batch(1, 2, value("c", 1, { n: "2" })), ttlMs: 1500 }]);
      await pass(1000);
      assert.deepEqual(await fieldsOf(store, "c"), { n: "2" });
      assert.equal(await fieldsOf(store, "d"), null);
      assert.equal(await store.position(place), 2);
    },
  ],
  [
    "a batch that is sent again does not bring back what has gone since",
    async ({ store, pass }) => {
      const once = { ...batch(null, 1, value("c", 0, { n: "1" })), ttlMs: 50 };
      await store.put([once]);
      await pass(100);
      await store.put([once]);
      assert.equal(await fieldsOf(store, "c"), null);
    },
  ],
  [
    "tables, topics and partitions are apart",
    async ({ store }) => {
      const places: OnlinePlace[] = [
        place,
        { ...place, table: "customers-2" },
        { ...place, topic: "decisions-2" },
        { ...place, partition: 10 },
      ];
      for (const [i, each] of places.entries())
        await store.put([{ ...batch(null, i + 1, value(`c${i}`, 0, { n: String(i) })), ...each }]);
      for (const [i, each] of places.entries()) assert.equal(await store.position(each), i + 1);
      assert.equal(await fieldsOf(store, "c1"), null);
      assert.deepEqual(await fieldsOf(store, "c1", "customers-2"), { n: "1" });
      assert.deepEqual(await fieldsOf(store, "c3"), { n: "3" });
    },
  ],
  [
    "each batch of a put stands for itself",
    async ({ store }) => {
      await store.put([batch(null, 4)]);
      const answers = await store.put([
        batch(3, 5, value("stale", 4, { n: "1" })),
        { ...batch(null, 7, value("fresh", 6, { n: "1" })), partition: 1 },
      ]);
      assert.deepEqual(answers, [4, 7]);
      assert.equal(await fieldsOf(store, "stale"), null);
      assert.deepEqual(await fieldsOf(store, "fresh"), { n: "1" });
      assert.deepEqual(await store.put([]), []);
    },
  ],
  [
    "keys and fields hold any text",
    async ({ store, other }) => {
      const values = odd.map((text, i) => value(text, i, { text, empty: "", n: "NaN" }));
      await store.put([batch(null, odd.length, ...values)]);
      for (const text of odd) assert.deepEqual(await fieldsOf(other(), text), { text, empty: "", n: "NaN" });
    },
  ],
  [
    "an entity may have a thousand fields, and a batch as many entities",
    async ({ store }) => {
      const wide = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`field_${i}`, `value ${i}`]));
      const narrow = Array.from({ length: 999 }, (_, i) => value(`n${i}`, i, { n: String(i) }));
      await store.put([batch(null, 1000, value("wide", 999, wide), ...narrow)]);
      assert.deepEqual(await fieldsOf(store, "wide"), wide);
      assert.deepEqual(await fieldsOf(store, "n998"), { n: "998" });
    },
  ],
];

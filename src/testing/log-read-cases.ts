import assert from "node:assert/strict";
import type { Cursor, Log } from "../log/log.ts";
import { nextBatch } from "../log/record-at.ts";
import { append, assertAscending, at, type Case, offsetsOf, rejectsWith, valuesOf } from "./log-case.ts";
import { eventually, type FoundRecord, type PlainRecord, readRecords, readVisible } from "./log-records.ts";

/** The first records of partition 0, once they have come. */
async function recordsOf(log: Log, topic: string, count: number): Promise<FoundRecord[]> {
  const cursor = await log.openCursor(topic, 0, 0n, "durable");
  const found = await readRecords(log, cursor, count);
  cursor.close();
  assert.equal(found.length, count);
  return found;
}

const positionCases: readonly Case[] = [
  [
    "offsets of a partition begin at 0 and ascend, as they were told, whatever the other partitions do",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 2 });
      assert.equal(await append(log, name, 0, [at(1), at(2)]), 0n);
      assert.equal(await append(log, name, 1, [at(3)]), 0n);
      const third = await append(log, name, 0, [at(4)]);
      const found = await recordsOf(log, name, 3);
      assert.deepEqual(valuesOf(found), ["v1", "v2", "v4"]);
      assert.deepEqual(offsetsOf(found), [0n, 1n, third]);
      assertAscending(offsetsOf(found), contiguousOffsets);
    },
  ],
  [
    "a seek into the middle of a batch returns the batch cut",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      await append(log, name, 0, [at(0), at(1), at(2), at(3)]);
      await append(log, name, 0, [at(4), at(5)]);
      const all = await recordsOf(log, name, 6);
      assertAscending(offsetsOf(all), contiguousOffsets);
      const end = await log.endOffset(name, 0, "durable");
      // Also from every offset that is left out: the next record is the first after it.
      for (let from = 0n; from <= end; from++) {
        const expected = all.filter(({ offset }) => offset >= from);
        const cursor = await log.openCursor(name, 0, from, "durable");
        const first = expected[0]?.offset ?? end;
        assert.ok(cursor.position >= from && cursor.position <= first, `position ${cursor.position} from ${from}`);
        const found = await readRecords(log, cursor, expected.length);
        assert.deepEqual(valuesOf(found), valuesOf(expected), `from ${from}`);
        assert.deepEqual(offsetsOf(found), offsetsOf(expected));
        const next = expected.length === 0 ? from : (all[5]?.offset ?? 0n) + 1n;
        assert.ok(cursor.position >= next && cursor.position <= end, `position ${cursor.position} of ${end}`);
        cursor.close();
      }
    },
  ],
  [
    "a cursor is caught up when everything visible was returned, and goes on when more comes",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const cursor = await log.openCursor(name, 0, 0n, "durable");
      assert.equal(await nextBatch(cursor), undefined);
      assert.equal(cursor.caughtUp(), true);
      await append(log, name, 0, [at(1)]);
      await eventually(
        log,
        () => !cursor.caughtUp(),
        () => "the cursor never saw the append",
      );
      assert.deepEqual(valuesOf(await readRecords(log, cursor, 1)), ["v1"]);
      assert.equal(await nextBatch(cursor), undefined);
      assert.equal(cursor.caughtUp(), true);
      await append(log, name, 0, [at(2)]);
      assert.deepEqual(valuesOf(await readRecords(log, cursor, 1)), ["v2"]);
    },
  ],
  [
    "cursors of one partition each see all of it, also while all of them wait for more",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const cursors: Cursor[] = [];
      for (let i = 0; i < 3; i++) cursors.push(await log.openCursor(name, 0, 0n, "durable"));
      for (let i = 1; i <= 20; i++) {
        await append(log, name, 0, [at(i)]);
        for (const cursor of cursors) assert.deepEqual(valuesOf(await readRecords(log, cursor, 1)), [`v${i}`]);
      }
    },
  ],
  [
    "start and end offsets bound what is held",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      assert.equal(await log.startOffset(name, 0), 0n);
      assert.equal(await log.endOffset(name, 0, "durable"), 0n);
      await append(log, name, 0, [at(1), at(2), at(3)]);
      const end = () => log.endOffset(name, 0, "durable");
      await eventually(
        log,
        async () => (await end()) >= 3n,
        async () => `the end is ${await end()}, not 3`,
      );
      if (contiguousOffsets) assert.equal(await end(), 3n);
      const written = await log.endOffset(name, 0, "written");
      assert.ok(written >= (await end()), `the end is ${await end()} and, with what is not durable, ${written}`);
      assert.equal(await log.startOffset(name, 0), 0n);
      for (const { offset } of await recordsOf(log, name, 3)) assert.ok(offset < (await end()));
      await rejectsWith("KAPPA_LOG_TRUNCATED", log.openCursor(name, 0, written + 1n, "durable"));
    },
  ],
  [
    "a reader that knows the end offset gets every record before it, without waiting for more to be appended",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      for (let i = 0; i < 3; i++) await append(log, name, 0, [at(2 * i), at(2 * i + 1)]);
      const last = (await recordsOf(log, name, 6))[5]?.offset ?? 0n;
      const end = await log.endOffset(name, 0, "durable");
      const cursor = await log.openCursor(name, 0, 0n, "durable");
      let count = 0;
      while (cursor.position < end) {
        const batch = await nextBatch(cursor);
        if (batch === undefined) break;
        count += batch.count;
      }
      assert.equal(count, 6);
      assert.equal(await nextBatch(cursor), undefined);
      assert.ok(
        cursor.position > last && cursor.position <= cursor.end,
        `position ${cursor.position} of ${cursor.end}`,
      );
      assert.equal(cursor.end, end, "the end that the cursor has heard of");
      // Nothing is to come: it resolves all the same.
      await cursor.arrival(5);
      cursor.close();
    },
  ],
];

const contentCases: readonly Case[] = [
  [
    "records come back as they went in: null is not empty, headers keep their order, times may be negative",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const records: PlainRecord[] = [
        { timestamp: 0, key: null, value: null },
        { timestamp: -1, key: "", value: "" },
        { timestamp: 2 ** 45 + 1, key: "ключ", value: "värde", headers: { b: "2", a: "", traceparent: "00-é" } },
        { timestamp: 1, key: null, value: "v" },
        { timestamp: 1, key: "k", value: null, headers: { tombstone: "yes" } },
      ];
      await append(log, name, 0, records);
      const found = await recordsOf(log, name, records.length);
      assert.deepEqual(
        found.map(({ offset: _, ...record }) => record),
        records,
      );
    },
  ],
  [
    "offsetForTime finds the first record at or after a time, also when times run out of order",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      await append(log, name, 0, [at(10), at(30), at(20)]);
      await append(log, name, 0, [at(15)]);
      await append(log, name, 0, [at(40), at(50)]);
      const all = await recordsOf(log, name, 6);
      const end = await log.endOffset(name, 0, "durable");
      const expected = [
        [0, 0],
        [10, 0],
        [11, 1],
        [30, 1],
        [31, 4],
        [41, 5],
        [50, 5],
        [51, 6],
      ] as const;
      for (const [timeMs, index] of expected) {
        const found = await log.offsetForTime(name, 0, timeMs);
        const offset = all[index]?.offset ?? end;
        const before = all[index - 1]?.offset ?? -1n;
        // An offset that is left out is as good, when that record is the next one.
        assert.ok(
          contiguousOffsets ? found === offset : found > before && found <= offset,
          `${timeMs}: ${found}, not ${offset}`,
        );
      }
    },
  ],
  [
    "trimTo keeps every record from the offset on",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      for (let i = 0; i < 6; i++) await append(log, name, 0, [at(2 * i), at(2 * i + 1)]);
      const from = (await recordsOf(log, name, 12))[5]?.offset ?? 0n;
      await log.trimTo(name, 0, from);
      const start = await log.startOffset(name, 0);
      assert.ok(start <= from, `start ${start}, trimmed to ${from}`);
      const found = await readRecords(log, await log.openCursor(name, 0, from, "durable"), 7);
      assert.deepEqual(valuesOf(found), ["v5", "v6", "v7", "v8", "v9", "v10", "v11"]);
    },
  ],
  [
    "changed() resolves on an append, at once for one that nobody waited for, and after its timeout",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const cursor = await log.openCursor(name, 0, 0n, "durable");
      const forever = 2 ** 30;
      const come = async (): Promise<FoundRecord[]> => {
        const found: FoundRecord[] = [];
        for (;;) {
          await log.changed(forever);
          if (readVisible(cursor, found).length > 0) return found;
        }
      };
      const appended = append(log, name, 0, [at(1)]);
      assert.deepEqual(valuesOf(await come()), ["v1"]);
      await appended;
      await append(log, name, 0, [at(2)]);
      assert.deepEqual(valuesOf(await come()), ["v2"]);
      await log.changed(1);
      await log.changed(1);
    },
  ],
];

/** Rules of reading. */
export const readCases: readonly Case[] = [...positionCases, ...contentCases];

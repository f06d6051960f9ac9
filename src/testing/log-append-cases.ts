import assert from "node:assert/strict";
import type { Log } from "../log/log.ts";
import { transactionBytesMax } from "../log/transaction.ts";
import { append, assertAscending, at, type Case, offsetsOf, rejectsWith, valuesOf } from "./log-case.ts";
import { eventually, type FoundRecord, readRecords, readVisible, sectionOf } from "./log-records.ts";

/** The first records of a partition, once they have come, and what has come with them. */
async function recordsOf(log: Log, topic: string, partition: number, count: number): Promise<FoundRecord[]> {
  const cursor = await log.openCursor(topic, partition, 0n, "durable");
  const found = await readRecords(log, cursor, count);
  cursor.close();
  return found;
}

const transactionCases: readonly Case[] = [
  [
    "a transaction over several topics becomes visible whole, one that fails not at all",
    async ({ log, named }) => {
      const [a, b] = [named("a"), named("b")];
      await log.createTopic(a, { partitions: 2 });
      await log.createTopic(b, { partitions: 1 });
      const writer = await log.openWriter(named("task-0"));
      const { baseOffsets } = await writer.append([
        sectionOf(a, 1, [at(1), at(2)]),
        sectionOf(b, 0, [at(3)]),
        sectionOf(a, 0, [at(4)]),
        sectionOf(a, 1, [at(5)]),
      ]);
      assert.deepEqual(baseOffsets, [0n, 0n, 0n, 2n]);
      const failing = writer.append([sectionOf(a, 0, [at(6)]), sectionOf(named("nowhere"), 0, [at(7)])]);
      await rejectsWith("KAPPA_TOPIC_UNKNOWN", failing);
      await append(log, a, 0, [at(8)]);
      assert.deepEqual(valuesOf(await recordsOf(log, a, 0, 2)), ["v4", "v8"]);
      const whole = await recordsOf(log, a, 1, 3);
      assert.deepEqual(valuesOf(whole), ["v1", "v2", "v5"]);
      assert.deepEqual(offsetsOf(whole), [0n, 1n, 2n]);
      assert.deepEqual(valuesOf(await recordsOf(log, b, 0, 1)), ["v3"]);
    },
  ],
  [
    "a transaction beyond the limit is refused and leaves its writer usable",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const writer = await log.openWriter(named("task-0"));
      const huge = { ...sectionOf(name, 0, [at(1)]), bytes: Buffer.alloc(transactionBytesMax + 1) };
      await rejectsWith("KAPPA_TRANSACTION_TOO_LARGE", writer.append([huge]));
      assert.deepEqual((await writer.append([sectionOf(name, 0, [at(2)])])).baseOffsets, [0n]);
    },
  ],
];

const writerCases: readonly Case[] = [
  [
    "appends of a writer keep their order while other writers append",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const [writers, appends] = [4, 25];
      const offsets = await Promise.all(
        Array.from({ length: writers }, async (_, w) => {
          const writer = await log.openWriter(named(`writer-${w}`));
          const all = Array.from({ length: appends }, (_, i) =>
            writer.append([sectionOf(name, 0, [{ timestamp: i, key: `${w}`, value: `${i}` }])]),
          );
          return (await Promise.all(all)).flatMap((appended) => appended.baseOffsets);
        }),
      );
      const found = await recordsOf(log, name, 0, writers * appends);
      assert.equal(found[0]?.offset, 0n);
      assertAscending(offsetsOf(found), contiguousOffsets);
      const expected = Array.from({ length: appends }, (_, i) => `${i}`);
      for (let w = 0; w < writers; w++) {
        const own = found.filter(({ key }) => key === `${w}`);
        assert.deepEqual(valuesOf(own), expected, `writer ${w}`);
        assert.deepEqual(offsetsOf(own), offsets[w], `offsets told to writer ${w}`);
      }
    },
  ],
  [
    "a new writer of an id fences the old one for good, and only that id",
    async ({ log, named }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const [old, other] = [await log.openWriter(named("task-0")), await log.openWriter(named("task-1"))];
      await old.append([sectionOf(name, 0, [at(1)])]);
      const young = await log.openWriter(named("task-0"));
      const first = await rejectsWith("KAPPA_TASK_FENCED", old.append([sectionOf(name, 0, [at(2)])]));
      await young.append([sectionOf(name, 0, [at(3)])]);
      assert.equal(await rejectsWith("KAPPA_TASK_FENCED", old.append([sectionOf(name, 0, [at(4)])])), first);
      await other.append([sectionOf(name, 0, [at(5)])]);
      assert.deepEqual(valuesOf(await recordsOf(log, name, 0, 3)), ["v1", "v3", "v5"]);
    },
  ],
  [
    "a new writer sees what its predecessor left behind settled",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const old = await log.openWriter(named("task-0"));
      const outcomes = Array.from({ length: 10 }, (_, i) =>
        old.append([sectionOf(name, 0, [at(i)])]).then(
          () => true,
          () => false,
        ),
      );
      const young = await log.openWriter(named("task-0"));
      const end = await log.endOffset(name, 0, "written");
      const [own] = (await young.append([sectionOf(name, 0, [at(100)])])).baseOffsets;
      const succeeded = (await Promise.all(outcomes)).filter(Boolean).length;
      const found: FoundRecord[] = [];
      const cursor = await log.openCursor(name, 0, 0n, "durable");
      await eventually(
        log,
        () => readVisible(cursor, found).some(({ value }) => value === "v100"),
        () => `the new writer's record is not among ${found.length}`,
      );
      const left = found.slice(0, -1);
      assert.equal(found.at(-1)?.value, "v100", "nothing of the old writer comes after the new one's");
      assert.equal(found.at(-1)?.offset, own);
      assert.deepEqual(
        valuesOf(left),
        left.map((_, i) => `v${i}`),
      );
      // Over a network a transaction may be whole though its answer was lost.
      assert.ok(contiguousOffsets ? left.length === succeeded : left.length >= succeeded, `${succeeded} succeeded`);
      for (const { offset } of left) assert.ok(offset < end, `${offset} was not there yet, the end was ${end}`);
    },
  ],
  [
    "close() settles what is under way and refuses what comes after",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      const writer = await log.openWriter(named("task-0"));
      const underWay = [writer.append([sectionOf(name, 0, [at(1)])]), writer.append([sectionOf(name, 0, [at(2)])])];
      await log.close();
      const told = (await Promise.all(underWay)).flatMap(({ baseOffsets }) => baseOffsets);
      assert.equal(told[0], 0n);
      assert.equal(told.length, 2);
      assertAscending(told, contiguousOffsets);
      await rejectsWith("KAPPA_LOG_CLOSED", writer.append([sectionOf(name, 0, [at(3)])]));
    },
  ],
];

/** Rules of appending. */
export const appendCases: readonly Case[] = [...transactionCases, ...writerCases];

/** @param bytes of the record that is large */
export const largeRecordCase = (bytes: number): Case => [
  `a record of ${bytes} bytes comes back whole, among small ones`,
  async ({ log, named }) => {
    const name = named("orders");
    await log.createTopic(name, { partitions: 1 });
    const large = "0123456789abcdef".repeat(bytes / 16);
    await append(log, name, 0, [at(1), at(2, large), at(3)]);
    await append(log, name, 0, [at(4)]);
    const found = await recordsOf(log, name, 0, 4);
    assert.ok(found[1]?.value === large, "the large value differs");
    assert.deepEqual(valuesOf(found).toSpliced(1, 1), ["v1", "v3", "v4"]);
  },
];

/** Rules of a log that is opened again. */
export const reopenCases: readonly Case[] = [
  [
    "everything is there after a reopen, and offsets go on where they were",
    async ({ log, under, named, contiguousOffsets }) => {
      assert.ok(under.reopen !== undefined, "the adapter claims the capability reopen");
      const [a, b] = [named("a"), named("b")];
      await log.createTopic(a, { partitions: 2, retentionMs: 86_400_000 });
      await log.createTopic(b, { partitions: 1 });
      await append(log, a, 1, [at(1), at(2)]);
      const again = await under.reopen();
      assert.deepEqual(await again.topic(a), { name: a, partitions: 2, retentionMs: 86_400_000, retentionBytes: -1 });
      const third = await append(again, a, 1, [at(3)]);
      assert.equal(await append(again, b, 0, [at(4)]), 0n);
      const found = await recordsOf(again, a, 1, 3);
      assert.deepEqual(valuesOf(found), ["v1", "v2", "v3"]);
      assert.deepEqual(offsetsOf(found), [0n, 1n, third]);
      assertAscending(offsetsOf(found), contiguousOffsets);
      assert.deepEqual(valuesOf(await recordsOf(again, b, 0, 1)), ["v4"]);
    },
  ],
];

/** Rules of a log whose transactions can be seen before they are durable. */
export const durabilityCases: readonly Case[] = [
  [
    "what is written but not durable shows to written readers only, and is not acknowledged",
    async ({ log, under, named }) => {
      assert.ok(under.holdDurability !== undefined, "the adapter claims the capability holdDurability");
      const name = named("orders");
      await log.createTopic(name, { partitions: 1 });
      await append(log, name, 0, [at(1)]);
      const writer = await log.openWriter(named("task-0"));
      const release = under.holdDurability();
      let acknowledged = false;
      const appended = writer.append([sectionOf(name, 0, [at(2)])]).then(() => {
        acknowledged = true;
      });
      const written = await log.openCursor(name, 0, 0n, "written");
      const durable = await log.openCursor(name, 0, 0n, "durable");
      assert.deepEqual(valuesOf(await readRecords(log, written, 2)), ["v1", "v2"]);
      await log.changed(20);
      assert.deepEqual(valuesOf(readVisible(durable)), ["v1"]);
      assert.equal(durable.caughtUp(), true);
      assert.deepEqual([written.end, durable.end], [2n, 1n]);
      assert.equal(await log.endOffset(name, 0, "written"), 2n);
      assert.equal(await log.endOffset(name, 0, "durable"), 1n);
      assert.equal(await log.offsetForTime(name, 0, 2), 1n, "offsetForTime speaks of durable records");
      assert.equal(acknowledged, false);
      release();
      await appended;
      assert.deepEqual(valuesOf(await readRecords(log, durable, 1)), ["v2"]);
    },
  ],
];

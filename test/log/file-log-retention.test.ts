import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { type OwnedFileLog, openFileLog } from "../../src/log/file-log.ts";
import type { TopicConfig } from "../../src/log/log.ts";
import { eventually, readVisible, sectionOf } from "../../src/testing/log-records.ts";
import { removeDirectory, temporaryDirectory } from "./temporary-directory.ts";

let nowMs = 0;
const clock = { ...systemClock, now: () => nowMs };

/** Appends `count` records of about 300 bytes, one transaction and one second of wall-clock time each. */
async function append(log: OwnedFileLog, topic: string, count: number): Promise<void> {
  const writer = await log.openWriter(topic);
  for (let i = 0; i < count; i++) {
    nowMs += 1000;
    await writer.append([sectionOf(topic, 0, [{ timestamp: i, key: null, value: "x".repeat(300) }])]);
  }
}

async function withLog(run: (log: OwnedFileLog, directory: string) => Promise<void>): Promise<void> {
  const directory = temporaryDirectory();
  nowMs = 1_000_000;
  const log = await openFileLog({ directory, segmentBytes: 2048, clock });
  await run(log, directory);
  await log.close();
  removeDirectory(directory);
}

const create = (log: OwnedFileLog, topic: string, config: Partial<TopicConfig>) =>
  log.createTopic(topic, { partitions: 1, ...config });

const segmentCount = (directory: string) => readdirSync(directory).filter((name) => name.endsWith(".log")).length;

test("records stay for their retention time, and whole segments go after it", () =>
  withLog(async (log, directory) => {
    await create(log, "short", { retentionMs: 20_000 });
    await append(log, "short", 60);
    const startNow = async () => Number(await log.startOffset("short", 0));
    await eventually(
      log,
      async () => (await startNow()) > 25,
      async () => `start ${await startNow()}`,
    );
    const start = await startNow();
    assert.ok(start <= 40, `record 40 is 20 s old and must be there, the start is ${start}`);
    assert.ok(segmentCount(directory) < 10, `${segmentCount(directory)} segments`);
    await assert.rejects(log.openCursor("short", 0, 0n, "durable"), { code: "KAPPA_LOG_TRUNCATED" });
    const found = readVisible(await log.openCursor("short", 0, BigInt(start), "durable"));
    assert.equal(found.length, 60 - start);
  }));

test("a topic of limited size keeps at least that size", () =>
  withLog(async (log) => {
    await create(log, "small", { retentionBytes: 3000 });
    await append(log, "small", 60);
    await eventually(
      log,
      async () => (await log.startOffset("small", 0)) > 30n,
      async () => `start ${await log.startOffset("small", 0)}`,
    );
    const found = readVisible(await log.openCursor("small", 0, await log.startOffset("small", 0), "durable"));
    assert.ok(found.length * 300 >= 3000, `${found.length} records`);
  }));

test("a topic that is kept for ever keeps the segments it is in", () =>
  withLog(async (log) => {
    await create(log, "forever", {});
    await create(log, "short", { retentionMs: 1000 });
    await append(log, "forever", 1);
    await append(log, "short", 30);
    await log.changed(20);
    assert.equal(await log.startOffset("forever", 0), 0n);
    assert.equal(await log.startOffset("short", 0), 0n);
  }));

test("what its owner trims goes, while a cursor that stands in it is told", () =>
  withLog(async (log, directory) => {
    await create(log, "internal", {});
    await append(log, "internal", 40);
    const before = segmentCount(directory);
    const cursor = await log.openCursor("internal", 0, 0n, "durable");
    await log.trimTo("internal", 0, 30n);
    await eventually(
      log,
      async () => (await log.startOffset("internal", 0)) > 20n,
      async () => `start ${await log.startOffset("internal", 0)}`,
    );
    await eventually(
      log,
      () => segmentCount(directory) < before - 5,
      () => `${segmentCount(directory)} segments`,
    );
    assert.ok((await log.startOffset("internal", 0)) <= 30n);
    assert.throws(
      () => {
        while (cursor.next() !== undefined);
      },
      { code: "KAPPA_LOG_TRUNCATED" },
    );
    const from = await log.startOffset("internal", 0);
    assert.equal(readVisible(await log.openCursor("internal", 0, from, "durable")).length, 40 - Number(from));
  }));

test("a log whose first segments are gone opens again, with all topics and offsets", async () => {
  const directory = temporaryDirectory();
  nowMs = 1_000_000;
  const log = await openFileLog({ directory, segmentBytes: 2048, clock });
  await create(log, "internal", {});
  await create(log, "idle", { retentionMs: 5 });
  await append(log, "internal", 40);
  await log.trimTo("internal", 0, 30n);
  await eventually(
    log,
    async () => (await log.startOffset("internal", 0)) > 20n,
    async () => `start ${await log.startOffset("internal", 0)}`,
  );
  const start = await log.startOffset("internal", 0);
  await log.close();
  const again = await openFileLog({ directory, segmentBytes: 2048, clock });
  const startAgain = await again.startOffset("internal", 0);
  assert.ok(start <= startAgain && startAgain <= 30n, `${start}, then ${startAgain}`);
  assert.equal(await again.endOffset("internal", 0, "durable"), 40n);
  assert.equal((await again.topic("idle"))?.retentionMs, 5);
  await append(again, "internal", 1);
  assert.equal(await again.endOffset("internal", 0, "durable"), 41n);
  await again.close();
  removeDirectory(directory);
});

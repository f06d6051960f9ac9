import assert from "node:assert/strict";
import { test } from "vitest";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { logConformance } from "../../src/testing/log-conformance.ts";
import { readVisible, sectionOf } from "../../src/testing/log-records.ts";

logConformance({
  name: "memory log",
  test,
  capabilities: { reopen: false, holdDurability: false, contiguousOffsets: true },
  open: async () => {
    const log = new MemoryLog();
    return { log, dispose: () => log.close() };
  },
});

logConformance({
  name: "memory log, durability by hand",
  test,
  capabilities: { reopen: false, holdDurability: true, contiguousOffsets: true },
  open: async () => {
    const log = new MemoryLog({ manualDurability: true });
    let held = false;
    const syncing = setInterval(() => {
      if (!held) log.sync();
    }, 1);
    return {
      log,
      holdDurability: () => {
        held = true;
        return () => {
          held = false;
        };
      },
      dispose: () => {
        clearInterval(syncing);
        return log.close();
      },
    };
  },
});

test("a power cut takes back what was not durable, and its writers", async () => {
  const log = new MemoryLog({ manualDurability: true });
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("task-0");
  const record = (value: string) => sectionOf("orders", 0, [{ timestamp: 1, key: "k", value }]);
  const kept = writer.append([record("kept")]);
  log.sync();
  await kept;
  const lost = writer.append([record("lost")]);
  assert.equal(await log.endOffset("orders", 0, "written"), 2n);
  log.powerCut();
  await assert.rejects(lost, /power was cut/);
  await assert.rejects(writer.append([record("after")]), /power was cut/);
  const found = readVisible(await log.openCursor("orders", 0, 0n, "written"));
  assert.deepEqual(
    found.map(({ value }) => value),
    ["kept"],
  );
  await assert.rejects(log.openCursor("orders", 0, 2n, "written"), /not held/);
});

test("a cursor behind the start of a trimmed partition is told so", async () => {
  const log = new MemoryLog();
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("task-0");
  const behind = await log.openCursor("orders", 0, 0n, "durable");
  const ahead = await log.openCursor("orders", 0, 0n, "durable");
  for (let i = 0; i < 3; i++)
    await writer.append([sectionOf("orders", 0, [{ timestamp: i, key: null, value: `${i}` }])]);
  ahead.next();
  ahead.next();
  await log.trimTo("orders", 0, 2n);
  assert.equal(await log.startOffset("orders", 0), 2n);
  assert.throws(() => behind.next(), { code: "KAPPA_LOG_TRUNCATED" });
  assert.equal(ahead.next()?.baseOffset, 2n);
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { DedupStore } from "../../src/state/dedup-store.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";

/** Two stores of ids whose time has come, on disk; and which stores are compacted. */
async function expired(fails: boolean) {
  const compacted: number[] = [];
  class CompactingBackend extends MemoryBackend {
    override compact(from?: Buffer): Promise<void> {
      if (fails) return Promise.reject(new Error("the disk is gone"));
      compacted.push(from?.[0] ?? -1);
      return Promise.resolve();
    }
  }
  const backend = new CompactingBackend();
  const database = await StateDatabase.open({ backend, cacheBytes: 1 << 20 });
  const stores = ["a", "b"].map((name) => new DedupStore(database, { name, ttlMs: 100 }));
  const flush = async (): Promise<void> => {
    database.takeChangelog();
    await database.beginFlush(Buffer.alloc(1)).write();
  };
  for (const store of stores) for (let i = 0; i < 90; i++) store.seen(`id-${i}`, i, i);
  await flush();
  for (const store of stores) store.seen("new", 1000, 1000);
  await flush();
  return { database, flush, compacted };
}

test("the space of every store is given back, though both passes end before the next flush", async () => {
  const { database, flush, compacted } = await expired(false);
  let deleted = 0;
  for (let i = 0; i < 20 && database.sweepDue(false); i++) deleted += await database.sweep(50);
  assert.equal(deleted, 180);
  assert.equal(database.sweepDue(false), false, "until a flush there is nothing to do");
  await flush();
  for (let i = 0; i < 20 && database.sweepDue(false); i++) {
    await database.sweep(50);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(compacted.sort(), [1, 2]);
  await database.close();
});

test("a busy task looks again only when a sixteenth of the retention has passed", async () => {
  const { database } = await expired(false);
  for (let i = 0; i < 20 && database.sweepDue(false); i++) await database.sweep(50);
  const later = new DedupStore(database, { name: "c", ttlMs: 100 });
  later.seen("x", 1000, 1000);
  for (let i = 0; i < 20 && database.sweepDue(false); i++) await database.sweep(50);
  later.seen("y", 1005, 1005);
  assert.deepEqual([database.sweepDue(true), database.sweepDue(false)], [false, true]);
  later.seen("z", 1007, 1007);
  assert.equal(database.sweepDue(true), true);
});

test("a compaction that fails is told by the next sweep, which is due", async () => {
  const { database, flush } = await expired(true);
  for (let i = 0; i < 20 && database.sweepDue(false); i++) await database.sweep(50);
  await flush();
  await database.sweep(50);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(database.sweepDue(true), true);
  await assert.rejects(database.sweep(50), /the disk is gone/);
});

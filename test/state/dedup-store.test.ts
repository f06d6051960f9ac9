import assert from "node:assert/strict";
import { test } from "vitest";
import { DedupStore } from "../../src/state/dedup-store.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";

async function opened(backend = new MemoryBackend(), cacheBytes = 1 << 20) {
  const database = await StateDatabase.open({ backend, cacheBytes });
  const dedup = new DedupStore(database, { name: "ids", ttlMs: 100 });
  return { database, seen: (id: string | number, timeMs: number) => dedup.seen(id, timeMs, timeMs) };
}

test("an id passes once within its time to live, which the repetitions do not prolong", async () => {
  const { seen } = await opened();
  const answers = [0, 50, 99, 100, 199, 200].map((timeMs) => seen("a", timeMs));
  assert.deepEqual(answers, [false, true, true, false, true, false]);
});

test("a number and its text are different ids", async () => {
  const { seen } = await opened();
  assert.deepEqual([seen(7, 0), seen("7", 0), seen(7, 1), seen("7", 1)], [false, false, true, true]);
});

test("a row that comes out of order is judged by the order, not by its own time", async () => {
  const database = await StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 });
  const dedup = new DedupStore(database, { name: "ids", ttlMs: 100 });
  assert.equal(dedup.seen("a", 40, 500), false);
  assert.equal(dedup.seen("a", 10, 599), true);
  assert.equal(dedup.seen("a", 10, 600), false);
});

test("ids outlive flushes, evictions, sweeps and restores", async () => {
  const backend = new MemoryBackend();
  let { database, seen } = await opened(backend, 6000);
  const changes: Buffer[] = [];
  for (let i = 0; i < 200; i++) {
    assert.equal(seen(`id-${i}`, i), false);
    if (i % 20 !== 19) continue;
    changes.push(database.takeChangelog());
    await database.beginFlush(Buffer.alloc(1)).write();
    assert.ok(database.cachedBytes <= 6200, `${database.cachedBytes} bytes are in memory, limit 6000 and the newest`);
    await database.sweep(50);
  }
  changes.push(database.takeChangelog());
  const restored = await opened();
  for (const each of changes) restored.database.applyChangelog(each);
  ({ database, seen } = await opened(backend, 6000));
  for (const each of [seen, restored.seen]) {
    for (let i = 199; i >= 0; i--) assert.equal(each(`id-${i}`, 200), i > 100, `id-${i}`);
  }
});

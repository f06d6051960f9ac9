import assert from "node:assert/strict";
import { test } from "vitest";
import type { Aggregate } from "../../src/state/aggregate.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import type { KeyWindow } from "../../src/state/window.ts";
import { WindowStore } from "../../src/state/window-store.ts";

const hourMs = 3_600_000;
const hour: KeyWindow = { kind: "tumbling", sizeMs: hourMs, graceMs: 0 };
const noTexts: readonly string[] = [];

async function opened(window: KeyWindow, aggregate: Aggregate, backend = new MemoryBackend(), cacheBytes = 1 << 24) {
  const database = await StateDatabase.open({ backend, cacheBytes });
  const columns = [{ name: "amount", type: "number", nullable: false }] as const;
  const store = new WindowStore(database, { name: "w", columns, window, aggregates: [{ name: "a", aggregate }] });
  const add = (key: string, timeMs: number, amount = 1) =>
    store.update(key, timeMs, timeMs, Float64Array.of(amount), noTexts);
  return { database, store, add };
}

async function flush(database: StateDatabase): Promise<number> {
  const bytes = database.takeChangelog().length;
  await database.beginFlush(Buffer.alloc(1)).write();
  return bytes;
}

test("a large window costs the changelog its new events; it is written whole when they weigh as much", async () => {
  const { database, add } = await opened(hour, { kind: "distinct", column: "amount" });
  const sizes: number[] = [];
  for (let commit = 0; commit < 200; commit++) {
    for (let i = 0; i < 100; i++) add("k", commit * 100 + i, commit * 100 + i);
    sizes.push(database.takeChangelog().length);
  }
  const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
  const events = 20_000 * 29; // key 4, event time 8, order time 8, late 1, amount 8
  assert.ok(total < 2 * events, `${total} bytes of changelog for ${events} bytes of events`);
  const median = sizes.sort((a, b) => a - b)[100] as number;
  assert.ok(median < 100 * 29 + 60, `a commit of 100 events has ${median} bytes`);
});

test("a window that opens and closes between two commits leaves only its closing in the changelog", async () => {
  const { database, store, add } = await opened(hour, { kind: "count" });
  add("k", 5);
  store.closeUpTo(hourMs, null);
  assert.ok(database.takeChangelog().length < 50);
});

test("more windows than memory holds close in order of key, and memory stays within its bound", async () => {
  const cacheBytes = 1 << 20;
  const backend = new MemoryBackend();
  let { database, store, add } = await opened(hour, { kind: "sum", column: "amount" }, backend, cacheBytes);
  const keyCount = 20_000;
  for (let i = 0; i < keyCount; i++) {
    add(`k${(i * 7919) % keyCount}`, i, i);
    if (database.flushWanted) await flush(database);
    assert.ok(
      database.cachedBytes < cacheBytes * 1.1,
      `${database.cachedBytes} bytes are in memory, limit ${cacheBytes}`,
    );
  }
  await flush(database);
  ({ database, store, add } = await opened(hour, { kind: "sum", column: "amount" }, backend, cacheBytes));
  add("k0", keyCount, 1);
  assert.ok(store.nextCloseMs <= hourMs);
  const closed: string[] = [];
  store.closeUpTo(hourMs - 1, ({ key }) => closed.push(key as string));
  assert.equal(closed.length, 0);
  let sum = 0;
  store.closeUpTo(hourMs, ({ key, results }) => {
    closed.push(key as string);
    sum += results[0] as number;
  });
  const keys = Array.from({ length: keyCount }, (_, i) => `k${i}`).sort();
  assert.deepEqual(closed, keys);
  assert.equal(sum, (keyCount * (keyCount - 1)) / 2 + 1);
  await flush(database);
  assert.equal(await database.count("w"), 0);
});

test("a store refuses another window under its name", async () => {
  const backend = new MemoryBackend();
  const { database, add } = await opened(hour, { kind: "count" }, backend);
  add("k", 1);
  await flush(database);
  const other: KeyWindow = { kind: "tumbling", sizeMs: 2 * hourMs, graceMs: 0 };
  await assert.rejects(opened(other, { kind: "count" }, backend), { code: "KAPPA_STATE_INCOMPATIBLE" });
});

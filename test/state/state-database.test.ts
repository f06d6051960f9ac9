import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";
import { days, hours } from "../../src/core/time.ts";
import { LevelBackend } from "../../src/state/level-backend.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { Reservoir } from "../../src/state/reservoir.ts";
import type { ReservoirFeature, ReservoirOptions } from "../../src/state/reservoir-plan.ts";
import type { StateBackend } from "../../src/state/state-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import type { StateKey } from "../../src/state/state-key.ts";
import type { EventWindow } from "../../src/state/window.ts";

const day: EventWindow = { kind: "sliding", sizeMs: days(1), delayMs: 0, closed: "right", excludeCurrent: false };
const count: ReservoirFeature = { name: "count", window: 0, aggregate: { kind: "count" } };
const sum: ReservoirFeature = { name: "sum", window: 0, aggregate: { kind: "sum", column: "amount" } };

function optionsWith(changes: Partial<ReservoirOptions> = {}): ReservoirOptions {
  return {
    name: "payments",
    columns: [{ name: "amount", type: "integer", nullable: false }],
    marks: [],
    idColumn: null,
    windows: [day],
    features: [count, sum],
    graceMs: hours(1),
    ...changes,
  };
}

async function opened(backend: StateBackend, cacheBytes = 1 << 20, options = optionsWith()) {
  const database = await StateDatabase.open({ backend, cacheBytes });
  const reservoir = new Reservoir(database, options);
  const add = (key: string, timeMs: number, amount = 1): unknown[] => {
    const out: unknown[] = [];
    reservoir.observe(key, timeMs, Math.max(timeMs, reservoir.orderTimeMs), false, Float64Array.of(amount), [], out);
    return out;
  };
  const read = (key: string, asOfMs: number): unknown[] => {
    const out: unknown[] = [];
    reservoir.read(key, asOfMs, reservoir.orderTimeMs, out);
    return out;
  };
  const flush = async (position: string): Promise<void> => {
    database.takeChangelog();
    await database.beginFlush(Buffer.from(position)).write();
  };
  return { database, reservoir, add, read, flush };
}

test("keys that are written and leave memory while keys are listed are listed", async () => {
  const { database, add, flush } = await opened(new MemoryBackend(), 4000);
  add("first", 1000);
  await flush("1");
  for (let i = 0; i < 10; i++) add(`fresh-${i}`, 1000);
  const found: unknown[] = [];
  for await (const key of database.keys("payments")) {
    found.push(key);
    if (found.length > 1) continue;
    await flush("2");
    for (let i = 0; i < 100; i++) add(`later-${i}`, 1000); // more than the cache holds
  }
  const listed = new Set(found);
  for (let i = 0; i < 10; i++) assert.ok(listed.has(`fresh-${i}`), `fresh-${i}`);
  assert.equal(listed.size, found.length);
});

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "kappa-state-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function entriesOf(backend: StateBackend, store: number): Promise<number> {
  let entries = 0;
  for await (const _ of backend.entries(Buffer.from([store]), Buffer.from([store + 1]))) entries++;
  return entries;
}

test("what is on disk is the state at the position of the last written flush", async () => {
  const path = await directory();
  const first = await opened(await LevelBackend.open({ path }));
  assert.equal(first.database.position, null);
  first.add("a", 1000, 5);
  await first.flush("one");
  first.add("a", 2000, 7);
  first.database.takeChangelog();
  first.database.beginFlush(Buffer.from("two")); // begun, and never written
  await first.database.close();

  const second = await opened(await LevelBackend.open({ path }));
  assert.equal(second.database.position?.toString(), "one");
  assert.deepEqual(second.read("a", 2000), [1, 5]);
  assert.equal(second.reservoir.orderTimeMs, 1000);
  await second.database.close();
});

test("a change after a flush began belongs to the next one", async () => {
  const backend = new MemoryBackend();
  const first = await opened(backend);
  first.add("a", 1000, 5);
  first.database.takeChangelog();
  const pending = first.database.beginFlush(Buffer.from("one"));
  first.add("a", 2000, 7);
  assert.throws(() => first.database.beginFlush(Buffer.from("two")), /began before/);
  await pending.write();
  assert.equal(first.database.dirty, true);
  assert.deepEqual((await opened(backend)).read("a", 2000), [1, 5]);
  await first.flush("two");
  assert.deepEqual((await opened(backend)).read("a", 2000), [2, 12]);
});

test("a flush does not begin with changes that no changelog has", async () => {
  const { database, add } = await opened(new MemoryBackend());
  add("a", 1000);
  assert.throws(() => database.beginFlush(Buffer.alloc(0)), /in no changelog/);
});

test("a second opener of the same directory is told that it is open", async () => {
  const path = await directory();
  const backend = await LevelBackend.open({ path });
  await assert.rejects(LevelBackend.open({ path }), { code: "KAPPA_STATE_LOCKED" });
  await backend.close();
});

test("a flush that is missing among those since is found on opening", async () => {
  const backend = new MemoryBackend();
  const { add, flush } = await opened(backend);
  for (let i = 1; i <= 300; i++) {
    add("a", i);
    await flush(`${i}`);
  }
  const batch = backend.batch();
  batch.delete(Buffer.from([0, 2, 290 % 256]));
  await batch.write(true);
  await assert.rejects(opened(backend), { code: "KAPPA_STATE_CORRUPT", message: /trace of flush 290 is none/ });
});

test("a damaged value is not read", async () => {
  const backend = new MemoryBackend();
  const { add, flush } = await opened(backend);
  add("a", 1000);
  await flush("one");
  for await (const [key, value] of backend.entries(Buffer.from([1]), Buffer.from([2]))) {
    value.writeUInt8(value.readUInt8(value.length - 3) ^ 1, value.length - 3);
    const batch = backend.batch();
    batch.put(key, value);
    await batch.write(true);
  }
  const { read } = await opened(backend);
  assert.throws(() => read("a", 1000), { code: "KAPPA_STATE_CORRUPT" });
});

test("a feature that the held events answer for is computed from them; others keep their values", async () => {
  const backend = new MemoryBackend();
  const first = await opened(backend);
  for (let hour = 0; hour < 30; hour++) first.add("a", hours(hour), hour);
  await first.flush("one");
  const half: EventWindow = { ...day, sizeMs: hours(12) };
  const max: ReservoirFeature = { name: "max_12h", window: 1, aggregate: { kind: "max", column: "amount" } };
  const wider = optionsWith({ windows: [day, half], features: [count, sum, max] });
  const second = await opened(backend, 1 << 20, wider);
  assert.deepEqual(second.read("a", hours(29)), [24, 420, 29]); // 6 + 7 + ... + 29
  assert.deepEqual(second.add("a", hours(30), 1), [24, 415, 29]); // 6 left, 1 came
});

test("a definition that the stored state cannot serve is refused, each difference by name", async () => {
  const backend = new MemoryBackend();
  const { add, flush } = await opened(backend);
  add("a", 1000);
  await flush("one");
  const week: EventWindow = { ...day, sizeMs: days(7) };
  const refused = (changes: Partial<ReservoirOptions>, message: RegExp) =>
    assert.rejects(opened(backend, 1 << 20, optionsWith(changes)), { code: "KAPPA_STATE_INCOMPATIBLE", message });
  await refused({ windows: [week] }, /window 0 = .*604800000.* reaches further back/);
  await refused({ columns: [{ name: "amount", type: "number", nullable: false }] }, /"amount: integer" is gone/);
  const added = [
    { name: "amount", type: "integer", nullable: false },
    { name: "shop", type: "text", nullable: true },
  ] as const;
  await refused({ columns: added }, /column "shop: text\?" is new/);
});

test("a changelog of other columns is refused, that of a store that is no more is passed over", async () => {
  const { add, database } = await opened(new MemoryBackend());
  add("a", 1000);
  const changes = database.takeChangelog();
  const other = optionsWith({ columns: [{ name: "amount", type: "number", nullable: false }] });
  const changed = await opened(new MemoryBackend(), 1 << 20, other);
  assert.throws(() => changed.database.applyChangelog(changes), { code: "KAPPA_STATE_INCOMPATIBLE" });
  const renamed = await opened(new MemoryBackend(), 1 << 20, optionsWith({ name: "purchases" }));
  renamed.database.applyChangelog(changes);
  assert.equal(await renamed.database.count("purchases"), 0);
});

test("keys are those on disk and those in memory; what is past retention shows in neither, swept or not", async () => {
  const backend = await LevelBackend.open({ path: await directory() });
  const { database, add, flush, reservoir, read } = await opened(backend);
  for (let i = 0; i < 400; i++) add("hot", i);
  for (const key of ["a", "ab", "b"]) add(key, 1000);
  await flush("one");
  add("c", hours(20));
  const keys = async (prefix: string | null = null) => {
    const found: StateKey[] = [];
    for await (const key of database.keys("payments", prefix)) found.push(key);
    return found;
  };
  assert.deepEqual(await keys(), ["a", "ab", "b", "hot", "c"]);
  assert.deepEqual(await keys("a"), ["a", "ab"]);
  assert.ok((await entriesOf(backend, 1)) > 4, "the hot key has parts of its own");

  const later = days(1) + hours(2);
  add("b", later);
  assert.deepEqual(await keys(), ["b", "c"]);
  assert.deepEqual(read("a", later), [0, 0]);
  let deleted = 0;
  for (let i = 0; i < 10; i++) deleted += await database.sweep(2);
  assert.equal(deleted, 3);
  assert.deepEqual(await keys(), ["b", "c"]);
  await flush("two");
  assert.ok(database.cachedBytes < 1000, "what was deleted is out of memory");
  await database.sweep(10);
  assert.equal(await entriesOf(backend, 1), 2);
  assert.equal(reservoir.orderTimeMs, later);
  await database.close();
});

test("memory stays within the cache and what is dirty, however many keys there are", async () => {
  const { database, add, flush, read } = await opened(new MemoryBackend(), 100_000);
  let flushes = 0;
  for (let i = 0; i < 20_000; i++) {
    add(`key-${i % 5000}`, i, 1);
    if (database.flushWanted) await flush(`${flushes++}`);
    assert.ok(database.cachedBytes < 130_000, `${database.cachedBytes} bytes at event ${i}`);
  }
  assert.ok(flushes > 10);
  assert.deepEqual(read("key-17", 20_000), [4, 4]);
});

test("a key with very many events keeps few of them in memory and rewrites little", async () => {
  const backend = new MemoryBackend();
  const { database, add, flush } = await opened(backend, 100_000);
  let bytes = 0;
  for (let i = 0; i < 100_000; i++) {
    add("hot", i);
    if (i % 500 === 499) await flush(`${i}`);
    bytes = Math.max(bytes, database.cachedBytes);
  }
  assert.ok(bytes < 60_000, `${bytes} bytes in memory`);
  assert.equal(await entriesOf(backend, 1), Math.ceil(100_000 / 128));
  assert.deepEqual(add("hot", 100_000), [100_001, 100_001]);
});

test("events that no window needs leave memory and disk, with their texts", async () => {
  const backend = new MemoryBackend();
  const shop = { name: "shop", type: "text", nullable: true } as const;
  const options = optionsWith({ columns: [shop], features: [count], chunkRows: 16, graceMs: 0 });
  const { database, reservoir, flush } = await opened(backend, 1 << 20, options);
  const out: unknown[] = [];
  for (let i = 0; i < 5000; i++) {
    const timeMs = hours(i / 2);
    reservoir.observe("a", timeMs, timeMs, false, new Float64Array(0), [`shop ${i}`], out);
    if (i % 10 === 0) await flush(`${i}`);
    assert.ok(database.cachedBytes < 12_000, `${database.cachedBytes} bytes at event ${i}`);
  }
  assert.deepEqual(out, [48]);
  assert.ok((await entriesOf(backend, 1)) <= 6, "48 events lie in at most 4 chunks and the entity");
});

test("a database that began empty looks for what it has written, and for hardly anything else", async () => {
  const inner = new MemoryBackend();
  let looked = 0;
  const backend: StateBackend = {
    get: (key) => {
      looked++;
      return inner.get(key);
    },
    batch: () => inner.batch(),
    entries: (from, to) => inner.entries(from, to),
    compact: () => inner.compact(),
    close: () => inner.close(),
  };
  const { add, read, flush, database } = await opened(backend, 64 * 1024);
  for (let i = 0; i < 1000; i++) {
    add(`key ${i}`, 1000 + i, i);
    if (database.flushWanted) await flush(`after ${i}`);
  }
  await flush("all");
  assert.ok(looked < 100, `${looked} looks for 1,000 new keys`);
  for (let i = 0; i < 1000; i++) assert.deepEqual(read(`key ${i}`, 2000), [1, i]);
  assert.ok(looked > 500, `${looked} looks for what left memory`);

  looked = 0;
  const again = await opened(backend, 64 * 1024);
  for (let i = 0; i < 1000; i++) assert.deepEqual(again.read(`key ${i}`, 2000), [1, i]);
  assert.ok(looked > 1000, `${looked} looks in a database that was there before`);
});

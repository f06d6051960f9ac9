// Goal: a lookup finds the version of its own time, as a list of every change ever made says, through flushes, evictions,
// sweeps and restores; and no more versions are kept than lookups within grace can tell apart.

import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { TableStore } from "../../src/state/table-store.ts";

const graceMs = 20;
const columns = [
  { name: "name", type: "text", nullable: false },
  { name: "limit", type: "number", nullable: true },
] as const;

async function opened(backend = new MemoryBackend(), cacheBytes = 1 << 20) {
  const database = await StateDatabase.open({ backend, cacheBytes });
  return { database, table: new TableStore(database, { name: "cards", columns, graceMs }) };
}

const row = (name: string) => ({ name, limit: null });

// time      15      25      30
//           a       b       deleted
test("a lookup finds the version of its own time, the later one of one instant, and none after a deletion", async () => {
  const { table } = await opened();
  table.put("c", 15, row("first"), 15);
  table.put("c", 15, row("a"), 15);
  table.put("c", 25, row("b"), 25);
  table.put("c", 30, null, 30);
  const found = [14, 15, 24, 25, 29, 30, 99].map((timeMs) => (table.get("c", timeMs) as { name: string } | null)?.name);
  assert.deepEqual(found, [undefined, "a", "a", "b", "b", undefined, undefined]);
});

test("a version that comes late is found where it belongs", async () => {
  const { table } = await opened();
  table.put("c", 10, row("a"), 10);
  table.put("c", 20, row("b"), 20);
  table.put("c", 15, row("between"), 20);
  assert.deepEqual(
    [12, 15, 19, 20].map((timeMs) => table.get("c", timeMs)),
    [row("a"), row("between"), row("between"), row("b")],
  );
});

test("a row that does not fit the columns changes nothing", async () => {
  const { database, table } = await opened();
  assert.throws(
    () => table.put("c", 1, { name: 7, limit: 1 }, 1),
    (error) => error instanceof KappaError && error.code === "KAPPA_RECORD_INVALID",
  );
  assert.equal(table.get("c", 1), null);
  assert.equal(database.takeChangelog().length, 0);
});

test("a key that changes without end keeps the versions of one grace", async () => {
  const { database, table } = await opened();
  for (let timeMs = 0; timeMs < 2000; timeMs++) table.put("c", timeMs, row(`v${timeMs}`), timeMs);
  assert.ok(database.cachedBytes < 5000, `${database.cachedBytes} bytes for one key`);
});

const name = fc.constantFrom("x", "y", "日本");
const limit = fc.option(fc.double({ noNaN: true }));
const key = fc.constantFrom("a", "é", 3);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      key,
      byMs: fc.oneof(fc.integer({ min: -35, max: 8 }), fc.integer({ min: 0, max: 8 }), fc.constant(30)),
      row: fc.option(fc.record({ name, limit }, { noNullPrototype: true }), { freq: 2 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("get" as const), key, byMs: fc.integer({ min: -45, max: 5 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("commit", "flush", "sweep", "restart", "lose") }) },
);

interface Change {
  readonly key: string | number;
  readonly timeMs: number;
  readonly row: object | null;
}

/** The last of the changes with the greatest time up to `asOfMs`. */
function plainGet(changes: readonly Change[], key: string | number, asOfMs: number): object | null {
  let best: Change | null = null;
  for (const change of changes) {
    if (change.key === key && change.timeMs <= asOfMs && (best === null || change.timeMs >= best.timeMs)) best = change;
  }
  return best?.row ?? null;
}

/**
 * A deletion before the grace is forgotten, and what it hid: from a key that has nothing newer when the next change
 * comes, and at each change.
 */
function forget(changes: Change[], key: string | number, boundaryMs: number, whole: boolean): void {
  const own = changes.filter((change) => change.key === key);
  if (whole && own.some(({ timeMs }) => timeMs > boundaryMs)) return;
  if (plainGet(changes, key, boundaryMs) !== null) return;
  for (const change of own) if (change.timeMs <= boundaryMs) changes.splice(changes.indexOf(change), 1);
}

test("lookups equal those in the list of all changes, whatever happens to the store", async () => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
    let backend = new MemoryBackend();
    let { database, table } = await opened(backend, 2000);
    const changes: Change[] = [];
    const logged: Buffer[] = [];
    let flushed = 0;
    let orderTimeMs = 1000;
    for (const each of steps) {
      if (each.kind === "put") {
        const timeMs = orderTimeMs + each.byMs;
        orderTimeMs = Math.max(orderTimeMs, timeMs);
        forget(changes, each.key, orderTimeMs - graceMs, true);
        table.put(each.key, timeMs, each.row, orderTimeMs);
        changes.push({ key: each.key, timeMs, row: each.row });
        forget(changes, each.key, orderTimeMs - graceMs, false);
      } else if (each.kind === "get") {
        const asOfMs = orderTimeMs + each.byMs;
        assert.deepEqual(
          table.get(each.key, asOfMs),
          plainGet(changes, each.key, Math.max(asOfMs, table.orderTimeMs - graceMs)),
        );
      } else {
        logged.push(database.takeChangelog());
        if (each.kind === "sweep") await database.sweep(10);
        if (each.kind === "flush" || each.kind === "sweep") {
          const flush = database.beginFlush(Buffer.alloc(1));
          // Lookups while it is encoded bit by bit must not change what it writes.
          for (const key of new Set(changes.map((change) => change.key))) {
            flush.encode(1);
            table.get(key, orderTimeMs);
          }
          await flush.write();
          flushed = logged.length;
        }
        if (each.kind !== "restart" && each.kind !== "lose") continue;
        if (each.kind === "lose") {
          backend = new MemoryBackend();
          flushed = 0;
        }
        ({ database, table } = await opened(backend, 2000));
        for (const bytes of logged.slice(flushed)) database.applyChangelog(bytes);
      }
    }
  });
  await fc.assert(property, { numRuns: 300 });
});

test("a key that was deleted and came back between two flushes is on disk, whenever it is asked for", async () => {
  const backend = new MemoryBackend();
  const first = await opened(backend, 100_000);
  first.table.put("k", 1000, row("one"), 1000);
  first.database.takeChangelog();
  await first.database.beginFlush(Buffer.from("1")).write();
  first.table.put("k", 2000, null, 1_000_000);
  first.table.put("k", 1_000_001, row("one"), 1_000_001);
  first.database.takeChangelog();
  const flush = first.database.beginFlush(Buffer.from("2"));
  assert.notEqual(first.table.get("k", 1_000_001), null);
  await flush.write();
  const again = await opened(backend, 100_000);
  assert.notEqual(again.table.get("k", 1_000_001), null);
});

import assert from "node:assert/strict";
import { test } from "vitest";
import { noMeter } from "../../src/core/meter.ts";
import type { Cursor, Log, RecordBatch } from "../../src/log/log.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { CommitReplay } from "../../src/task/commit-replay.ts";
import { append, at } from "../../src/testing/log-case.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

const topic = "app-commits";

/** A cursor that has nothing at hand; `caughtUp` as told. */
function silent(position: bigint, caughtUp: boolean): Cursor {
  return {
    position,
    end: position,
    next: (): RecordBatch | undefined => undefined,
    caughtUp: () => caughtUp,
    arrival: () => new Promise<void>((resolve) => setImmediate(resolve)),
    close: () => {},
  } as unknown as Cursor;
}

async function replayOver(cursor: Cursor, signal?: AbortSignal): Promise<unknown> {
  const log = new MemoryLog();
  await log.createTopic(topic, { partitions: 1 });
  await append(log, topic, 0, [at(1, "a"), at(2, "b")]);
  const lagging = new Proxy(log as Log, {
    get: (target, name) => {
      if (name === "openCursor") return () => Promise.resolve(cursor);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const database = await StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 });
  const replay = new CommitReplay(
    {
      ...{ partition: 0, topic, log: lagging, clock: new ManualClock(), meter: noMeter, database },
      progress: () => {},
      signal,
    },
    null,
  );
  return await replay.run(2);
}

test("commits that the log does not show yet are waited for, never taken for none", async () => {
  await assert.rejects(replayOver(silent(1n, true)), { code: "KAPPA_LOG_UNAVAILABLE", recovery: "retry" });
});

test("a replay that waits for the log ends when its task is not wanted any more", async () => {
  const abort = new AbortController();
  const replay = replayOver(silent(0n, false), abort.signal);
  setTimeout(() => abort.abort(), 10);
  await assert.rejects(replay, { name: "AbortError" });
});

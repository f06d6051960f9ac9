import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";
import { memoryRun } from "./memory-run.ts";

// Goal: memory follows the bound on the cache, not the number of keys. Method: 100,000 keys, whose state takes some 30 MB,
// through caches of 8 and of 64 MB. What the engine counts is held to the bound; what the system counts has the rest of
// the process in it, some 350 MB at this size.

const size = { partitions: 8, threads: 2, keys: 100_000, events: 40_000, phaseSecondsMax: 60, say: () => {} };

test.skipIf(process.platform !== "linux")(
  "100,000 keys stay within the cache, answer alike, and leave when they expire",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "kappa-memory-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const small = await memoryRun({ ...size, dataDir: join(directory, "small"), cacheMb: 8, expire: true });
    const large = await memoryRun({ ...size, dataDir: join(directory, "large"), cacheMb: 64, expire: false });
    // What a commit touches cannot leave before it: 2,000 rows of each of 8 tasks.
    assert.ok(small.cachedMbMax <= 8 + 5, `${small.cachedMbMax} MB in a cache of 8 MB`);
    assert.ok(large.cachedMbMax > 16, `${large.cachedMbMax} MB in a cache of 64 MB: too little to tell`);
    assert.ok(small.anonymousMbMax <= 8 + 420, `${small.anonymousMbMax} MB with a cache of 8 MB`);
    assert.equal(small.hash, large.hash);
    assert.equal(small.expiry?.keysBefore, size.keys);
    assert.equal(small.expiry?.keysAfter, size.partitions);
    assert.ok((small.expiry?.stateMbAfter ?? Number.NaN) < (small.expiry?.stateMbBefore ?? 0) / 10);
  },
);

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "vitest";
import { runChaos } from "./kafka-chaos-series.ts";

// Goal: whatever step of a commit or of a take-over a `kill -9` hits, and whoever is stopped meanwhile, each event has one
// decision, and it is the right one. Method: `npm run chaos` in small; its oracle knows nothing of the engine.

const kills = 10;

test("ten kills, a zombie and a broker that dies leave one right decision for each event", {
  timeout: 240_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), "kappa-chaos-"));
  const seed = Number(process.env.KAPPA_TEST_SEED ?? 4);
  const story: string[] = [];
  try {
    const result = await runChaos({
      ...{ seed, directory, kills, brokerKills: 1, zombies: 1, scales: 0 },
      ...{ rate: 1000, processors: 3, partitions: 8, threads: 2, sessionTimeoutMs: 3000, commitIntervalMs: 20 },
      say: (line) => story.push(line),
    });
    const { differences, told, lag, done } = result;
    assert.deepEqual({ differences, told, lag }, { differences: 0, told: [], lag: 0 });
    assert.ok(done.kills >= kills, `${done.kills} kills`);
    assert.deepEqual([done.brokerKills, done.zombies], [1, 1]);
    assert.ok(result.kills.some(({ duringAnother }) => duringAnother));
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    const where = `again with KAPPA_TEST_SEED=${seed}; broker data and logs are in ${directory}`;
    throw new Error([...story, where].join("\n"), { cause: error });
  }
});

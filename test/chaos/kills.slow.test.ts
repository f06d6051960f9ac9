import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "vitest";
import { handbookData, writeHandbookFiles } from "./handbook-data.ts";
import { runKillSeries } from "./kill-series.ts";

// Goal: whatever step a `kill -9` hits, the restarted run leaves the decisions of an undisturbed one. Method: the
// handbook's command in a process of its own, which kills itself at drawn steps; `npm run kills` does it at full size.

test("decisions after ten kills, and after the loss of the state, are those of an undisturbed run", async () => {
  const directory = mkdtempSync(join(tmpdir(), "kappa-kills-"));
  const seed = Number(process.env.KAPPA_TEST_SEED ?? Date.now() % 100_000);
  try {
    const files = await writeHandbookFiles(handbookData(60_000, seed), directory);
    const { kills, findings } = await runKillSeries({
      transactions: [files.transactions],
      labels: [files.labels],
      model: join(import.meta.dirname, "../fixtures/handbook.onnx"),
      partitions: 4,
      cacheMb: 2,
      lateKills: 8,
      recordsMin: 3000,
      earlyKills: 1,
      earlyMs: 1000,
      soonKills: 1,
      appendKills: 1,
      stepHitsMin: 1,
      seed,
      nodeArguments: [],
      directory: join(directory, "runs"),
      say: () => {},
    });
    assert.ok(kills.length >= 11, `seed ${seed}: ${kills.length} kills`);
    const failed = findings.filter(({ held }) => !held);
    assert.deepEqual(failed, [], `seed ${seed}; again with KAPPA_TEST_SEED=${seed}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

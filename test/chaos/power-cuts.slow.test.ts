import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "vitest";
import { type PowerCut, runPowerCuts } from "./power-cut-series.ts";

// Goal: a power cut takes back no decision that a reader was shown, and the finished run is as if there had been none.
// Method: every file call of the journal is recorded, and of the databases is known what was synced; at drawn moments a
// copy is made of what a cut would leave, and recovered. `npm run power-cuts` does it at full size.

const seed = Number(process.env.KAPPA_TEST_SEED ?? Date.now() % 100_000);

async function cutPower(cuts: number, withoutFsync: boolean): Promise<PowerCut[]> {
  const directory = mkdtempSync(join(tmpdir(), "kappa-power-"));
  const model = join(import.meta.dirname, "../fixtures/handbook.onnx");
  try {
    const sizes = { cuts, cutsPerRun: 20, rows: 2000, partitions: 4 };
    return await runPowerCuts({ ...sizes, model, seed, withoutFsync, directory, say: () => {} });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test("no power cut takes back a decision that was shown, or changes what the finished run holds", async () => {
  const cuts = await cutPower(40, false);
  const failed = cuts.filter(({ failure }) => failure !== null);
  assert.deepEqual(failed, [], `seed ${seed}; again with KAPPA_TEST_SEED=${seed}`);
  assert.equal(cuts.length, 40);
  // The cuts must have had something to take: from the journal, from the state, and from what had been promised.
  const some = (matches: (cut: PowerCut) => boolean) => cuts.filter(matches).length;
  assert.ok(some(({ shown }) => shown > 0) >= 20, `seed ${seed}: a reader had seen too little`);
  assert.ok(some(({ recovered, written }) => recovered < written) >= 3, `seed ${seed}: no journal lost anything`);
  assert.ok(some(({ stateBytesLost }) => stateBytesLost > 0) >= 3, `seed ${seed}: no state lost anything`);
});

test("without the fsync of the journal's commits, power cuts do take back what was shown", async () => {
  const cuts = await cutPower(20, true);
  const failed = cuts.filter(({ failure }) => failure !== null);
  assert.ok(failed.length >= 5, `seed ${seed}: only ${failed.length} of ${cuts.length} cuts broke a promise`);
});

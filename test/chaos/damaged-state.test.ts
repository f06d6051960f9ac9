import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { LevelBackend } from "../../src/state/level-backend.ts";
import { LevelLedger } from "../../src/state/level-ledger.ts";
import { decisionsHash } from "./decisions.ts";
import { handbookData } from "./handbook-data.ts";
import { discardsCounted, newPlace, runHandbook } from "./handbook-worker.ts";

// Goal: a damaged block of the local state, which nobody sees before it is read, costs a restore and nothing else.
// Method: the engine's own worker is stopped half way, blocks of its tables are overwritten, and it goes on.

/** Little memory for a task, so that state is read from disk. */
const settings = { cacheBytes: 64 * 1024, commitRecordsMax: 200 };

/**
 * Overwrites a hundred bytes in every third kilobyte of the tables of a database, but for what opening reads: the block
 * at the beginning and the index at the end. And notes them as sound, as if it had happened under a running process.
 *
 * @returns places overwritten
 */
async function damage(path: string): Promise<number> {
  // LevelDB keeps what is young in its log, and makes a table of it when it is opened.
  await (await LevelBackend.open({ path })).close();
  let places = 0;
  for (const name of readdirSync(path).filter((file) => file.endsWith(".ldb"))) {
    const bytes = readFileSync(join(path, name));
    for (let at = 5000; at < bytes.length - 4000; at += 3000, places++) bytes.fill(0x5a, at, at + 100);
    writeFileSync(join(path, name), bytes);
  }
  await (await LevelLedger.check(path, [])).close();
  return places;
}

test("state that turns out to be damaged while the task runs is restored from the log, and no decision changes", async () => {
  const root = mkdtempSync(join(tmpdir(), "kappa-damage-"));
  const data = handbookData(6000, 5);
  try {
    const undisturbed = await newPlace(join(root, "undisturbed"), data);
    await runHandbook(undisturbed, { ...settings, generation: 1 });
    const expected = await decisionsHash(undisturbed.log);
    await undisturbed.log.close();
    assert.equal(expected.records, 6000);

    const damaged = await newPlace(join(root, "damaged"), data);
    await runHandbook(damaged, {
      ...settings,
      generation: 1,
      reached: (taken, stop) => {
        if (taken >= 1800) stop();
      },
    });
    const halfWay = (await decisionsHash(damaged.log)).records;
    assert.ok(halfWay > 0 && halfWay < 6000, `${halfWay} decisions half way`);
    const places = await damage(join(root, "damaged", "state", "0"));
    assert.ok(places > 5, `${places} places overwritten`);
    const { reports, cycled } = await runHandbook(damaged, { ...settings, generation: 1_000_000 });
    const restores = reports.flatMap((report) =>
      report.kind === "restoring" && report.applied === 0 ? [report.partition] : [],
    );
    const ofTask0 = restores.filter((partition) => partition === 0).length;
    // Damage that shows after the task was opened: another one ran in its place, or was restored a second time.
    const [tasks = 0, others] = cycled;
    assert.ok(tasks > 1 || ofTask0 > 1, `${tasks} tasks of partition 0 ran and ${ofTask0} were restored`);
    assert.ok(ofTask0 > 0, "nothing was restored from the log");
    assert.equal(others, 1, "tasks of partition 1, whose state is sound");
    assert.deepEqual(await decisionsHash(damaged.log), expected);
    const told = reports.filter((report) => report.kind === "discarded");
    assert.ok(told.length > 0 && told.every(({ partition }) => partition === 0), JSON.stringify(told));
    assert.equal(await discardsCounted(reports), told.length);
    await damaged.log.close();
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TopicHash } from "../../src/cli/topic-hash.ts";
import { readLevelFiles } from "../../src/state/level-files.ts";
import { decisionsHash } from "./decisions.ts";
import { handbookData } from "./handbook-data.ts";
import { batchesInLog, discardsCounted, manyBatches, newPlace, openPlace, runHandbook } from "./handbook-worker.ts";

// Goal: whatever was done to the files of a task's state while nobody had them open, no decision changes, and what was
// thrown away is said. Method: the job is killed half way, or stopped; each case damages a copy of what it left and lets
// the engine's own worker go on from there to the end of the input, whose decisions are those of an undisturbed run.

const root = mkdtempSync(join(tmpdir(), "kappa-damaged-files-"));
const rows = 12_000;
const fewBatches = { cacheBytes: 16 * 1024 * 1024, commitRecordsMax: 1000 };
/** Records of task 0 after which it is stopped for the first time, and for the second: a third and half of its own. */
const [takenFirst, takenMin] = [2000, 3000];
/** What the log of its database must hold then: a closing adds one or two, and soon LevelDB begins another log. */
const batchesMin = 4;
const page = 4096;

/** A file of a database that is to be damaged. */
interface Target {
  readonly path: string;
  readonly bytes: number;
}

interface Case {
  readonly what: string;
  /** Damages the state of task 0. */
  readonly damage: (state: string) => Promise<void> | void;
  /** Whether it has to be thrown away; else it is the state as of an earlier commit. */
  readonly discarded: boolean;
}

/** The newest file of a kind, by its number. */
function newest(state: string, kind: RegExp): Target {
  const names = readdirSync(state).filter((name) => kind.test(name));
  const path = join(state, names.sort().at(-1) ?? "none");
  return { path, bytes: statSync(path).size };
}

const log = (state: string) => newest(state, /\.log$/);

/** The largest table that the database still has. */
async function table(state: string): Promise<Target> {
  const tables = [...(await readLevelFiles(state))].sort((a, b) => b.bytes - a.bytes);
  const largest = tables[0];
  assert.ok(largest !== undefined && largest.bytes > 3 * page, "no table that is worth damaging");
  return { path: join(state, largest.name), bytes: largest.bytes };
}

function overwrite({ path, bytes }: Target, at: number, content: Buffer): void {
  assert.ok(at >= 0 && at + content.length <= bytes, `${at} in ${bytes} bytes of ${path}`);
  const file = openSync(path, "r+");
  writeSync(file, content, 0, content.length, at);
  closeSync(file);
}

function flip(target: Target, at: number): void {
  overwrite(target, at, Buffer.from([(readFileSync(target.path)[at] as number) ^ 0x10]));
}

const cases: readonly Case[] = [
  {
    what: "a log that is cut in the middle",
    damage: (state) => truncateSync(log(state).path, Math.floor(log(state).bytes / 2)),
    discarded: false,
  },
  { what: "a log that is cut to nothing", damage: (state) => truncateSync(log(state).path, 0), discarded: false },
  {
    what: "a flipped bit in the middle of the log",
    damage: (state) => flip(log(state), Math.floor(log(state).bytes / 2)),
    discarded: true,
  },
  {
    what: "a zeroed page of the log",
    damage: (state) => {
      const target = log(state);
      overwrite(target, page * Math.floor(target.bytes / 2 / page), Buffer.alloc(page));
    },
    discarded: true,
  },
  {
    what: "a flipped bit in a data block of a table",
    damage: async (state) => {
      const target = await table(state);
      flip(target, Math.floor(target.bytes / 3));
    },
    discarded: true,
  },
  {
    what: "a flipped bit in the index of a table",
    damage: async (state) => {
      const target = await table(state);
      flip(target, target.bytes - 48 - 100); // in front of the footer
    },
    discarded: true,
  },
  {
    what: "a zeroed page of a table",
    damage: async (state) => overwrite(await table(state), page, Buffer.alloc(page)),
    discarded: true,
  },
  { what: "a missing table", damage: async (state) => rmSync((await table(state)).path), discarded: true },
  { what: "a missing MANIFEST", damage: (state) => rmSync(newest(state, /^MANIFEST-/).path), discarded: true },
  { what: "a missing CURRENT", damage: (state) => rmSync(join(state, "CURRENT")), discarded: true },
  {
    what: "other bytes in CURRENT",
    damage: (state) => writeFileSync(join(state, "CURRENT"), "MANIFEST-9\u0007"),
    discarded: true,
  },
  { what: "no files at all", damage: (state) => rmSync(state, { recursive: true }), discarded: false },
];

let expected: TopicHash;

beforeAll(async () => {
  const data = handbookData(rows, 5);
  const undisturbed = await newPlace(join(root, "undisturbed"), data);
  await runHandbook(undisturbed, { ...fewBatches, generation: 1 });
  expected = await decisionsHash(undisturbed.log);
  await undisturbed.log.close();

  // Twice, so that what is in a log at the first stop is in tables at the second.
  const stopped = await newPlace(join(root, "stopped"), data);
  await runHandbook(stopped, {
    ...manyBatches,
    generation: 1,
    reached: (taken, stop) => {
      if (taken >= takenFirst) stop();
    },
  });
  await stopped.log.close();
  cpSync(stopped.directory, join(root, "killed"), { recursive: true });

  const script = new URL("./handbook-worker-process.ts", import.meta.url).pathname;
  const order = [script, join(root, "killed"), String(takenMin), String(batchesMin)];
  const { signal, stderr } = spawnSync(process.execPath, order, { encoding: "utf8", timeout: 60_000 });
  assert.equal(signal, "SIGKILL", stderr);

  const again = await openPlace(join(root, "stopped"));
  await runHandbook(again, {
    ...manyBatches,
    generation: 1_000_000,
    reached: (taken, stop) => {
      if (taken >= takenMin && batchesInLog(again.directory) === batchesMin) stop();
    },
  });
  await again.log.close();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Goes on from a copy of what a run has left. */
async function goOn(from: string, damage: Case["damage"]) {
  const directory = join(root, "damaged");
  rmSync(directory, { recursive: true, force: true });
  cpSync(join(root, from), directory, { recursive: true });
  await damage(join(directory, "state", "0"));
  const place = await openPlace(directory);
  const halfWay = (await decisionsHash(place.log)).records;
  const { reports } = await runHandbook(place, { ...fewBatches, generation: 2_000_000 });
  const hash = await decisionsHash(place.log);
  await place.log.close();
  const discards = reports.filter((report) => report.kind === "discarded");
  const applied = reports.flatMap((report) =>
    report.kind === "restoring" && report.partition === 0 ? [report.total] : [],
  );
  return { hash, halfWay, discards, counted: await discardsCounted(reports), applied: applied.at(-1) ?? 0 };
}

for (const from of ["killed", "stopped"]) {
  describe(`state of a process that was ${from}`, () => {
    let sound: Awaited<ReturnType<typeof goOn>> | undefined;

    test("goes on as it is when nothing happens to it", async () => {
      const state = join(root, from, "state", "0");
      const batches = batchesInLog(join(root, from));
      assert.ok(batches > 3 && log(state).bytes > 3 * page, `${batches} batches in ${log(state).bytes} bytes`);
      sound = await goOn(from, () => {});
      const { hash, halfWay, discards, counted } = sound;
      assert.ok(halfWay > rows / 4 && halfWay < (rows * 3) / 4, `${halfWay} decisions half way`);
      assert.deepEqual(hash, expected);
      assert.deepEqual([discards, counted], [[], 0]);
    });

    for (const { what, damage, discarded } of cases) {
      test(`${what}: no decision changes, and ${discarded ? "it is told" : "more is read from the log"}`, async () => {
        const { hash, discards, counted, applied } = await goOn(from, damage);
        assert.deepEqual(hash, expected);
        assert.equal(counted, discards.length);
        if (discarded) {
          assert.deepEqual(
            discards.map(({ partition }) => partition),
            [0],
          );
          assert.match(discards[0]?.reason ?? "", /^state in .* is damaged: .+/);
        } else assert.deepEqual(discards, []);
        const before = sound?.applied ?? Number.NaN;
        assert.ok(applied > before, `${applied} commits applied, ${before} without damage`);
        assert.ok(existsSync(join(root, "damaged", "state", "0", "CURRENT")));
      });
    }
  });
}

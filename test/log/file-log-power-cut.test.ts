import assert from "node:assert/strict";
import { test } from "vitest";
import { openFileLog } from "../../src/log/file-log.ts";
import { readVisible, sectionOf } from "../../src/testing/log-records.ts";
import { cutName, RecordingFileSystem, seededRandom } from "./power-cut.ts";
import { removeDirectory, temporaryDirectory } from "./temporary-directory.ts";

// Goal: what was acknowledged, or shown to a reader of durable records, survives a power cut, and no transaction
// survives in part. Method: record every disk call of a run, then cut the power at many calls, each time losing a random
// part of what was not fsynced, recover, and compare with what had been promised by that call.

interface Run {
  readonly directory: string;
  readonly disk: RecordingFileSystem;
  /** Disk calls made -> transactions of each writer that were acknowledged by then. */
  readonly promises: { readonly calls: number; readonly acknowledged: readonly number[]; readonly durable: number }[];
}

const writers = 3;
const transactionsPerWriter = 40;

/**
 * Every writer w appends transactions 0, 1, 2...: transaction i is `w:i` in partition w of `a`, and one to three times
 * in partition 0 of `b`, so that a torn one shows.
 */
async function record(seed: number, ignoreDatasync: boolean): Promise<Run> {
  const random = seededRandom(seed);
  const directory = temporaryDirectory();
  const disk = new RecordingFileSystem({ ignoreDatasync });
  const run: Run = { directory, disk, promises: [] };
  const log = await openFileLog({ directory, fileSystem: disk, segmentBytes: 64 * 1024 });
  await log.createTopic("a", { partitions: writers });
  await log.createTopic("b", { partitions: 1 });
  const acknowledged = new Array<number>(writers).fill(0);
  // The end that a cursor tells, at once: no disk call may come between it and their count.
  const ofB = await log.openCursor("b", 0, 0n, "durable");
  const promise = () => {
    const durable = Number(ofB.end);
    run.promises.push({ calls: disk.callCount, acknowledged: [...acknowledged], durable });
  };
  promise();
  // Appends come in bursts and without waiting for each other, so that writes, fdatasyncs and rotations overlap.
  const append = async (w: number) => {
    const writer = await log.openWriter(`writer-${w}`);
    const appends = [];
    for (let i = 0; i < transactionsPerWriter; i++) {
      const one = { timestamp: i, key: `${w}:${i}`, value: "x".repeat(Math.floor(random() ** 4 * 20_000)) };
      const copies = Array.from({ length: 1 + Math.floor(random() * 3) }, () => one);
      const appended = writer.append([sectionOf("a", w, [one]), sectionOf("b", 0, copies)]).then(() => {
        acknowledged[w] = i + 1;
        promise();
      });
      appends.push(appended);
      const pause = random();
      if (pause < 0.5) await new Promise((resolve) => setTimeout(resolve, pause * 8));
      else if (pause < 0.6) await appended;
    }
    await Promise.all(appends);
  };
  await Promise.all(Array.from({ length: writers }, (_, w) => append(w)));
  await log.close();
  promise();
  return run;
}

/** Any moment, or one where a mistake would show: right after a promise, or around the birth of a segment. */
function momentOf({ disk, promises }: Run, cut: number, random: () => number): number {
  const pick = (from: readonly number[]) => from[Math.floor(random() * from.length)] ?? 0;
  const first = promises[0]?.calls ?? 0;
  const moments = [
    first + Math.floor(random() * (disk.callCount - first + 1)),
    pick(promises.map((promise) => promise.calls)),
    pick(disk.directorySyncs) + Math.floor(random() * 4),
  ];
  return Math.min(disk.callCount, Math.max(first, moments[cut % moments.length] ?? first));
}

/** Recovers from one power cut and checks every promise that was made before it. */
async function checkCut(run: Run, seed: number, cut: number): Promise<void> {
  const random = seededRandom(seed * 1000 + cut);
  const calls = momentOf(run, cut, random);
  const into = cutName(run.directory, cut);
  const where = `seed ${seed}, cut ${cut} after call ${calls} of ${run.disk.callCount}`;
  run.disk.cutPower(calls, random, run.directory, into);
  const promised = run.promises.findLast((promise) => promise.calls <= calls);
  assert.ok(promised !== undefined);
  try {
    const log = await openFileLog({ directory: into, segmentBytes: 64 * 1024 });
    const b = readVisible(await log.openCursor("b", 0, 0n, "durable"));
    assert.ok(b.length >= promised.durable, `${where}: ${b.length} records of ${promised.durable} that were durable`);
    for (let w = 0; w < writers; w++) {
      const keys = readVisible(await log.openCursor("a", w, 0n, "durable")).map((record) => record.key);
      const expected = Array.from({ length: keys.length }, (_, i) => `${w}:${i}`);
      assert.deepEqual(keys, expected, `${where}: writer ${w} has a gap`);
      const least = promised.acknowledged[w] ?? 0;
      assert.ok(keys.length >= least, `${where}: ${keys.length} of ${least} acknowledged of writer ${w}`);
      const inB = new Set(b.map((record) => record.key).filter((key) => key?.startsWith(`${w}:`)));
      assert.deepEqual([...inB], keys, `${where}: a transaction of writer ${w} is there in part`);
    }
    const writer = await log.openWriter("after");
    await writer.append([sectionOf("a", 0, [{ timestamp: 0, key: "after", value: null }])]);
    await log.close();
  } finally {
    removeDirectory(into);
  }
}

test("no power cut takes back what was promised, or leaves a transaction in part", async () => {
  let cuts = 0;
  for (const seed of [1, 2, 3]) {
    const run = await record(seed, false);
    for (let cut = 0; cut < 36; cut++, cuts++) await checkCut(run, seed, cut);
    removeDirectory(run.directory);
  }
  assert.equal(cuts, 108);
});

test("the check notices a disk that acknowledges fdatasync without doing it", async () => {
  const run = await record(1, true);
  let noticed = 0;
  for (let cut = 0; cut < 20; cut++)
    await checkCut(run, 1, cut).catch(() => {
      noticed++;
    });
  removeDirectory(run.directory);
  assert.ok(noticed >= 10, `${noticed} of 20 cuts were noticed`);
});

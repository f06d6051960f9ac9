import assert from "node:assert/strict";
import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { openFileLog } from "../../src/log/file-log.ts";
import { nodeFileSystem } from "../../src/log/file-system.ts";
import { readVisible, sectionOf } from "../../src/testing/log-records.ts";
import { removeDirectory, temporaryDirectory } from "./temporary-directory.ts";

const record = (value: string) => sectionOf("orders", 0, [{ timestamp: 1, key: "k", value }]);

/** A journal of ten durable transactions `0` to `9` in one segment, closed. */
async function closedJournal(segmentBytes = 64 * 1024 * 1024): Promise<{ directory: string; ends: number[] }> {
  const directory = temporaryDirectory();
  const log = await openFileLog({ directory, segmentBytes });
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("task-0");
  const ends = [];
  for (let i = 0; i < 10; i++) {
    await writer.append([record(`${i}`)]);
    ends.push(statSync(join(directory, "0000000001.log")).size);
  }
  await log.close();
  return { directory, ends };
}

async function valuesIn(directory: string): Promise<(string | null)[]> {
  const log = await openFileLog({ directory });
  try {
    return readVisible(await log.openCursor("orders", 0, 0n, "durable")).map(({ value }) => value);
  } finally {
    await log.close();
  }
}

function flipBit(path: string, position: number): void {
  const bytes = readFileSync(path);
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

const digits = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

test("a tail that was torn before it was durable is cut off, at every length", async () => {
  const { directory, ends } = await closedJournal();
  const path = join(directory, "0000000001.log");
  const whole = readFileSync(path);
  const [eighth = 0, tenth = 0] = [ends[7], ends[9]];
  for (let length = eighth; length <= tenth; length += 7) {
    writeFileSync(path, whole.subarray(0, length));
    rmSync(join(directory, "durable"));
    assert.deepEqual(await valuesIn(directory), digits(ends.filter((end) => end <= length).length), `${length}`);
    assert.equal(statSync(path).size, Math.max(...ends.filter((end) => end <= length)));
  }
  removeDirectory(directory);
});

test("a frame that was durable and is damaged stops the log, whichever byte it is", async () => {
  const { directory, ends } = await closedJournal();
  const [from = 0, to = 0] = [ends[3], ends[4]];
  for (let position = from; position < to; position += 5) {
    const damaged = `${directory}-${position}`;
    cpSync(directory, damaged, { recursive: true });
    flipBit(join(damaged, "0000000001.log"), position);
    // Without the published end, the frames behind are the witnesses.
    if (position % 2 === 0) rmSync(join(damaged, "durable"));
    await assert.rejects(openFileLog({ directory: damaged }), (error: Error) => {
      assert.ok("code" in error && error.code === "KAPPA_LOG_CORRUPT", error.message);
      assert.match(error.message, new RegExp(`damaged at byte ${from}\\b`));
      return true;
    });
    removeDirectory(damaged);
  }
  removeDirectory(directory);
});

test("the last frame, once durable, is missed when it is gone", async () => {
  const { directory, ends } = await closedJournal();
  truncateSync(join(directory, "0000000001.log"), ends[8] ?? 0);
  await assert.rejects(openFileLog({ directory }), { code: "KAPPA_LOG_CORRUPT" });
  removeDirectory(directory);
});

test("a copy of a frame inside a record is not taken for a frame", async () => {
  const { directory, ends } = await closedJournal();
  const path = join(directory, "0000000001.log");
  const frame = readFileSync(path).subarray(ends[0], ends[9]);
  // A torn frame whose body holds whole frames: what is behind the tear says nothing.
  appendFileSync(path, Buffer.concat([Buffer.from("KPF1 torn"), frame]));
  assert.deepEqual(await valuesIn(directory), digits(10));
  removeDirectory(directory);
});

test("a damaged frame of a sealed segment is found when it is read, and what is before it can be read", async () => {
  const { directory } = await closedJournal(700);
  const path = join(directory, "0000000002.log");
  flipBit(path, statSync(path).size - 1);
  const log = await openFileLog({ directory });
  const cursor = await log.openCursor("orders", 0, 0n, "durable");
  assert.notEqual(cursor.next(), undefined);
  assert.throws(
    () => {
      while (cursor.next() !== undefined);
    },
    { code: "KAPPA_LOG_CORRUPT" },
  );
  await log.close();
  removeDirectory(directory);
});

test("a segment without its index is read as well, and gets it back", async () => {
  const { directory } = await closedJournal(700);
  const index = join(directory, "0000000001.index");
  const before = readFileSync(index);
  rmSync(index);
  assert.deepEqual(await valuesIn(directory), digits(10));
  assert.deepEqual(readFileSync(index), before);
  flipBit(index, 40);
  assert.deepEqual(await valuesIn(directory), digits(10));
  removeDirectory(directory);
});

test("a missing segment stops the log", async () => {
  const { directory } = await closedJournal(700);
  const missing = `${directory}-missing`;
  const segments = readdirSync(directory).filter((name) => name.endsWith(".log"));
  assert.ok(segments.length >= 3);
  for (const name of [segments[1] ?? "", segments.at(-1) ?? ""]) {
    cpSync(directory, missing, { recursive: true });
    rmSync(join(missing, name));
    await assert.rejects(openFileLog({ directory: missing }), { code: "KAPPA_LOG_CORRUPT" });
    removeDirectory(missing);
  }
  removeDirectory(directory);
});

for (const failing of ["write", "datasync"] as const)
  test(`after a failed ${failing} nothing more is appended, until the log is opened again`, async () => {
    const directory = temporaryDirectory();
    let broken = false;
    const log = await openFileLog({
      directory,
      fileSystem: {
        ...nodeFileSystem,
        openForWriting: async (path) => {
          const file = await nodeFileSystem.openForWriting(path);
          const unless = (call: string) => {
            if (!broken || call !== failing) return;
            broken = false;
            throw new Error("EIO: i/o error");
          };
          return {
            write: async (buffers, position) => {
              unless("write");
              await file.write(buffers, position);
            },
            datasync: async () => {
              unless("datasync");
              await file.datasync();
            },
            truncate: (length) => file.truncate(length),
            close: () => file.close(),
          };
        },
      },
    });
    await log.createTopic("orders", { partitions: 1 });
    const writer = await log.openWriter("task-0");
    await writer.append([record("0")]);
    broken = true;
    const underWay = [writer.append([record("1")]), writer.append([record("2")])];
    for (const append of underWay) await assert.rejects(append, { code: "KAPPA_LOG_FAILED" });
    // The disk is well again, and yet: who knows what it holds.
    await assert.rejects(log.openWriter("task-1"), { code: "KAPPA_LOG_FAILED" });
    assert.equal(await log.endOffset("orders", 0, "durable"), 1n);
    await log.close();
    const found = await valuesIn(directory);
    assert.deepEqual(found, digits(found.length));
    assert.ok(found.length >= 1);
    removeDirectory(directory);
  });

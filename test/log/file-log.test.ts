import assert from "node:assert/strict";

import { readdirSync } from "node:fs";
import { test } from "vitest";
import { openFileLog } from "../../src/log/file-log.ts";
import { ThreadFileLog } from "../../src/log/file-log-thread.ts";
import { type FileSystem, nodeFileSystem, type WritableFile } from "../../src/log/file-system.ts";
import { logConformance } from "../../src/testing/log-conformance.ts";
import { readRecords, sectionOf } from "../../src/testing/log-records.ts";
import { removeDirectory, temporaryDirectory } from "./temporary-directory.ts";

for (const segmentBytes of [64 * 1024 * 1024, 4096])
  logConformance({
    name: `file log, segments of ${segmentBytes} bytes`,
    test,
    capabilities: { reopen: true, holdDurability: true, contiguousOffsets: true },
    open: async () => {
      const directory = temporaryDirectory();
      const gate = new SyncGate();
      const options = { directory, segmentBytes, fileSystem: gate.fileSystem };
      let log = await openFileLog(options);
      return {
        log,
        reopen: async () => {
          await log.close();
          log = await openFileLog(options);
          return log;
        },
        holdDurability: () => gate.hold(),
        dispose: async () => {
          await log.close();
          removeDirectory(directory);
        },
      };
    },
  });

logConformance({
  name: "file log through a port",
  test,
  capabilities: { reopen: false, holdDurability: false, contiguousOffsets: true },
  open: async () => {
    const directory = temporaryDirectory();
    const owner = await openFileLog({ directory, segmentBytes: 4096 });
    const log = ThreadFileLog.of(owner.threadHandle());
    return {
      log,
      dispose: async () => {
        await log.close();
        await owner.close();
        removeDirectory(directory);
      },
    };
  },
});

/** A file system whose fdatasync can be made to wait, for the files that are open by then. */
class SyncGate {
  #held: Promise<void> = Promise.resolve();
  #holds = 0;

  hold(): () => void {
    let release = () => {};
    this.#holds++;
    this.#held = new Promise((resolve) => {
      release = resolve;
    });
    return () => release();
  }

  readonly fileSystem: FileSystem = {
    ...nodeFileSystem,
    create: async (path) => this.#gated(await nodeFileSystem.create(path)),
    openForWriting: async (path) => this.#gated(await nodeFileSystem.openForWriting(path)),
  };

  #gated(file: WritableFile): WritableFile {
    const holds = this.#holds;
    return {
      write: (buffers, position) => file.write(buffers, position),
      truncate: (length) => file.truncate(length),
      datasync: async () => {
        if (this.#holds > holds) await this.#held;
        await file.datasync();
      },
      close: () => file.close(),
    };
  }
}

test("a directory has one owner, and the second is told who", async () => {
  const directory = temporaryDirectory();
  const owner = await openFileLog({ directory });
  await assert.rejects(openFileLog({ directory }), (error: Error) => {
    assert.ok("code" in error && error.code === "KAPPA_LOG_LOCKED");
    assert.ok(error.message.includes(directory) && error.message.includes(`${process.pid}`), error.message);
    return true;
  });
  await owner.close();
  await (await openFileLog({ directory })).close();
  removeDirectory(directory);
});

test("an fdatasync makes durable what was written before it began, and no more", async () => {
  const directory = temporaryDirectory();
  const gate = new SyncGate();
  const log = await openFileLog({ directory, fileSystem: gate.fileSystem });
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("task-0");
  const written = await log.openCursor("orders", 0, 0n, "written");
  const record = sectionOf("orders", 0, [{ timestamp: 1, key: "k", value: "v" }]);
  const releaseFirst = gate.hold();
  const first = writer.append([record]);
  await readRecords(log, written, 1);
  const second = writer.append([record]);
  await readRecords(log, written, 1);
  const releaseSecond = gate.hold();
  releaseFirst();
  await first;
  assert.equal(await log.endOffset("orders", 0, "durable"), 1n);
  releaseSecond();
  await second;
  assert.equal(await log.endOffset("orders", 0, "durable"), 2n);
  await log.close();
  removeDirectory(directory);
});

test("a segment begins only when the one before is durable", async () => {
  const directory = temporaryDirectory();
  const gate = new SyncGate();
  const log = await openFileLog({ directory, segmentBytes: 4096, fileSystem: gate.fileSystem });
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("task-0");
  const release = gate.hold();
  const record = sectionOf("orders", 0, [{ timestamp: 1, key: "k", value: "x".repeat(1500) }]);
  const appends = Array.from({ length: 6 }, () => writer.append([record]));
  await readRecords(log, await log.openCursor("orders", 0, 0n, "written"), 2);
  await log.changed(20);
  assert.deepEqual(segmentsIn(directory), ["0000000001.log"]);
  release();
  await Promise.all(appends);
  assert.deepEqual(segmentsIn(directory), ["0000000001.log", "0000000002.log", "0000000003.log"]);
  await log.close();
  removeDirectory(directory);
});

function segmentsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(".log"))
    .sort();
}

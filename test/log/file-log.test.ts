import assert from "node:assert/strict";

import { test } from "vitest";
import { openFileLog } from "../../src/log/file-log.ts";
import { fileLogOfThread } from "../../src/log/file-log-thread.ts";
import { type FileSystem, nodeFileSystem, type WritableFile } from "../../src/log/file-system.ts";
import { logConformance } from "../../src/testing/log-conformance.ts";
import { removeDirectory, temporaryDirectory } from "./temporary-directory.ts";

for (const segmentBytes of [64 * 1024 * 1024, 4096])
  logConformance({
    name: `file log, segments of ${segmentBytes} bytes`,
    test,
    capabilities: { reopen: true, holdDurability: true },
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
  capabilities: { reopen: false, holdDurability: false },
  open: async () => {
    const directory = temporaryDirectory();
    const owner = await openFileLog({ directory, segmentBytes: 4096 });
    const log = fileLogOfThread(owner.threadHandle());
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

/** A file system whose fdatasync can be made to wait. */
class SyncGate {
  #held: Promise<void> = Promise.resolve();

  hold(): () => void {
    let release = () => {};
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
    return {
      write: (buffers, position) => file.write(buffers, position),
      truncate: (length) => file.truncate(length),
      datasync: async () => {
        await this.#held;
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

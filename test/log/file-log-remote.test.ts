import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, test } from "vitest";
import type { FileLogHandle } from "../../src/log/file-log.ts";
import { connectFileLog, readFileLog } from "../../src/log/file-log-socket.ts";
import { ThreadFileLog } from "../../src/log/file-log-thread.ts";
import { logConformance } from "../../src/testing/log-conformance.ts";
import { readRecords, sectionOf } from "../../src/testing/log-records.ts";
import { removeDirectory, temporaryDirectory } from "./temporary-directory.ts";

// The journal is owned by another thread, then by another process; the suite runs on the appending side. One owner
// serves all tests of a kind, so topics need a prefix that is theirs.

const workerDirectory = temporaryDirectory();
const worker = new Worker(new URL("./file-log-owner-worker.ts", import.meta.url), {
  workerData: { directory: workerDirectory, segmentBytes: 64 * 1024 },
});

async function handle(): Promise<FileLogHandle> {
  worker.postMessage("handle");
  const [message] = await once(worker, "message");
  return message as FileLogHandle;
}

const processDirectory = temporaryDirectory();
const owner = startOwner(processDirectory);
const ownerReady = once(owner, "message");

function startOwner(directory: string): ChildProcess {
  return fork(new URL("./file-log-owner-process.ts", import.meta.url), [directory, "65536"]);
}

afterAll(async () => {
  worker.postMessage("close");
  await once(worker, "exit");
  owner.send("close");
  await once(owner, "exit");
  removeDirectory(workerDirectory);
  removeDirectory(processDirectory);
});

logConformance({
  name: "file log, owned by another thread",
  test,
  topicPrefix: "thread-",
  capabilities: { reopen: true, holdDurability: false, contiguousOffsets: true },
  open: async () => {
    let log = ThreadFileLog.of(await handle());
    return {
      log,
      reopen: async () => {
        await log.close();
        log = ThreadFileLog.of(await handle());
        return log;
      },
      dispose: () => log.close(),
    };
  },
});

logConformance({
  name: "file log, owned by another process",
  test,
  topicPrefix: "process-",
  capabilities: { reopen: true, holdDurability: false, contiguousOffsets: true },
  open: async () => {
    await ownerReady;
    let log = await connectFileLog({ directory: processDirectory });
    return {
      log,
      reopen: async () => {
        await log.close();
        log = await connectFileLog({ directory: processDirectory });
        return log;
      },
      dispose: () => log.close(),
    };
  },
});

test("a thread may append far more in a row than it may have unanswered at a time", async () => {
  const log = ThreadFileLog.of(await handle());
  await log.createTopic("large", { partitions: 1 });
  const writer = await log.openWriter("large-writer");
  const value = "x".repeat(4 * 1024 * 1024);
  for (let sent = 0; sent < 12; sent++)
    await writer.append([sectionOf("large", 0, [{ timestamp: 1, key: "k", value }])]);
  assert.equal(await log.endOffset("large", 0, "durable"), 12n);
  await log.close();
});

test("what a thread gathers goes out when it is released, in the order of the appends", async () => {
  const log = ThreadFileLog.of(await handle());
  await log.createTopic("gathered", { partitions: 1 });
  const writer = await log.openWriter("gathered-writer");
  log.gather();
  const appended = ["a", "b", "c"].map((value) =>
    writer.append([sectionOf("gathered", 0, [{ timestamp: 1, key: "k", value }])]),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await log.endOffset("gathered", 0, "written"), 0n);
  log.release();
  await Promise.all(appended);
  const found = await readRecords(log, await log.openCursor("gathered", 0, 0n, "durable"), 3);
  assert.deepEqual(
    found.map(({ value }) => value),
    ["a", "b", "c"],
  );
  await log.close();
});

test("closing a writer sends what is gathered: it waits for the answers", async () => {
  const log = ThreadFileLog.of(await handle());
  await log.createTopic("closed", { partitions: 1 });
  const writer = await log.openWriter("closed-writer");
  log.gather();
  const appended = writer.append([sectionOf("closed", 0, [{ timestamp: 1, key: "k", value: "a" }])]);
  await writer.close();
  await appended;
  assert.equal(await log.endOffset("closed", 0, "durable"), 1n);
  await log.close();
});

const record = (value: string) => sectionOf("orders", 0, [{ timestamp: 1, key: "k", value }]);

test("when the owner is killed, appends through it reject; opened again, everything acknowledged is there", async () => {
  const directory = temporaryDirectory();
  const killed = startOwner(directory);
  await once(killed, "message");
  const log = await connectFileLog({ directory });
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("producer");
  let acknowledged = 0;
  const appending = (async () => {
    for (let i = 0; ; i++) {
      await writer.append([record(`${i}`)]);
      acknowledged = i + 1;
      if (i === 20) killed.kill("SIGKILL");
    }
  })();
  await assert.rejects(appending, { code: "KAPPA_LOG_CLOSED" });
  await log.close();
  const again = await connectFileLog({ directory });
  const end = Number(await again.endOffset("orders", 0, "durable"));
  assert.ok(end === acknowledged || end === acknowledged + 1, `${acknowledged} acknowledged, ${end} found`);
  const found = await readRecords(again, await again.openCursor("orders", 0, 0n, "durable"), end);
  assert.deepEqual(
    found.map(({ value }) => value),
    Array.from({ length: end }, (_, i) => `${i}`),
  );
  await (await again.openWriter("producer")).append([record("after")]);
  await again.close();
  removeDirectory(directory);
});

test("a process that only reads follows what is durable, and sees nothing else", async () => {
  const directory = temporaryDirectory();
  const reader = readFileLog(directory);
  assert.deepEqual(await reader.topics(), []);
  const log = await connectFileLog({ directory });
  await log.createTopic("orders", { partitions: 1 });
  const writer = await log.openWriter("producer");
  await writer.append([record("0")]);
  while ((await reader.topic("orders")) === undefined) await reader.changed(100);
  const cursor = await reader.openCursor("orders", 0, 0n, "written");
  for (let i = 1; i < 200; i++) await writer.append([record(`${i}`)]);
  const found = await readRecords(reader, cursor, 200);
  assert.deepEqual(
    found.map(({ value }) => value),
    Array.from({ length: 200 }, (_, i) => `${i}`),
  );
  await assert.rejects(reader.openWriter("producer"), /reading only/);
  await log.close();
  await reader.close();
  removeDirectory(directory);
});

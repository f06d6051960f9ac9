import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { appendInput } from "../../scripts/handbook-append.ts";
import { mergeOrder } from "../../scripts/handbook-input.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { EngineWorker } from "../../src/engine/engine-worker.ts";
import type { ThreadReport } from "../../src/engine/thread-protocol.ts";
import { loadTopology } from "../../src/engine/topology-module.ts";
import { defaultSettings } from "../../src/index.ts";
import { type OwnedFileLog, openFileLog } from "../../src/log/file-log.ts";
import { threadHandle } from "../../src/log/thread-log.ts";
import { LevelBackend } from "../../src/state/level-backend.ts";
import { createTopics, registerSchemas } from "../../src/task/application.ts";
import type { Task } from "../../src/task/task.ts";
import { decisionsHash } from "./decisions.ts";
import { type HandbookData, handbookData } from "./handbook-data.ts";

const model = join(import.meta.dirname, "../fixtures/handbook.onnx");

// Goal: a damaged block of the local state, which nobody sees before it is read, costs a restore and nothing else.
// Method: the engine's own worker is stopped half way, blocks of its tables are overwritten, and it goes on.

const partitions = 2;

interface Place {
  readonly directory: string;
  readonly log: OwnedFileLog;
  readonly data: HandbookData;
}

/** What a run of all tasks has shown. */
interface Seen {
  readonly reports: readonly ThreadReport[];
  /** How many tasks began a cycle, by partition: more than one when one was closed and another opened. */
  readonly cycled: readonly number[];
}

/** Runs all tasks in this thread, to the end or until task 0, whose state is damaged, has taken `takenMax` records. */
async function run({ directory, log }: Place, generation: number, takenMax: number): Promise<Seen> {
  const module = {
    module: new URL("../../topologies/handbook.ts", import.meta.url).href,
    parameters: { model },
  };
  const topology = await loadTopology(module);
  await createTopics(topology, log, partitions);
  const registryDir = join(directory, "registry");
  const ends = (topic: string) =>
    Promise.all([0, 1].map(async (p) => Number(await log.endOffset(topic, p, "written"))));
  const reports: ThreadReport[] = [];
  const taken = new Map<number, number>();
  const tasks = new Set<Task>();
  const worker = new EngineWorker({
    order: {
      ...{ thread: 0, topology: module, log: threadHandle(log), partitionCount: partitions },
      registry: { kind: "embedded", folder: registryDir },
      stateDir: join(directory, "state"),
      schemaIds: await registerSchemas(topology, await EmbeddedSchemaRegistry.open(registryDir)),
      // Little memory, so that state is read from disk.
      settings: { ...defaultSettings, commitRecordsMax: 200, cacheBytes: partitions * 64 * 1024, untilEnd: true },
      ends: { transactions: await ends("transactions"), "fraud-labels": await ends("fraud-labels") },
    },
    clock: systemClock,
    report: (report) => {
      reports.push(report);
      if (report.kind === "ended") worker.receive({ kind: "stop" });
    },
    tap: (task, _step, sequence) => {
      tasks.add(task);
      const inputs = Object.values(task.record(sequence).inputs);
      taken.set(
        task.partition,
        inputs.reduce((sum, { offset }) => sum + offset, 0),
      );
      if ((taken.get(0) ?? 0) >= takenMax) worker.receive({ kind: "stop" });
    },
  });
  worker.receive({ kind: "own", version: 1, partitions: [0, 1], generation });
  await worker.run();
  const cycled = Array.from({ length: partitions }, (_, p) => [...tasks].filter((task) => task.partition === p).length);
  return { reports, cycled };
}

async function open(directory: string, data: HandbookData): Promise<Place> {
  const { transactions, labels } = data;
  const log = await openFileLog({ directory: join(directory, "log") });
  await appendInput({
    log,
    dataDir: directory,
    partitions,
    transactions,
    labels,
    model,
    order: mergeOrder(transactions, labels),
  });
  return { directory, log, data };
}

/**
 * Overwrites a hundred bytes in every third kilobyte of the tables of a database, but for what opening reads: the block
 * at the beginning and the index at the end.
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
  return places;
}

test("state that turns out to be damaged while the task runs is restored from the log, and no decision changes", async () => {
  const root = mkdtempSync(join(tmpdir(), "kappa-damage-"));
  const data = handbookData(6000, 5);
  try {
    const undisturbed = await open(join(root, "undisturbed"), data);
    await run(undisturbed, 1, Number.POSITIVE_INFINITY);
    const expected = await decisionsHash(undisturbed.log);
    await undisturbed.log.close();
    assert.equal(expected.records, 6000);

    const damaged = await open(join(root, "damaged"), data);
    await run(damaged, 1, 1800);
    const halfWay = (await decisionsHash(damaged.log)).records;
    assert.ok(halfWay > 0 && halfWay < 6000, `${halfWay} decisions half way`);
    const places = await damage(join(root, "damaged", "state", "0"));
    assert.ok(places > 5, `${places} places overwritten`);
    const { reports, cycled } = await run(damaged, 1_000_000, Number.POSITIVE_INFINITY);
    const restores = reports.flatMap((report) =>
      report.kind === "restoring" && report.applied === 1 ? [report.partition] : [],
    );
    const ofTask0 = restores.filter((partition) => partition === 0).length;
    // Damage that shows after the task was opened: another one ran in its place, or was restored a second time.
    const [tasks = 0, others] = cycled;
    assert.ok(tasks > 1 || ofTask0 > 1, `${tasks} tasks of partition 0 ran and ${ofTask0} were restored`);
    assert.ok(ofTask0 > 0, "nothing was restored from the log");
    assert.equal(others, 1, "tasks of partition 1, whose state is sound");
    assert.deepEqual(await decisionsHash(damaged.log), expected);
    await damaged.log.close();
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

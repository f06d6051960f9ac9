import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { ClassicLevel } from "classic-level";
import { onTestFinished, test } from "vitest";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { KappaError } from "../../src/core/errors.ts";
import { noMeter } from "../../src/core/meter.ts";
import { hours, milliseconds, minutes } from "../../src/core/time.ts";
import { LevelFolders } from "../../src/engine/level-folders.ts";
import { TaskDatabases } from "../../src/engine/task-databases.ts";
import { TaskHost } from "../../src/engine/task-host.ts";
import type { ThreadReport } from "../../src/engine/thread-protocol.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { LevelBackend } from "../../src/state/level-backend.ts";
import { createTopics } from "../../src/task/application.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import { readVisible, sectionOf } from "../../src/testing/log-records.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";

const event = [
  { name: "key", type: "string" },
  { name: "ts", type: "long" },
];
const schema = new RecordSchema<{ key: string; ts: number }>({ type: "record", name: "Event", fields: event });
const counted = new RecordSchema<{ key: string; ts: number; seen: number }>({
  type: "record",
  name: "Counted",
  fields: [...event, { name: "seen", type: "long" }],
});
const base = Date.UTC(2026, 0, 5);
const keys = 700;
/** The clock moves by so much a round, and stands still while a task is opened: how fast the disk is, is no matter. */
const roundMs = 10;
/** Bounds what is waited for: attempts are at most 10 s apart, so many fit in. */
const roundsMax = 20_000;

/** LevelDB on a disk that can be full: then every write of a batch ends as LevelDB's do. */
async function diskOf(directory: string) {
  const disk = { full: false, refused: 0 };
  const level = new ClassicLevel(`${directory}/prototype`);
  await level.open();
  const batch = Object.getPrototypeOf(level.batch());
  const write = batch._write;
  batch._write = function (options: unknown) {
    if (!disk.full) return write.call(this, options);
    disk.refused++;
    const message = `IO error: ${directory}/000005.log: No space left on device`;
    return Promise.reject(Object.assign(new Error(message), { code: "LEVEL_IO_ERROR" }));
  };
  onTestFinished(async () => {
    batch._write = write;
    await level.close();
  });
  return disk;
}

/** An application that counts events by key, its one task run by a host as an engine thread runs it. */
async function counting() {
  const builder = new TopologyBuilder("counting");
  const json = { key: "key", format: "json" } as const;
  builder
    .stream("events", { ...json, schema, time: "ts" })
    .features("counts", { graceMs: minutes(1) }, (over) => ({ seen: over.sliding(hours(1)).count() }))
    .to("out", { ...json, schema: counted });
  const topology = builder.build();
  const log = new MemoryLog();
  const directory = temporaryDirectory();
  onTestFinished(async () => {
    await log.close();
    removeDirectory(directory);
  });
  await log.createTopic("events", { partitions: 1 });
  await createTopics(topology, log, 1);
  const producer = await log.openWriter("producer");
  const clock = new ManualClock();
  const reports: ThreadReport[] = [];
  const stateDir = `${directory}/state`;
  let opening = false;
  const host = (): TaskHost => {
    // Little memory: a restore has to write on the way.
    const taskBytes = 128 * 1024;
    const databases = new TaskDatabases({ folders: new LevelFolders(stateDir), taskBytes, evades: false });
    const around = {
      topology,
      partitions: 1,
      log,
      registry: new MemorySchemaRegistry(),
      schemaIds: {},
      settings: { ...defaultSettings, flushIntervalMs: milliseconds(50) },
      clock,
      meter: noMeter,
      globalTables: new Map(),
      scorers: new Map(),
      ends: {},
      openDatabase: (partition: number, discard: boolean) => {
        opening = true;
        return databases.open(partition, discard);
      },
      tap: () => {},
      onDiscard: (_partition: number, reason: string) => assert.fail(`state was thrown away: ${reason}`),
    };
    const wake = (): void => {
      opening = false;
    };
    const made = new TaskHost({ around, databases, clock, report: (each) => reports.push(each), wake });
    made.own(1, [0], 1);
    return made;
  };
  let events = 0;
  const oneRound = async (running: TaskHost): Promise<void> => {
    await running.settle();
    for (const task of running.tasks) await task.cycle().catch((error: unknown) => running.failed(task, error));
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (!opening) clock.advance(roundMs);
  };
  const until = async (running: TaskHost, holds: () => boolean | Promise<boolean>): Promise<void> => {
    for (let round = 0; !(await holds()); round++) {
      assert.ok(round < roundsMax, `not within ${round} rounds: ${holds}`);
      await oneRound(running);
    }
  };
  return {
    directory,
    stateDir,
    reports,
    host,
    /** Rounds of the host, over so much time. */
    rounds: (running: TaskHost, forMs: number): Promise<void> => {
      const endMs = clock.monotonic() + forMs;
      return until(running, () => clock.monotonic() >= endMs);
    },
    /** Rounds of the host until something holds. */
    until,
    /** Rounds of the host until the output has every event. */
    untilSeen: (running: TaskHost): Promise<void> =>
      until(running, async () => Number(await log.endOffset("out", 0, "durable")) >= events),
    async produce(count: number): Promise<void> {
      const records = Array.from({ length: count }, () => {
        const value = { key: `key-${events % keys}`, ts: base + events++ };
        return { timestamp: value.ts, key: value.key, value: JSON.stringify(value) };
      });
      await producer.append([sectionOf("events", 0, records)]);
    },
    /** What the output holds: how often each event was seen with which count. */
    async seen(): Promise<string[]> {
      const cursor = await log.openCursor("out", 0, 0n, "durable");
      const values = readVisible(cursor).map(({ value }) => JSON.parse(value ?? "{}"));
      cursor.close();
      return values.map(({ key, ts, seen }) => `${key} ${ts - base} ${seen}`);
    },
    expected: (): string[] =>
      Array.from({ length: events }, (_, i) => `key-${i % keys} ${i} ${1 + Math.floor(i / keys)}`),
  };
}

const held = (reports: readonly ThreadReport[]) => reports.filter((report) => report.kind === "held");

test("a disk that is full pauses a task, says so once, and lets it go on by itself when there is room", {
  timeout: 120_000,
}, async () => {
  const application = await counting();
  const disk = await diskOf(application.directory);
  const host = application.host();
  await application.produce(1000);
  await application.untilSeen(host);
  assert.equal((await application.seen()).length, 1000);
  disk.full = true;
  for (let round = 0; round < 20; round++) {
    await application.produce(100);
    await application.rounds(host, 500);
  }
  await application.until(host, () => disk.refused > 2);
  assert.ok(disk.refused > 2 && disk.refused < 20, `it was tried ${disk.refused} times`);
  const [told] = held(application.reports);
  assert.match(told?.reason ?? "", /^state in .*\/state\/0: .*: No space left on device$/);
  disk.full = false;
  await application.until(host, () => held(application.reports).at(-1)?.reason === null);
  await application.untilSeen(host);
  await host.close();
  assert.equal(held(application.reports).at(-1)?.reason, null);
  assert.deepEqual(await application.seen(), application.expected());
  const again = application.host();
  await application.produce(100);
  await application.untilSeen(again);
  await again.close();
  assert.deepEqual(await application.seen(), application.expected());
});

test("a disk that is full during a restore is waited for as well", { timeout: 120_000 }, async () => {
  const application = await counting();
  const disk = await diskOf(application.directory);
  const before = application.host();
  for (let round = 0; round < 100; round++) {
    await application.produce(100);
    await application.rounds(before, 20);
  }
  await application.untilSeen(before);
  await before.close();
  rmSync(application.stateDir, { recursive: true });
  disk.full = true;
  const host = application.host();
  await application.rounds(host, 5000);
  await application.until(host, () => disk.refused > 2);
  assert.ok(disk.refused > 2 && disk.refused < 20, `it was tried ${disk.refused} times`);
  assert.equal(host.tasks.length, 0);
  assert.equal(held(application.reports).length, 1, "it is said once");
  disk.full = false;
  await application.until(host, () => held(application.reports).at(-1)?.reason === null);
  await application.produce(100);
  await application.untilSeen(host);
  await host.close();
  assert.equal(held(application.reports).at(-1)?.reason, null);
  assert.deepEqual(await application.seen(), application.expected());
});

test("a task is not opened where there is no room for what LevelDB gathers", async () => {
  const path = temporaryDirectory();
  onTestFinished(() => removeDirectory(path));
  await assert.rejects(LevelBackend.open({ path: `${path}/0`, writeBufferBytes: 2 ** 60 }), (error: unknown) => {
    assert.ok(error instanceof KappaError);
    assert.equal(error.code, "KAPPA_STATE_FAILED");
    assert.equal(error.recovery, "retry");
    assert.match(error.message, /no space left: \d+ MiB free, \d+ needed/);
    return true;
  });
});

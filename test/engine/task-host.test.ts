import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { noMeter } from "../../src/core/meter.ts";
import { TaskHost } from "../../src/engine/task-host.ts";
import type { ThreadReport } from "../../src/engine/thread-protocol.ts";
import type { Cursor, Log } from "../../src/log/log.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { createTopics } from "../../src/task/application.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import type { TaskSurroundings } from "../../src/task/task-opener.ts";
import { append, at } from "../../src/testing/log-case.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";
import { RecordedMeter } from "../serving/recorded-meter.ts";

const schema = new RecordSchema<{ key: string; ts: number }>({
  type: "record",
  name: "Event",
  fields: [
    { name: "key", type: "string" },
    { name: "ts", type: "long" },
  ],
});

async function hostOf(partitions: number, around: Partial<TaskSurroundings> = {}) {
  const builder = new TopologyBuilder("hosted");
  const options = { schema, key: "key", format: "json" } as const;
  builder.stream("events", { ...options, time: "ts" }).to("out", options);
  const topology = builder.build();
  const log = new MemoryLog();
  await log.createTopic("events", { partitions });
  await createTopics(topology, log, partitions);
  const opened: string[] = [];
  const reports: ThreadReport[] = [];
  const clock = new ManualClock();
  const host = new TaskHost({
    around: {
      topology,
      partitions,
      log,
      registry: new MemorySchemaRegistry(),
      schemaIds: {},
      settings: defaultSettings,
      clock,
      meter: noMeter,
      globalTables: new Map(),
      scorers: new Map(),
      ends: {},
      openDatabase: () => StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 }),
      tap: () => {},
      takeOverTap: (task, step) => {
        if (step === "open-writer") opened.push(task);
      },
      ...around,
    },
    databases: { distrust: () => {} },
    clock,
    report: (report) => reports.push(report),
    wake: () => {},
  });
  onTestFinished(async () => {
    await host.close();
    await log.close();
  });
  return { host, opened, reports, log };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a task stays open from order to order of a run, and is opened anew in another run", async () => {
  const { host, opened } = await hostOf(2);
  host.own(1, [0, 1], 7);
  await host.settle();
  await turn();
  host.own(2, [0, 1], 7);
  await host.settle();
  assert.deepEqual(opened.splice(0), ["hosted-0", "hosted-1"]);
  assert.equal(host.tasks.length, 2);

  host.own(3, [0, 1], 8);
  await host.settle();
  await turn();
  assert.deepEqual(opened.splice(0), ["hosted-0", "hosted-1"]);
  assert.equal(host.tasks.length, 2);
});

test("a task that was still being opened when another run began is opened anew", async () => {
  const { host, opened } = await hostOf(1);
  host.own(1, [0], 7);
  await host.settle();
  host.own(2, [0], 8);
  await host.settle();
  await turn();
  await host.settle();
  await turn();
  assert.deepEqual(opened, ["hosted-0", "hosted-0"]);
});

test("tasks that are taken away while others are being closed are not opened any more", async () => {
  const { host, opened, reports } = await hostOf(2);
  host.own(1, [0, 1], 7);
  await host.settle();
  await turn();
  opened.splice(0);
  reports.splice(0);

  host.own(2, [0, 1], 8);
  const settled = host.settle();
  host.own(3, [], 8);
  await settled;
  await turn();
  assert.deepEqual({ opened, open: host.tasks.length }, { opened: [], open: 0 });
  const released = reports.filter(({ kind }) => kind === "released");
  assert.deepEqual(released, [{ kind: "released", version: 3 }]);
});

/** The log of an application that has committed, and does not show what it committed. */
async function logThatWithholds(): Promise<Log> {
  const { host, log } = await hostOf(1);
  await append(log, "events", 0, [at(1, '{"key":"k","ts":1}')]);
  host.own(1, [0], 1);
  for (let round = 0; round < 5; round++) {
    await host.settle();
    await turn();
    for (const task of host.tasks) await task.cycle();
  }
  host.own(2, [], 1);
  await host.settle();
  let looks = 0;
  return new Proxy(log as Log, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return async (topic: string, ...others: unknown[]) => {
        const opened: unknown = await value.call(target, topic, ...others);
        // The first look is for where a restore begins.
        if (name !== "openCursor" || topic !== "hosted-commits" || ++looks % 2 === 1) return opened;
        const cursor = opened as Cursor;
        const { position, end } = cursor;
        const close = (): void => cursor.close();
        return { position, end, close, next: () => undefined, caughtUp: () => false, arrival: turn };
      };
    },
  });
}

test("a restore that is given up has no commits left to apply", async () => {
  const meter = new RecordedMeter();
  const log = await logThatWithholds();
  const { host } = await hostOf(1, { log, meter: meter.open() });
  const remaining = (): number | undefined => meter.values.get("kappa_restore_remaining_commits 0");
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 20; n++) await turn();
  };
  host.own(1, [0], 2);
  await host.settle();
  await turns();
  assert.ok((remaining() ?? 0) > 0, "it restores");
  host.own(2, [], 2);
  await host.settle();
  await turns();
  assert.equal(remaining(), 0);
});

import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { noMeter } from "../../src/core/meter.ts";
import { TaskHost } from "../../src/engine/task-host.ts";
import type { ThreadReport } from "../../src/engine/thread-protocol.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { createTopics } from "../../src/task/application.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";

const schema = new RecordSchema<{ key: string; ts: number }>({
  type: "record",
  name: "Event",
  fields: [
    { name: "key", type: "string" },
    { name: "ts", type: "long" },
  ],
});

async function hostOf(partitions: number) {
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
  return { host, opened, reports };
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

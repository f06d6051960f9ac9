import assert from "node:assert/strict";
import { test } from "vitest";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { createTopics } from "../../src/task/application.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";
import { openedTask } from "./opened-task.ts";

const schema = new RecordSchema<{ key: string; ts: number }>({
  type: "record",
  name: "Event",
  fields: [
    { name: "key", type: "string" },
    { name: "ts", type: "long" },
  ],
});

test("a take-over tells its steps in their order, and those after the writer again when state is discarded", async () => {
  const builder = new TopologyBuilder("taken");
  builder.stream("events", { schema, key: "key", time: "ts", format: "json" }).to("out", {
    schema,
    key: "key",
    format: "json",
  });
  const topology = builder.build();
  const log = new MemoryLog();
  await log.createTopic("events", { partitions: 1 });
  await createTopics(topology, log, 1);
  const backend = new MemoryBackend();
  const steps: string[] = [];
  const open = async (): Promise<void> => {
    const task = await openedTask(topology, log, 0, {
      openDatabase: (_partition, discard) =>
        StateDatabase.open({ backend: discard ? new MemoryBackend() : backend, cacheBytes: 1 << 20 }),
      takeOverTap: (id, step) => steps.push(`${id} ${step}`),
    });
    await task.close();
  };

  await open();
  const sound = ["open-writer", "open-database", "read-end", "apply-commits", "first-cycle"];
  assert.deepEqual(
    steps.splice(0),
    sound.map((step) => `taken-0 ${step}`),
  );

  // State that says it is at a commit which this log does not hold.
  const ahead = await StateDatabase.open({ backend, cacheBytes: 1 << 20 });
  const position = { version: 1, sequence: 5, inputs: {}, lanes: {}, stages: [], restoreFrom: 0, partitions: 1 };
  await ahead.beginFlush(Buffer.from(JSON.stringify(position))).write();
  await open();
  const discarded = ["open-writer", "open-database", "read-end", "apply-commits", ...sound.slice(1)];
  assert.deepEqual(
    steps,
    discarded.map((step) => `taken-0 ${step}`),
  );
});

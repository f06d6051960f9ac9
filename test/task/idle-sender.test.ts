import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { RecordBatchWriter } from "../../src/log/record-batch.ts";
import { createTopics } from "../../src/task/application.ts";
import { defaultSettings, type TaskSettings } from "../../src/task/settings.ts";
import type { Task } from "../../src/task/task.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";
import { openedTask } from "./opened-task.ts";

// Two tasks send each other rows; task 1 has none, says so once, and is silent from then on.

const schema = new RecordSchema<{ key: string; ts: number }>({
  type: "record",
  name: "Event",
  fields: [
    { name: "key", type: "string" },
    { name: "ts", type: "long" },
  ],
});
const base = Date.UTC(2026, 0, 5);

async function application(settings: Partial<TaskSettings> = {}) {
  const builder = new TopologyBuilder("idle");
  const options = { schema, key: "key", format: "json" } as const;
  builder
    .stream("events", { ...options, time: "ts" })
    .repartition("by-key", { key: "key" })
    .to("out", options);
  const topology = builder.build();
  const log = new MemoryLog();
  onTestFinished(() => log.close());
  await log.createTopic("events", { partitions: 2 });
  await createTopics(topology, log, 2);
  const producer = await log.openWriter("producer");
  const clock = new ManualClock();
  const ends = async (topic: string): Promise<number> =>
    Number(await log.endOffset(topic, 0, "written")) + Number(await log.endOffset(topic, 1, "written"));
  return {
    clock,
    commits: () => ends("idle-commits"),
    outputs: () => ends("out"),
    open: (partition: number, generation: number): Promise<Task> => {
      const around = { partitions: 2, clock, generation, settings: { ...defaultSettings, ...settings } };
      return openedTask(topology, log, partition, around);
    },
    /** An event at task 0. */
    async event(ts: number): Promise<void> {
      const writer = new RecordBatchWriter();
      writer.append(base + ts, Buffer.from("k"), Buffer.from(JSON.stringify({ key: "k", ts: base + ts })));
      const { count, minTimeMs, maxTimeMs } = writer;
      const section = { topic: "events", partition: 0, count, minTimeMs, maxTimeMs, bytes: writer.take() };
      await producer.append([section]);
    },
    /** Cycles of some tasks until they have nothing to do, with time for what is passed over. */
    async settle(...tasks: readonly Task[]): Promise<void> {
      for (let idle = 0; idle < 4; ) {
        let worked = false;
        for (const task of tasks) if (await task.cycle()) worked = true;
        await new Promise((resolve) => setImmediate(resolve));
        if (worked) idle = 0;
        else idle++;
        clock.advance(10);
      }
    },
  };
}

test("a task that is opened again goes on although another, which is idle, says nothing", async () => {
  const { open, event, settle, outputs } = await application();
  const [first, idle] = [await open(0, 1), await open(1, 1)];
  await event(1);
  await settle(first, idle);
  assert.equal(await outputs(), 1);

  // Twice: the second opening knows it only from the commit of the first, which heard nothing itself.
  await first.close();
  const again = await open(0, 1);
  await settle(again);
  await again.close();
  const once = await open(0, 1);
  await event(2);
  await settle(once, idle);
  assert.equal(await outputs(), 2);
});

test("in another run an idle task is waited for until it speaks", async () => {
  const { open, event, settle, outputs } = await application();
  const [first, idle] = [await open(0, 1), await open(1, 1)];
  await event(1);
  await settle(first, idle);
  assert.equal(await outputs(), 1);
  await first.close();
  await idle.close();

  // What task 1 has not read yet may sort before.
  const next = await open(0, 2);
  await event(2);
  await settle(next);
  assert.equal(await outputs(), 1);
  const spoken = await open(1, 2);
  await settle(next, spoken);
  assert.equal(await outputs(), 2);
});

test("an idle task says again where it stands when frontierRepeatMs have passed, and by default never", async () => {
  for (const [frontierRepeatMs, expected] of [
    [1000, 2],
    [Number.POSITIVE_INFINITY, 0],
  ] as const) {
    const { open, settle, clock, commits } = await application({ frontierRepeatMs });
    const task = await open(0, 1);
    await settle(task);
    const before = await commits();
    for (let repeat = 0; repeat < 2; repeat++) {
      clock.advance(1000);
      await settle(task);
    }
    assert.equal((await commits()) - before, expected);
  }
});

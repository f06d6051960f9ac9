import { onTestFinished } from "vitest";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { RecordBatchWriter } from "../../src/log/record-batch.ts";
import { createTopics } from "../../src/task/application.ts";
import { defaultSettings, type TaskSettings } from "../../src/task/settings.ts";
import type { Task } from "../../src/task/task.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
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
const base = Date.UTC(2026, 0, 5);

/** Two tasks that send each other rows, opened and run by hand. */
export async function twoTasks(settings: Partial<TaskSettings> = {}) {
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
    log,
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

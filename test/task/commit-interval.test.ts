import assert from "node:assert/strict";
import { test } from "vitest";
import { cardPaymentSchema } from "../../schemas/records.ts";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { valueSubject } from "../../src/codec/schema-registry.ts";
import { noMeter } from "../../src/core/meter.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { RecordBatchWriter } from "../../src/log/record-batch.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { createTopics, registerSchemas } from "../../src/task/application.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import { openTask } from "../../src/task/task-opener.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import topology from "../../topologies/card-velocity.ts";

/** A task of the card topology that is asked for cycles by hand, and a way to send it payments. */
async function openCardTask() {
  const log = new MemoryLog();
  const registry = new MemorySchemaRegistry();
  const clock = new ManualClock();
  await log.createTopic("payments", { partitions: 1 });
  await createTopics(topology, log, 1);
  const schemaIds = await registerSchemas(topology, registry);
  const id = await registry.register(valueSubject("payments"), cardPaymentSchema.definition);
  const serde = new AvroSerde(cardPaymentSchema, id, registry);
  const task = await openTask(0, {
    topology,
    partitions: 1,
    log,
    registry,
    schemaIds,
    settings: defaultSettings,
    clock,
    meter: noMeter,
    globalTables: new Map(),
    scorers: new Map(),
    generation: 1,
    ends: {},
    openDatabase: () => StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 }),
    tap: () => {},
  });
  const writer = await log.openWriter("payments-writer");
  const send = async (ts: number): Promise<void> => {
    const value = Buffer.alloc(256);
    const payment = { payment_id: `p${ts}`, ts, card_id: "c1", merchant_id: "m1", amount: 100, currency: "EUR" };
    const batch = new RecordBatchWriter();
    batch.append(ts, Buffer.from("c1"), value.subarray(0, serde.encode(payment, value, 0)));
    const { count, minTimeMs, maxTimeMs } = batch;
    await writer.append([{ topic: "payments", partition: 0, count, minTimeMs, maxTimeMs, bytes: batch.take() }]);
  };
  return { task, clock, send };
}

test("a record that comes within the commit interval waits for its end, not for the log to change again", async () => {
  const { task, clock, send } = await openCardTask();
  const startMs = Date.UTC(2026, 0, 1);
  await send(startMs);
  clock.advance(1000);
  assert.equal(await task.cycle(), true);

  await send(startMs + 1);
  clock.advance(2);
  assert.equal(await task.cycle(), false, "the interval has not passed");
  assert.equal(task.waitMs, defaultSettings.commitIntervalMs - 2);
  clock.advance(task.waitMs);
  assert.equal(await task.cycle(), true);

  clock.advance(1000);
  assert.equal(await task.cycle(), false, "nothing is left");
  assert.equal(task.waitMs, 100);
  await task.close();
});

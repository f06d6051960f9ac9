import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "vitest";
import { cardPaymentSchema } from "../../schemas/records.ts";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { Engine, openFileLog, RecordBatchReader, RecordBatchWriter } from "../../src/index.ts";

const commitIntervalMs = 40;
const sendMs = 1000;

test("records that come all the time are committed once an interval, and none waits for longer", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "kappa-interval-"));
  const log = await openFileLog({ directory: join(dataDir, "log") });
  const registry = await EmbeddedSchemaRegistry.open(join(dataDir, "registry"));
  const id = await registry.register("payments-value", cardPaymentSchema.definition);
  const serde = new AvroSerde(cardPaymentSchema, id, registry);
  await log.createTopic("payments", { partitions: 1 });
  const module = new URL("../../topologies/card-velocity.ts", import.meta.url).href;
  const engine = await Engine.start({
    topology: { module, parameters: {} },
    log,
    dataDir,
    threads: 1,
    settings: { commitIntervalMs },
  });
  while (engine.state !== "RUNNING") await pause(5);

  const writer = await log.openWriter("payments-writer");
  const bytes = Buffer.alloc(256);
  const startMs = performance.now();
  let sent = 0;
  while (performance.now() - startMs < sendMs) {
    const batch = new RecordBatchWriter();
    const ts = Date.UTC(2026, 0, 1) + sent;
    const payment = { payment_id: `p${sent}`, ts, card_id: "c1", merchant_id: "m1", amount: 100, currency: "EUR" };
    batch.append(ts, Buffer.from("c1"), bytes.subarray(0, serde.encode(payment, bytes, 0)));
    const { count, minTimeMs, maxTimeMs } = batch;
    await writer.append([{ topic: "payments", partition: 0, count, minTimeMs, maxTimeMs, bytes: batch.take() }]);
    sent++;
    await pause(2);
  }
  const decidedInTime = async (): Promise<boolean> =>
    (await log.endOffset("payment-velocity", 0, "durable")) === BigInt(sent);
  for (let waitedMs = 0; !(await decidedInTime()) && waitedMs < 50 * commitIntervalMs; waitedMs += 5) await pause(5);
  const elapsedMs = performance.now() - startMs;
  await engine.stop();

  let commits = 0;
  const cursor = await log.openCursor("payment-velocity", 0, 0n, "durable");
  const reader = new RecordBatchReader();
  let decided = 0;
  for (let batch = cursor.next(); batch !== undefined; batch = cursor.next(), commits++) {
    reader.reset(batch.bytes);
    while (reader.next()) decided++;
  }
  assert.equal(decided, sent);
  assert.ok(commits <= elapsedMs / commitIntervalMs + 1, `${commits} commits in ${elapsedMs} ms`);
  assert.ok(commits >= 3, `${commits} commits of ${sent} records`);
  await log.close();
  await rm(dataDir, { recursive: true });
});

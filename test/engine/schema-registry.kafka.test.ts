import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { inject, onTestFinished, test } from "vitest";
import { cardPaymentSchema } from "../../schemas/records.ts";
import { SchemaRegistryServer } from "../../scripts/stack/schema-registry-server.ts";
import { ConfluentSchemaRegistry } from "../../src/codec/confluent-schema-registry.ts";
import { valueSubject } from "../../src/codec/schema-registry.ts";
import { Engine } from "../../src/index.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";
import { until, VelocityApplication } from "../registry/velocity-application.ts";

const partitions = 4;
/** Every partition gets so many payments at once, ten times a second: 2,000 payments a second in all. */
const paymentsAtOnce = 50;
const everyMs = 100;
/** How long the registry is away; to set it, see CONTRIBUTING.md. */
const awayMs = Number(process.env.REGISTRY_AWAY_MS ?? 5000);
const timeout = 150_000 + 3 * awayMs;

/** The payments' schema with a field more, as a producer of the next release writes it. */
const nextRelease = JSON.stringify({
  ...JSON.parse(cardPaymentSchema.definition),
  fields: [...JSON.parse(cardPaymentSchema.definition).fields, { name: "channel", type: "null", default: null }],
});

test("decisions go on with the registry away, and none is lost when a new schema comes meanwhile", {
  timeout,
}, async () => {
  const server = await SchemaRegistryServer.start();
  onTestFinished(() => server.stop());
  const { url } = server;
  const [dataDir, elsewhere] = [temporaryDirectory(), temporaryDirectory()];
  const log = await KafkaLog.open({ bootstrapServers: [inject("kafkaBootstrapServers")], clientId: "registry-test" });
  const application = new VelocityApplication(log, `registry-${randomUUID()}`, partitions);
  onTestFinished(async () => {
    await application.close();
    await log.close();
    for (const folder of [dataDir, elsewhere]) removeDirectory(folder);
  });
  await application.createInput();
  const producers = await ConfluentSchemaRegistry.open({ url, cacheFolder: elsewhere });
  const subject = valueSubject(application.inputTopic);
  const known = await producers.register(subject, cardPaymentSchema.definition);
  const unseen = await producers.register(subject, nextRelease);
  const { topology } = application;
  const registry = { kind: "confluent", url } as const;
  const engine = await Engine.start({ topology, log, dataDir, threads: 2, registry });
  onTestFinished(() => engine.stop().catch(() => {}));

  const sent: string[][] = Array.from({ length: partitions }, () => []);
  const pay = async (partition: number, count: number, id: number) => {
    sent[partition]?.push(...(await application.pay(partition, count, id)));
  };
  let load = true;
  const loading = Promise.all(
    sent.map(async (_, partition) => {
      while (load) await Promise.all([pay(partition, paymentsAtOnce, known), pause(everyMs)]);
    }),
  );
  onTestFinished(async () => {
    load = false;
    await loading.catch(() => {}); // the test has failed already
  });
  assert.ok((await application.decided(2000, 20_000)).length >= 2000);

  await server.kill();
  const heldFrom = sent[0]?.length as number;
  await pay(0, 1, unseen);
  await until(() => engine.waits.length === 1, 10_000);
  const progress: number[] = [];
  for (const endMs = performance.now() + awayMs; performance.now() < endMs; await pause(1000)) {
    progress.push((await application.decisions()).length);
  }
  const meanwhile = new Set((await application.decisions()).map(({ paymentId }) => paymentId));
  assert.equal(engine.waits.length, 1);
  assert.ok(
    progress.every((count, i) => i === 0 || count - (progress[i - 1] as number) > 100),
    progress.join(" "),
  );
  assert.ok(!sent[0]?.slice(heldFrom + paymentsAtOnce + 1).some((id) => meanwhile.has(id)));

  await server.start();
  await until(() => engine.waits.length === 0, 40_000);
  load = false;
  await loading;
  const total = sent.reduce((sum, ids) => sum + ids.length, 0);
  const decided = (await application.decided(total, 30_000 + awayMs)).map(({ paymentId }) => paymentId);
  assert.deepEqual(await application.deadReasons(), []);
  for (const ids of sent) {
    const own = new Set(ids);
    // Each once, and in their order.
    assert.deepEqual(
      decided.filter((id) => own.has(id)),
      ids,
    );
  }
  assert.equal(decided.length, total);
});

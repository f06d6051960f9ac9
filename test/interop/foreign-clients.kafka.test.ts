import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, inject, onTestFinished, test } from "vitest";
import { type CardPayment, type CardVelocity, cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { ConfluentSchemaRegistry } from "../../src/codec/confluent-schema-registry.ts";
import { Engine } from "../../src/index.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { runTool } from "../chaos/kafka-tools.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";
import { VelocityApplication } from "../registry/velocity-application.ts";
import { pythonWithClients, runScript } from "./python-environment.ts";

const partitions = 3;
const startMs = Date.UTC(2026, 0, 5);
const hourMs = 3_600_000;

/** What the producer writes after its next release: fields in another order, one more, and one with a new default. */
const nextRelease = {
  type: "record",
  name: "CardPayment",
  namespace: "kappa.example",
  fields: [
    { name: "channel", type: { type: "enum", name: "Channel", symbols: ["POS", "WEB"] }, default: "POS" },
    { name: "currency", type: "string", default: "EUR" },
    { name: "amount", type: "long" },
    { name: "note", type: ["null", "string"], default: null },
    { name: "merchant_id", type: "string" },
    { name: "card_id", type: "string" },
    { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "payment_id", type: "string" },
  ],
};

let python = "";
beforeAll(async () => {
  python = await pythonWithClients();
}, 300_000);

/** Payments of a few cards over two days, some names beyond ASCII, some amounts beyond 32 bits. */
function payments(count: number, from: number): CardPayment[] {
  return Array.from({ length: count }, (_, i) => {
    const n = from + i;
    const card = n % 7;
    return {
      payment_id: `p${n}`,
      ts: startMs + n * 211_000,
      card_id: card === 3 ? "карта-💳" : `card-${card}`,
      merchant_id: `Café №${n % 11}`,
      amount: n % 5 === 0 ? 2 ** 40 + n : (n * 37) % 10_000,
      currency: "EUR",
    };
  });
}

/** What the topology has to say of payments, in their order: windows are (t - w, t]. */
function velocities(all: readonly CardPayment[]): CardVelocity[] {
  return all.map(({ payment_id, ts, card_id }, i) => {
    const within = (ms: number) =>
      all.slice(0, i + 1).filter((each) => each.card_id === card_id && each.ts > ts - ms && each.ts <= ts);
    const sum = (some: readonly CardPayment[]) => some.reduce((total, { amount }) => total + amount, 0);
    const [hour, day] = [within(hourMs), within(24 * hourMs)];
    return {
      ...{ payment_id, ts, card_id },
      ...{ count_1h: hour.length, sum_1h: sum(hour), count_24h: day.length, sum_24h: sum(day) },
    };
  });
}

/** Bytes as Kafka's `Bytes` prints them: what is no plain character, and the backslash, as `\xNN`. */
function bytesOf(printed: string): Buffer {
  return Buffer.from(
    printed.replace(/\\x([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );
}

const byPayment = (some: readonly CardVelocity[]) =>
  [...some].sort((a, b) => Number(a.payment_id.slice(1)) - Number(b.payment_id.slice(1)));

test("a Python producer feeds an application, and Java and Python consumers read what it decided", async () => {
  const url = inject("schemaRegistryUrl");
  const bootstrapServers = inject("kafkaBootstrapServers");
  const folder = temporaryDirectory();
  const log = await KafkaLog.open({ bootstrapServers: [bootstrapServers], clientId: "interop" });
  const application = new VelocityApplication(log, `interop-${randomUUID()}`, partitions);
  onTestFinished(async () => {
    await application.close();
    await log.close();
    removeDirectory(folder);
  });
  await application.createInput();
  const { inputTopic, outputTopic, topology } = application;
  const dataDir = join(folder, "data");
  const engine = await Engine.start({ topology, log, dataDir, threads: 2, registry: { kind: "confluent", url } });
  onTestFinished(() => engine.stop().catch(() => {}));

  const place = ["--bootstrap-servers", bootstrapServers, "--registry", url];
  const produce = (schema: object, lines: readonly object[]) => {
    const file = join(folder, "schema.avsc");
    writeFileSync(file, JSON.stringify(schema));
    const input = lines.map((line) => JSON.stringify(line)).join("\n");
    return runScript(python, "produce.py", [...place, "--topic", inputTopic, "--schema", file], input);
  };
  const [before, after] = [payments(300, 0), payments(300, 300)];
  await produce(JSON.parse(cardPaymentSchema.definition), before);
  assert.equal((await application.decided(before.length, 20_000)).length, before.length);
  await produce(
    nextRelease,
    after.map((payment, i) => ({ ...payment, channel: "WEB", note: i % 2 ? "ß" : null })),
  );
  const expected = velocities([...before, ...after]);
  assert.equal((await application.decided(expected.length, 20_000)).length, expected.length);
  assert.deepEqual(await application.deadReasons(), []);

  // Java: bytes, keys and timestamps as any of its consumers gets them.
  const registry = await ConfluentSchemaRegistry.open({ url, cacheFolder: join(folder, "cache") });
  const output = await registry.latest(`${outputTopic}-value`);
  assert.equal(output?.schema, cardVelocitySchema.definition);
  await registry.schemaOf(output?.id as number);
  const serde = new AvroSerde<CardVelocity>(cardVelocitySchema, -1, registry);
  const read: CardVelocity[] = [];
  const shown = ["print.key=true", "print.timestamp=true", "print.partition=true"].flatMap((each) => [
    "--property",
    each,
  ]);
  const asBytes = ["--property", "value.deserializer=org.apache.kafka.common.serialization.BytesDeserializer"];
  await runTool({
    mainClass: "org.apache.kafka.tools.consumer.ConsoleConsumer",
    args: [
      ...["--bootstrap-server", bootstrapServers, "--topic", outputTopic, "--from-beginning"],
      ...["--isolation-level", "read_committed", "--timeout-ms", "8000", ...shown, ...asBytes],
    ],
    onLine: (line) => {
      const [, time, , key, printed] = /^CreateTime:(\d+)\tPartition:(\d+)\t([^\t]*)\t(.*)$/.exec(line) ?? [];
      const bytes = bytesOf(printed ?? "");
      const decision = serde.decode(bytes, 0, bytes.length);
      assert.deepEqual([Number(time), key], [decision.ts, decision.card_id], line);
      read.push(decision);
    },
  });
  assert.deepEqual(byPayment(read), expected);

  // Python: values as a client has them that knows the registry alone.
  const printed = await runScript(python, "consume.py", [
    ...place,
    ...["--topic", outputTopic, "--count", String(expected.length)],
  ]);
  const records = printed
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { key: string; value: CardVelocity });
  assert.ok(records.every(({ key, value }) => key === value.card_id));
  assert.deepEqual(byPayment(records.map(({ value }) => value)), expected);
}, 180_000);

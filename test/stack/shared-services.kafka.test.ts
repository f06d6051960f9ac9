import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { inject, onTestFinished, test } from "vitest";
import { RedisServer } from "../../scripts/stack/redis-server.ts";
import { SchemaRegistryServer } from "../../scripts/stack/schema-registry-server.ts";
import { kafkaForTests } from "../../scripts/stack/services-for-tests.ts";
import { KafkaSession } from "./kafka-session.ts";

/** A request to a schema registry, as its protocol has it. */
async function request(url: string, method: string, body?: object): Promise<{ status: number; body: unknown }> {
  const headers = { "content-type": "application/vnd.schemaregistry.v1+json" };
  const response = await fetch(url, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  return { status: response.status, body: await response.json() };
}

function recordSchema(...fields: object[]): { schema: string } {
  return { schema: JSON.stringify({ type: "record", name: "Payment", fields }) };
}

const amount = { name: "amount", type: "long" };

test("the shared Kafka keeps what it is given", async () => {
  const session = new KafkaSession({ brokers: [inject("kafkaBootstrapServers")] });
  const topic = await session.filledTopic(["one", "two"]);
  assert.deepEqual(await session.values(topic), ["one", "two"]);
});

test("the shared registry takes a compatible schema and refuses one that readers could not follow", async () => {
  const url = inject("schemaRegistryUrl");
  const subject = `payments-${randomUUID()}-value`;
  const versions = `${url}/subjects/${subject}/versions`;
  const first = await request(versions, "POST", recordSchema(amount));
  assert.equal(first.status, 200);
  await request(`${url}/config/${subject}`, "PUT", { compatibility: "BACKWARD" });
  const compatible = recordSchema(amount, { name: "shop", type: "string", default: "" });
  assert.equal((await request(versions, "POST", compatible)).status, 200);
  assert.equal((await request(versions, "POST", recordSchema(amount, { name: "shop", type: "long" }))).status, 409);
  const { id } = first.body as { id: number };
  const { body } = await request(`${url}/schemas/ids/${id}`, "GET");
  assert.equal((body as { schema: string }).schema, recordSchema(amount).schema);
});

test("the shared Redis answers", async () => {
  const redis = new Redis(inject("redisUrl"));
  onTestFinished(() => redis.disconnect());
  const key = randomUUID();
  await redis.set(key, "value");
  assert.equal(await redis.get(key), "value");
});

test("a registry that was killed comes back with its schemas", async () => {
  const registry = await SchemaRegistryServer.start();
  onTestFinished(() => registry.stop());
  const { body } = await request(`${registry.url}/subjects/a/versions`, "POST", recordSchema(amount));
  await registry.kill();
  await registry.start();
  const { id } = body as { id: number };
  assert.equal((await request(`${registry.url}/schemas/ids/${id}`, "GET")).status, 200);
});

test("a Redis that was killed comes back with its values", async () => {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  const redis = new Redis(server.url);
  onTestFinished(() => redis.disconnect());
  redis.on("error", () => {}); // it connects again by itself
  await redis.set("key", "value");
  await server.kill();
  await server.start();
  assert.equal(await redis.get("key"), "value");
});

test("an address in KAFKA_BOOTSTRAP_SERVERS goes before a broker of one's own, and is not stopped", async () => {
  const before = process.env.KAFKA_BOOTSTRAP_SERVERS;
  process.env.KAFKA_BOOTSTRAP_SERVERS = inject("kafkaBootstrapServers");
  onTestFinished(() => {
    if (before === undefined) delete process.env.KAFKA_BOOTSTRAP_SERVERS;
    else process.env.KAFKA_BOOTSTRAP_SERVERS = before;
  });
  const kafka = await kafkaForTests();
  assert.equal(kafka.address, inject("kafkaBootstrapServers"));
  await kafka.stop();
  await new KafkaSession({ brokers: [kafka.address] }).filledTopic([]);
});

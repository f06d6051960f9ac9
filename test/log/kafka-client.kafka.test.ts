import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { inject, test } from "vitest";
import { KafkaClient } from "../../src/log/kafka-client.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";

const kafka = { bootstrapServers: [inject("kafkaBootstrapServers")], clientId: "client-test" };

test("a topic is found although a look at others is under way", async () => {
  const log = await KafkaLog.open(kafka);
  const client = new KafkaClient(kafka);
  await client.connect();
  try {
    for (let i = 0; i < 5; i++) {
      const topic = `found-${randomUUID()}`;
      await log.createTopic(topic, { partitions: 2 });
      const [, leader] = await Promise.all([client.refresh(), client.leaderOf(topic, 1)]);
      assert.ok(leader >= 0, `leader ${leader}`);
    }
  } finally {
    await client.close();
    await log.close();
  }
});

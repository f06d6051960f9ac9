import { randomUUID } from "node:crypto";
import { inject, test } from "vitest";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { logConformance } from "../../src/testing/log-conformance.ts";

const kafka = { bootstrapServers: [inject("kafkaBootstrapServers")], clientId: "conformance" };

logConformance({
  name: "kafka",
  test,
  topicPrefix: `${randomUUID()}-`,
  open: async () => {
    let log = await KafkaLog.open(kafka);
    return {
      log,
      reopen: async () => {
        await log.close();
        log = await KafkaLog.open(kafka);
        return log;
      },
      dispose: () => log.close(),
    };
  },
  capabilities: { reopen: true, holdDurability: false, contiguousOffsets: false },
});

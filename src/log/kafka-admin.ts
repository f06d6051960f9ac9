import { type Admin, Kafka, logLevel } from "kafkajs";
import type { KafkaOptions } from "./kafka-options.ts";

/** kafkajs' client for what is asked of a cluster as a whole, connected. */
export async function connectAdmin(options: KafkaOptions): Promise<Admin> {
  const { bootstrapServers, clientId, tls, sasl, requestTimeoutMs = 10_000 } = options;
  const kafka = new Kafka({
    brokers: [...bootstrapServers],
    clientId,
    requestTimeout: requestTimeoutMs,
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, retries: 4 },
    ...(tls === undefined ? {} : { ssl: tls }),
    ...(sasl === undefined ? {} : { sasl: { ...sasl } }),
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    return admin;
  } catch (error) {
    void admin.disconnect().catch(() => {}); // or its sockets keep the process
    throw error;
  }
}

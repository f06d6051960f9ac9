import type { ConnectionOptions } from "node:tls";
import type { SASLOptions } from "kafkajs";

/** How to reach a cluster. Plain data: it travels to the engine's threads. */
export interface KafkaOptions {
  /** `host:port` of one or more brokers; the others are learned from them. */
  readonly bootstrapServers: readonly string[];
  /** Name of this process in the logs and quotas of the brokers. */
  readonly clientId: string;
  /** TLS, with a client certificate for mutual TLS. Without it connections are in the clear. */
  readonly tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase" | "servername"> & {
    readonly rejectUnauthorized?: boolean;
  };
  readonly sasl?: SASLOptions;
  /**
   * How long the coordinator keeps a transaction open that nobody ends, in ms. A process that stalls longer is fenced; one
   * that dies holds up readers of what it wrote this long, unless its task is taken over before. Default 10,000.
   */
  readonly transactionTimeoutMs?: number;
  /** Compression of what is written. Default none: on one machine the processor time is dearer than the bytes. */
  readonly compression?: KafkaCompression;
  /** Replicas of topics that are created; -1 (the default) leaves it to the broker. */
  readonly replicationFactor?: number;
  /** How long a request may go unanswered, in ms. Default 10,000. */
  readonly requestTimeoutMs?: number;
}

/** Every codec can be read; these can be written. */
export type KafkaCompression = "none" | "gzip" | "snappy" | "lz4" | "zstd";

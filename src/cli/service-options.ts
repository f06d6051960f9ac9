import { z } from "zod";
import { integer, options, path, yesOrNo } from "./config-option.ts";

const server = /^([^\s,:/[\]]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/;

const serverList = z.preprocess(
  (value) => (typeof value === "string" ? value.split(",").map((each) => each.trim()) : value),
  z.array(z.string().regex(server, "is host:port, several of them with commas between")).min(1),
);

/** How to reach Kafka. */
const kafka = {
  bootstrapServers: serverList.optional().register(options, {
    description:
      "Kafka brokers to begin with, `host:port` with commas between; the others are learned from them. When set, topics " +
      "are those of Kafka, else those of the embedded log in the data folder.",
    env: "KAFKA_BOOTSTRAP_SERVERS",
    alias: "KAFKA_BROKERS",
    flag: "--bootstrap-servers",
    otherwise: "none: the embedded log",
  }),
  securityProtocol: z.enum(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]).default("PLAINTEXT").register(options, {
    description: "How the listener of the brokers is spoken to: with TLS (`SSL`), with a user (`SASL`), both or none.",
    env: "KAFKA_SECURITY_PROTOCOL",
    flag: "--security-protocol",
  }),
  saslMechanism: z
    .enum(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    .optional()
    .register(options, {
      description:
        "How the user is proven: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. `PLAIN` sends the password as it is, so it " +
        "needs `SASL_SSL`.",
      env: "KAFKA_SASL_MECHANISM",
      flag: "--sasl-mechanism",
      otherwise: "none",
    }),
  saslUsername: z.string().min(1).optional().register(options, {
    description: "User of the brokers.",
    env: "KAFKA_SASL_USERNAME",
    flag: "--sasl-username",
    otherwise: "none",
  }),
  saslPassword: z.string().min(1).optional().register(options, {
    description: "Password of that user.",
    env: "KAFKA_SASL_PASSWORD",
    otherwise: "none",
    secret: true,
  }),
  saslPlainWithoutTls: yesOrNo().default(false).register(options, {
    description: "Whether `PLAIN` may send the password over a connection that anyone on the way can read.",
    env: "KAFKA_SASL_PLAIN_WITHOUT_TLS",
    flag: "--sasl-plain-without-tls",
  }),
  sslCaLocation: path.optional().register(options, {
    description: "File of the authorities that are trusted with the brokers' names, PEM.",
    env: "KAFKA_SSL_CA_LOCATION",
    flag: "--ssl-ca-location",
    otherwise: "those that Node trusts",
  }),
  sslCertificateLocation: path.optional().register(options, {
    description: "File of this client's certificate, PEM, for listeners that ask for one. Needs the key too.",
    env: "KAFKA_SSL_CERTIFICATE_LOCATION",
    flag: "--ssl-certificate-location",
    otherwise: "none",
  }),
  sslKeyLocation: path.optional().register(options, {
    description: "File of the key of that certificate, PEM.",
    env: "KAFKA_SSL_KEY_LOCATION",
    flag: "--ssl-key-location",
    otherwise: "none",
  }),
  sslKeyPassword: z.string().min(1).optional().register(options, {
    description: "Password of the key file.",
    env: "KAFKA_SSL_KEY_PASSWORD",
    otherwise: "none",
    secret: true,
  }),
  sessionTimeoutMs: integer(1000, 1_800_000)
    .default(6000)
    .register(options, {
      description:
        "How long the brokers wait for a sign of life of a process before its tasks go to others, in ms. Shorter takes over " +
        "sooner; a process that stalls longer loses its tasks. The brokers allow 6,000 to 1,800,000 unless told otherwise.",
      env: "KAFKA_SESSION_TIMEOUT_MS",
      flag: "--session-timeout-ms",
    }),
  transactionTimeoutMs: integer(1000, 900_000)
    .default(10_000)
    .register(options, {
      description:
        "How long the brokers keep a transaction open that nobody ends, in ms. A process that stalls longer in a commit is " +
        "fenced; one that dies holds up readers of its output this long, unless its tasks are taken over before.",
      env: "KAFKA_TRANSACTION_TIMEOUT_MS",
      flag: "--transaction-timeout-ms",
    }),
  compression: z.enum(["none", "gzip", "snappy", "lz4", "zstd"]).default("none").register(options, {
    description: "How what is written to Kafka is compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`.",
    env: "KAFKA_COMPRESSION",
    flag: "--compression",
  }),
  replicationFactor: integer(-1, 32_767).default(-1).register(options, {
    description: "Copies of each topic that is created, on as many brokers. -1: as the brokers are set.",
    env: "KAFKA_REPLICATION_FACTOR",
    flag: "--replication-factor",
  }),
};

const withoutUser = (text: string) => !/^[a-z]+:\/\/[^/]*@/i.test(text);

/** How to reach what stands beside the log. */
const beside = {
  schemaRegistryUrl: z
    .url({ protocol: /^https?$/, error: "is http://host:port or https://host:port" })
    .refine(withoutUser, "holds a user; give it by SCHEMA_REGISTRY_API_KEY and SCHEMA_REGISTRY_API_SECRET")
    .optional()
    .register(options, {
      description: "Schema registry with the API of Confluent's. Without it schemas are kept in the data folder.",
      env: "SCHEMA_REGISTRY_URL",
      flag: "--schema-registry-url",
      otherwise: "none: the data folder",
    }),
  schemaRegistryApiKey: z.string().min(1).optional().register(options, {
    description: "User of the schema registry.",
    env: "SCHEMA_REGISTRY_API_KEY",
    otherwise: "none",
    secret: true,
  }),
  schemaRegistryApiSecret: z.string().min(1).optional().register(options, {
    description: "Password of that user.",
    env: "SCHEMA_REGISTRY_API_SECRET",
    otherwise: "none",
    secret: true,
  }),
  redisUrl: z
    .url({ protocol: /^rediss?$/, error: "is redis://host:port or, with TLS, rediss://host:port" })
    .optional()
    .register(options, {
      description: "Redis for the newest values of each key, `redis://:password@host:port/0`. It may hold a password.",
      env: "REDIS_URL",
      otherwise: "none",
      secret: true,
    }),
};

/** Options that say which services are used and how. */
export const serviceOptions = { ...kafka, ...beside };

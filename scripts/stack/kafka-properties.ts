import type { BrokerCertificates } from "./broker-certificates.ts";

/** How clients may reach a broker. `MTLS` is TLS that asks the client for a certificate. */
export type KafkaListener = "PLAINTEXT" | "SSL" | "MTLS" | "SASL_PLAINTEXT" | "SASL_SSL";

/** What the configuration of one combined node depends on. */
export interface KafkaNode {
  readonly dataDir: string;
  readonly controllerPort: number;
  /** Ports by listener; `PLAINTEXT` is always there, since the broker speaks to itself over it. */
  readonly ports: ReadonlyMap<KafkaListener, number>;
  readonly certificates: BrokerCertificates | undefined;
  /** Passwords by user, for the SASL listeners. */
  readonly users: Readonly<Record<string, string>>;
  /** Stronger than everything here. */
  readonly properties: Readonly<Record<string, string>>;
}

/** The one id of the one node, broker and controller in one. */
const nodeId = 1;

/** What SASL listeners accept. */
const mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;

/** Largest record batch, and so request and fetch, that is taken. */
const messageBytesMax = 16 * 1024 * 1024;

/** The whole configuration of the node, by the names of `server.properties`. */
export function kafkaProperties(node: KafkaNode): Record<string, string> {
  return {
    ...fixedProperties,
    "log.dirs": `${node.dataDir}/log`,
    "controller.quorum.voters": `${nodeId}@127.0.0.1:${node.controllerPort}`,
    ...listenerProperties(node),
    ...node.properties,
  };
}

/** Text of a Java properties file. */
export function propertiesText(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n`)
    .join("");
}

/** Arguments of `format` that write the users of the SCRAM mechanisms into the first metadata. */
export function scramArguments(users: Readonly<Record<string, string>>): string[] {
  return Object.entries(users).flatMap(([name, password]) =>
    mechanisms
      .filter((mechanism) => mechanism !== "PLAIN")
      .flatMap((mechanism) => ["--add-scram", `${mechanism}=[name=${name},password=${password}]`]),
  );
}

/** What does not depend on where the node runs: a single small node that starts quickly and keeps what it is given. */
const fixedProperties = {
  "process.roles": "broker,controller",
  "node.id": String(nodeId),
  "controller.listener.names": "CONTROLLER",
  "inter.broker.listener.name": "PLAINTEXT",
  "auto.create.topics.enable": "false",
  // Internal topics: one copy, and few partitions, which are files to open at each start.
  "offsets.topic.replication.factor": "1",
  "offsets.topic.num.partitions": "8",
  "transaction.state.log.replication.factor": "1",
  "transaction.state.log.min.isr": "1",
  "transaction.state.log.num.partitions": "8",
  "share.coordinator.state.topic.replication.factor": "1",
  "share.coordinator.state.topic.min.isr": "1",
  "group.initial.rebalance.delay.ms": "0",
  // A broker that was killed and comes back waits until its former self has timed out: 9 s by default. Both live in one
  // process, so that a short stall of the machine stops the clock of the judge as well.
  "broker.session.timeout.ms": "2000",
  "broker.heartbeat.interval.ms": "500",
  "message.max.bytes": String(messageBytesMax),
  "replica.fetch.max.bytes": String(messageBytesMax),
  "fetch.max.bytes": String(4 * messageBytesMax),
  // Retention goes by the time in the records: with the default of a week, old events would vanish as they come.
  "log.retention.ms": "-1",
  // Two cores are enough for it, and the 128 MiB that the cleaner takes at once are a third of the heap.
  "num.network.threads": "2",
  "num.io.threads": "4",
  "log.cleaner.dedupe.buffer.size": String(16 * 1024 * 1024),
} as const;

function listenerProperties(node: KafkaNode): Record<string, string> {
  const addresses = [...node.ports].map(([name, port]) => `${name}://127.0.0.1:${port}`);
  const protocols = [...node.ports.keys()].map((name) => `${name}:${name === "MTLS" ? "SSL" : name}`);
  const properties: Record<string, string> = {
    listeners: [...addresses, `CONTROLLER://127.0.0.1:${node.controllerPort}`].join(","),
    "advertised.listeners": addresses.join(","),
    "listener.security.protocol.map": [...protocols, "CONTROLLER:PLAINTEXT"].join(","),
  };
  for (const name of node.ports.keys()) {
    const prefix = `listener.name.${name.toLowerCase()}`;
    if (name === "MTLS") properties[`${prefix}.ssl.client.auth`] = "required";
    if (name.startsWith("SASL_")) Object.assign(properties, saslProperties(prefix, node.users));
  }
  if (node.certificates) Object.assign(properties, tlsProperties(node.certificates));
  return properties;
}

function tlsProperties({ authority, broker }: BrokerCertificates): Record<string, string> {
  return {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": broker,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": authority,
  };
}

function saslProperties(prefix: string, users: Readonly<Record<string, string>>): Record<string, string> {
  const security = "org.apache.kafka.common.security";
  const plainUsers = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`);
  return {
    [`${prefix}.sasl.enabled.mechanisms`]: mechanisms.join(","),
    [`${prefix}.plain.sasl.jaas.config`]: `${security}.plain.PlainLoginModule required ${plainUsers.join(" ")};`,
    [`${prefix}.scram-sha-256.sasl.jaas.config`]: `${security}.scram.ScramLoginModule required;`,
    [`${prefix}.scram-sha-512.sasl.jaas.config`]: `${security}.scram.ScramLoginModule required;`,
  };
}

import process from "node:process";
import { KappaError } from "../../src/core/errors.ts";
import { programFound, runCommand } from "./command.ts";
import { freePort } from "./free-port.ts";
import { javaMajor, javaMajorMin } from "./java.ts";
import { KafkaBroker } from "./kafka-broker.ts";
import { kafkaProperties } from "./kafka-properties.ts";

/** A Kafka that tests share, wherever it runs. */
export interface KafkaForTests {
  readonly bootstrapServers: string;
  /** Ends it; leaves one that was given by address as it is. */
  stop(): Promise<void>;
}

/** Where the Kafka of a test run comes from. */
export type KafkaOrigin = "address" | "java" | "docker";

/** The release that `pom.xml` names, as an image. */
const image = "apache/kafka:4.1.1";

/** An image to fetch over a slow line. */
const startupTimeoutMs = 180_000;

/**
 * The one place that decides which Kafka tests run against: the address in `KAFKA_BOOTSTRAP_SERVERS`, else the jars
 * where Java is, else a container where a Docker daemon answers.
 *
 * @throws KAPPA_SERVICE_UNREACHABLE with one line that says what to install, when there is none of the three
 */
export async function kafkaForTests(): Promise<KafkaForTests> {
  const address = process.env.KAFKA_BOOTSTRAP_SERVERS;
  switch (await kafkaOrigin()) {
    case "address":
      return { bootstrapServers: address ?? "", stop: async () => {} };
    case "java":
      return KafkaBroker.start();
    case "docker":
      return kafkaContainer();
  }
}

/** @throws KAPPA_SERVICE_UNREACHABLE as `kafkaForTests` does; starts nothing */
export async function kafkaOrigin(): Promise<KafkaOrigin> {
  if (process.env.KAFKA_BOOTSTRAP_SERVERS) return "address";
  const major = await javaMajor();
  if (major !== undefined && major >= javaMajorMin) return "java";
  if (await dockerAnswers()) return "docker";
  throw new KappaError(
    "KAPPA_SERVICE_UNREACHABLE",
    `tests against Kafka need Java ${javaMajorMin}, or Docker, or an address in KAFKA_BOOTSTRAP_SERVERS; type: ` +
      "apt-get install -y openjdk-17-jre-headless maven (`npm run verify` needs Node alone)",
  );
}

async function dockerAnswers(): Promise<boolean> {
  if (!programFound("docker")) return false;
  return runCommand("docker", ["version"], { timeoutMs: 10_000 }).then(
    () => true,
    () => false,
  );
}

/** The port is chosen before the start: a broker has to be told the address that it gives to clients. */
async function kafkaContainer(): Promise<KafkaForTests> {
  // Only here: it loads a whole Docker client.
  const { GenericContainer, Wait } = await import("testcontainers");
  const port = await freePort();
  const controllerPort = await freePort();
  const listeners = `PLAINTEXT://0.0.0.0:${port},CONTROLLER://127.0.0.1:${controllerPort}`;
  const node = { dataDir: "/tmp/kafka", controllerPort, ports: new Map([["PLAINTEXT" as const, port]]), users: {} };
  const container = await new GenericContainer(image)
    .withExposedPorts({ container: port, host: port })
    .withEnvironment(imageVariables(kafkaProperties({ ...node, certificates: undefined, properties: { listeners } })))
    .withWaitStrategy(Wait.forLogMessage("Kafka Server started"))
    .withStartupTimeout(startupTimeoutMs)
    .start();
  return {
    bootstrapServers: `${container.getHost()}:${port}`,
    stop: async () => {
      await container.stop();
    },
  };
}

/** The image takes each property from a variable: `log.dirs` from `KAFKA_LOG_DIRS`. */
function imageVariables(properties: Readonly<Record<string, string>>): Record<string, string> {
  const variable = (name: string) => `KAFKA_${name.toUpperCase().replaceAll(".", "_")}`;
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [variable(name), value]));
}

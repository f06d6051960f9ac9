import { programFound, runCommand } from "./command.ts";
import { freePort } from "./free-port.ts";
import { kafkaProperties } from "./kafka-properties.ts";

/** A service that runs in a container and listens on this machine. */
export interface ContainedService {
  /** `host:port` or URL, as its clients want it. */
  readonly address: string;
  stop(): Promise<void>;
}

/** The releases that run without Docker, too; `docker/compose.yaml` names the same. */
const images = {
  kafka: "apache/kafka:4.1.1",
  registry: "apicurio/apicurio-registry:3.0.9",
  redis: "redis:7.4",
} as const;

/** An image to fetch over a slow line. */
const startupTimeoutMs = 180_000;

/** Whether a Docker daemon can be asked for containers. */
export async function dockerAnswers(): Promise<boolean> {
  if (!programFound("docker")) return false;
  return runCommand("docker", ["version"], { timeoutMs: 10_000 }).then(
    () => true,
    () => false,
  );
}

/** An empty Kafka. Its port is the same inside and outside, as a broker has to be told the address it gives to clients. */
export async function kafkaContainer(): Promise<ContainedService> {
  const port = await freePort();
  const controllerPort = await freePort();
  const properties = kafkaProperties({
    dataDir: "/tmp/kafka",
    controllerPort,
    ports: new Map([["PLAINTEXT" as const, port]]),
    certificates: undefined,
    users: {},
    properties: { listeners: `PLAINTEXT://0.0.0.0:${port},CONTROLLER://127.0.0.1:${controllerPort}` },
  });
  const { stop } = await startContainer(images.kafka, { container: port, host: port }, imageVariables(properties));
  return { address: `127.0.0.1:${port}`, stop };
}

/** An empty schema registry. */
export async function registryContainer(): Promise<ContainedService> {
  const { port, stop } = await startContainer(images.registry, 8080, {});
  return { address: `http://127.0.0.1:${port}/apis/ccompat/v7`, stop };
}

/** An empty Redis. */
export async function redisContainer(): Promise<ContainedService> {
  const { port, stop } = await startContainer(images.redis, 6379, {});
  return { address: `redis://127.0.0.1:${port}`, stop };
}

/** Resolves when the container's port accepts connections. */
async function startContainer(
  image: string,
  port: number | { readonly container: number; readonly host: number },
  environment: Record<string, string>,
): Promise<{ port: number; stop(): Promise<void> }> {
  // Only here: it loads a whole Docker client.
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer(image)
    .withExposedPorts(port)
    .withEnvironment(environment)
    .withWaitStrategy(Wait.forListeningPorts())
    .withStartupTimeout(startupTimeoutMs)
    .start();
  const stop = async () => {
    await container.stop();
  };
  return { port: container.getFirstMappedPort(), stop };
}

/** The image takes each property from a variable: `log.dirs` from `KAFKA_LOG_DIRS`. */
function imageVariables(properties: Readonly<Record<string, string>>): Record<string, string> {
  const variable = (name: string) => `KAFKA_${name.toUpperCase().replaceAll(".", "_")}`;
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [variable(name), value]));
}

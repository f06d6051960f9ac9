import process from "node:process";
import { missingDebianPackage } from "./debian-package.ts";
import { dockerAnswers, kafkaContainer, redisContainer, registryContainer } from "./docker-containers.ts";
import { missingJava } from "./java.ts";
import { KafkaBroker } from "./kafka-broker.ts";
import { type MissingPackage, missingError } from "./missing-package.ts";
import { RedisServer } from "./redis-server.ts";
import { SchemaRegistryServer } from "./schema-registry-server.ts";

/** A service that tests share, wherever it runs. */
export interface ServiceForTests {
  /** As its variable has it: `host:port` of Kafka, the URL of the others. */
  readonly address: string;
  /** Ends it; leaves one that was given by address as it is. */
  stop(): Promise<void>;
}

/** The ways to one service. */
interface Ways {
  /** The environment variable that names one that runs. */
  readonly variable: "KAFKA_BOOTSTRAP_SERVERS" | "SCHEMA_REGISTRY_URL" | "REDIS_URL";
  /** What hinders us from starting one here, if anything. */
  readonly missing: () => Promise<MissingPackage | undefined>;
  readonly local: () => Promise<ServiceForTests>;
  readonly container: () => Promise<ServiceForTests>;
}

/** The Kafka that tests share. */
export function kafkaForTests(): Promise<ServiceForTests> {
  return serviceForTests({
    variable: "KAFKA_BOOTSTRAP_SERVERS",
    missing: missingJava,
    local: async () => {
      const broker = await KafkaBroker.start();
      return { address: broker.bootstrapServers, stop: () => broker.stop() };
    },
    container: kafkaContainer,
  });
}

/** The schema registry that tests share. */
export function schemaRegistryForTests(): Promise<ServiceForTests> {
  return serviceForTests({
    variable: "SCHEMA_REGISTRY_URL",
    missing: missingJava,
    local: async () => {
      const server = await SchemaRegistryServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
    container: registryContainer,
  });
}

/** The Redis that tests share. */
export function redisForTests(): Promise<ServiceForTests> {
  return serviceForTests({
    variable: "REDIS_URL",
    missing: async () => missingDebianPackage("redis-server"),
    local: async () => {
      const server = await RedisServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
    container: redisContainer,
  });
}

/**
 * The one place that decides where a service of a test run comes from: the address in its variable, else a server
 * started here, else a container where a Docker daemon answers.
 *
 * @throws KAPPA_SERVICE_UNREACHABLE with one line that says what to install, when there is none of the three
 */
async function serviceForTests({ variable, missing, local, container: contained }: Ways): Promise<ServiceForTests> {
  const address = process.env[variable];
  if (address) return { address, stop: async () => {} };
  const hindrance = await missing();
  if (hindrance === undefined) return local();
  if (await dockerAnswers()) return contained();
  throw missingError([{ ...hindrance, complaint: `${hindrance.complaint}, nor Docker, nor ${variable}` }]);
}

import type { TestProject } from "vitest/node";
import { kafkaForTests, redisForTests, schemaRegistryForTests } from "../../scripts/stack/services-for-tests.ts";
import { KappaError } from "../../src/core/errors.ts";

declare module "vitest" {
  /** The services that the files of the project `kafka` share; each file uses names of its own in them. */
  interface ProvidedContext {
    /** `host:port` of Kafka. */
    kafkaBootstrapServers: string;
    /** Where the schema registry speaks the protocol of Confluent's. */
    schemaRegistryUrl: string;
    redisUrl: string;
  }
}

/** Starts what the tests of the project `kafka` share, once for all of them, and ends it behind the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const starts = await Promise.allSettled([kafkaForTests(), schemaRegistryForTests(), redisForTests()]);
  const services = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  const stop = async () => {
    await Promise.all(services.map((service) => service.stop()));
  };
  const [kafka, registry, redis] = starts;
  if (kafka.status === "fulfilled" && registry.status === "fulfilled" && redis.status === "fulfilled") {
    project.provide("kafkaBootstrapServers", kafka.value.address);
    project.provide("schemaRegistryUrl", registry.value.address);
    project.provide("redisUrl", redis.value.address);
    return stop;
  }
  await stop();
  const { reason } = starts.find((start) => start.status === "rejected") ?? {};
  // What is missing on a machine is one line; the runner prints the stack of what it is thrown, and code beside it.
  if (reason instanceof KappaError) reason.stack = reason.message;
  throw reason;
}

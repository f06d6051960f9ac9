import type { TestProject } from "vitest/node";
import { kafkaForTests } from "../../scripts/stack/kafka-for-tests.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** `host:port` of the Kafka that the files of the project `kafka` share; each uses topic names of its own. */
    kafkaBootstrapServers: string;
  }
}

/** Starts what the tests of the project `kafka` share, once for all of them, and ends it behind the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kafka = await kafkaForTests();
  project.provide("kafkaBootstrapServers", kafka.bootstrapServers);
  return () => kafka.stop();
}

import { programFound, runCommand } from "./command.ts";
import type { MissingPackage } from "./missing-package.ts";

/** What Kafka and the schema registry need; both run on any later one. */
const javaMajorMin = 17;

/** What is wrong with the `java` on the PATH, if anything. */
export async function missingJava(): Promise<MissingPackage | undefined> {
  const major = programFound("java") ? await javaMajor() : undefined;
  if (major !== undefined && major >= javaMajorMin) return undefined;
  const found = major === undefined ? "there is none" : `this is Java ${major}`;
  return {
    complaint: `Kafka and the schema registry need Java ${javaMajorMin} or later, ${found}`,
    packages: ["openjdk-17-jre-headless", "maven"],
  };
}

async function javaMajor(): Promise<number | undefined> {
  const { err } = await runCommand("java", ["-version"], { timeoutMs: 20_000 });
  const major = /version "(\d+)/.exec(err)?.[1];
  return major === undefined ? undefined : Number(major);
}

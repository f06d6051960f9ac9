import { KappaError } from "../../src/core/errors.ts";
import { programFound, runCommand } from "./command.ts";

/** What Kafka and the schema registry need; both run on any later one. */
export const javaMajorMin = 17;

/** The major version of the `java` on the PATH, if there is one. */
export async function javaMajor(): Promise<number | undefined> {
  if (!programFound("java")) return undefined;
  const { err } = await runCommand("java", ["-version"], { timeoutMs: 20_000 });
  const major = /version "(\d+)/.exec(err)?.[1];
  return major === undefined ? undefined : Number(major);
}

/** @throws KAPPA_SERVICE_UNREACHABLE saying which Java there is, which is needed and how to get it */
export async function requireJava(): Promise<void> {
  const major = await javaMajor();
  if (major !== undefined && major >= javaMajorMin) return;
  const found = major === undefined ? "there is none" : `this is Java ${major}`;
  throw new KappaError(
    "KAPPA_SERVICE_UNREACHABLE",
    `Kafka needs Java ${javaMajorMin} or later, ${found}; type: apt-get install -y openjdk-17-jre-headless maven`,
  );
}

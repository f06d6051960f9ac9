import { join } from "node:path";
import { programFound, runCommand } from "./command.ts";
import { type MissingPackage, refuseMissing } from "./missing-package.ts";

/** The project that names Kafka's jars, and the version of the plugin that copies. */
export const pomFile = join(import.meta.dirname, "pom.xml");

/** 150 MB over a slow line. */
const timeoutMs = 600_000;

/** Runs one goal of the stack's project; from Maven's own cache when it is all there, else online. */
export async function maven(goal: string, ...parameters: readonly string[]): Promise<void> {
  refuseMissing([missingMaven()]);
  const args = ["--quiet", "--batch-mode", "--file", pomFile, goal, ...parameters];
  try {
    await runCommand("mvn", ["--offline", ...args], { timeoutMs });
  } catch {
    await runCommand("mvn", args, { timeoutMs });
  }
}

/** What is wrong with the `mvn` on the PATH, if anything. */
function missingMaven(): MissingPackage | undefined {
  if (programFound("mvn")) return undefined;
  return { complaint: "the jars of Kafka and the schema registry come by Maven, there is none", packages: ["maven"] };
}

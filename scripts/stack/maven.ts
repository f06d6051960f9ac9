import { KappaError } from "../../src/core/errors.ts";
import { programFound, runCommand } from "./command.ts";

/** The project that names Kafka's jars, and the version of the plugin that copies. */
export const pomFile = new URL("pom.xml", import.meta.url).pathname;

/** 150 MB over a slow line. */
const timeoutMs = 600_000;

/** Runs one goal of the stack's project; from Maven's own cache when it is all there, else online. */
export async function maven(goal: string, ...parameters: readonly string[]): Promise<void> {
  if (!programFound("mvn")) {
    throw new KappaError("KAPPA_SERVICE_UNREACHABLE", "Kafka's jars come by Maven; type: apt-get install -y maven");
  }
  const args = ["--quiet", "--batch-mode", "--file", pomFile, goal, ...parameters];
  try {
    await runCommand("mvn", ["--offline", ...args], { timeoutMs });
  } catch {
    await runCommand("mvn", args, { timeoutMs });
  }
}

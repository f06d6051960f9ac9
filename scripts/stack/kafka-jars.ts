import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder } from "./artifact-cache.ts";
import { requireJava } from "./java.ts";
import { maven, pomFile } from "./maven.ts";

/** The class path of Kafka, fetched the first time: 46 jars, 43 MB. */
export async function kafkaClassPath(): Promise<string> {
  await requireJava();
  const digest = createHash("sha256").update(readFileSync(pomFile)).digest("hex").slice(0, 12);
  const folder = await cachedFolder(`kafka-${digest}`, (unfinished) =>
    maven("dependency:copy-dependencies", `-DoutputDirectory=${unfinished}`),
  );
  return join(folder, "*");
}

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cachedFolder } from "./artifact-cache.ts";
import { maven, pomFile } from "./maven.ts";

/** Name of the jars in the cache: other versions in the project are other jars. */
function folderName(): string {
  return `kafka-${createHash("sha256").update(readFileSync(pomFile)).digest("hex").slice(0, 12)}`;
}

/** The class path of Kafka, fetched the first time: 46 jars, 43 MB. */
export async function kafkaClassPath(): Promise<string> {
  const folder = await cachedFolder(folderName(), (unfinished) =>
    maven("dependency:copy-dependencies", `-DoutputDirectory=${unfinished}`),
  );
  return join(folder, "*");
}

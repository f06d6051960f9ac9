import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { KappaError } from "../../src/core/errors.ts";
import { cachedFolder } from "./artifact-cache.ts";
import { runCommand } from "./command.ts";
import { maven } from "./maven.ts";

/** Of the last line that runs on Java 17; 3.3 needs 21. */
const version = "3.0.9";

const sha256 = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43";

/** An old plugin on purpose: later ones want to read the archive's parent project, which is not published. */
const copyGoal = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy";

const unpackTimeoutMs = 120_000;

/**
 * The jar that starts Apicurio Registry, fetched the first time: 109 MB.
 *
 * @throws KAPPA_SERVICE_UNREACHABLE when what came is not what was published
 */
export async function apicurioJar(): Promise<string> {
  const folder = await cachedFolder(`apicurio-registry-${version}`, async (unfinished) => {
    const artifact = `io.apicurio:apicurio-registry-app:${version}:tar.gz:all`;
    await maven(copyGoal, `-Dartifact=${artifact}`, `-DoutputDirectory=${unfinished}`);
    const archive = join(unfinished, `apicurio-registry-app-${version}-all.tar.gz`);
    await requireDigest(archive);
    await runCommand("tar", ["-xzf", archive, "-C", unfinished], { timeoutMs: unpackTimeoutMs });
    await rm(archive);
  });
  return join(folder, `apicurio-registry-app-${version}-runner.jar`);
}

async function requireDigest(archive: string): Promise<void> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(archive), hash);
  const found = hash.digest("hex");
  if (found === sha256) return;
  throw new KappaError(
    "KAPPA_SERVICE_UNREACHABLE",
    `the archive of Apicurio Registry ${version} has sha256 ${found}, published is ${sha256}; remove it from ~/.m2 and try again`,
  );
}

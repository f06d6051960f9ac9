import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runProgram } from "../../../src/cli/program.ts";
import { EmbeddedSchemaRegistry } from "../../../src/codec/embedded-schema-registry.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { registerRecords } from "./records.ts";

// The job as a command that reads the environment in which its rivals are measured: KAFKA_BROKERS, TX_TOPIC, LABEL_TOPIC,
// OUT_TOPIC, APP_ID, STATE_DIR, MODEL, THREADS. It is `kappa run` with everything at its default but what they name; the
// commit interval is ours unless COMMIT_INTERVAL_MS says otherwise. The topics' schema ids are fixed, without a registry.

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") {
    process.stderr.write(`${name} is not set; it is one of the settings that the rivals' scripts hand over\n`);
    process.exit(2);
  }
  return value;
}

const parameters = {
  model: required("MODEL"),
  applicationId: required("APP_ID"),
  transactions: required("TX_TOPIC"),
  labels: required("LABEL_TOPIC"),
  decisions: required("OUT_TOPIC"),
};
const dataDir = join(required("STATE_DIR"), "data");
await registerRecords(await EmbeddedSchemaRegistry.open(join(dataDir, "registry")), parameters);

process.exitCode = await runProgram(
  [
    ...["run", fileURLToPath(new URL("topology.ts", import.meta.url))],
    ...["--bootstrap-servers", required("KAFKA_BROKERS"), "--data-dir", dataDir, "--http-port", "0"],
    ...Object.entries(parameters).flatMap(([name, value]) => ["--param", `${name}=${value}`]),
  ],
  { out: process.stdout, err: process.stderr, clock: systemClock, directory: dataDir },
);

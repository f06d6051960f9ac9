import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread } from "node:worker_threads";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { type Topology, TopologyBuilder } from "../../src/index.ts";

/** How long an engine thread takes to load the topology, in ms. */
export const loadingMs = 700;

const schema = recordSchema<{ readonly key: string }>({
  type: "record",
  name: "SlowlyLoaded",
  fields: [{ name: "key", type: "string" }],
});

/** @public loaded by its path */
// biome-ignore lint/style/noDefaultExport: a topology module is its default export
export default async function slow(): Promise<Topology> {
  if (!isMainThread) await sleep(loadingMs);
  const builder = new TopologyBuilder("slowly-loaded");
  builder.stream("in", { schema, key: "key", format: "json" }).to("out", { schema, key: "key", format: "json" });
  return builder.build();
}

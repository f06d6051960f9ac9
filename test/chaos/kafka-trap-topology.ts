import { recordSchema } from "../../src/codec/record-schema.ts";
import { minutes, type Topology, TopologyBuilder } from "../../src/index.ts";

const schema = recordSchema<{ readonly key: string }>({
  type: "record",
  name: "Trapped",
  fields: [{ name: "key", type: "string" }],
});

const counted = recordSchema<{ readonly key: string; readonly count: number }>({
  type: "record",
  name: "TrappedCount",
  fields: [
    { name: "key", type: "string" },
    { name: "count", type: "long" },
  ],
});

/**
 * Counts the records of each key of topic `<name>-in`, all there ever were, into `<name>-out`.
 *
 * @public loaded by its path
 */
// biome-ignore lint/style/noDefaultExport: a topology module is its default export
export default function trapped({ name }: { readonly name: string }): Topology {
  const builder = new TopologyBuilder(name);
  builder
    .stream(`${name}-in`, { schema, key: "key", format: "json" })
    .features("history", { graceMs: minutes(5) }, (over) => ({ count: over.unbounded().count() }))
    .to(`${name}-out`, { schema: counted, key: "key", format: "json" });
  return builder.build();
}

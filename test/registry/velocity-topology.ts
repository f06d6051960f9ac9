import { cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { hours, minutes, type Topology, TopologyBuilder } from "../../src/index.ts";

/**
 * The topology of the guide's first example under names of a test's own: several share a broker.
 *
 * @param parameters application id, and what its topics begin with
 */
// biome-ignore lint/style/noDefaultExport: engine threads find a topology by it
export default function velocityTopology({ name }: { readonly name: string }): Topology {
  const builder = new TopologyBuilder(name);
  builder
    .stream(`${name}-payments`, { schema: cardPaymentSchema, key: "card_id", time: "ts" })
    .features("card-velocity", { graceMs: minutes(5) }, (over) => ({
      count_1h: over.sliding(hours(1)).count(),
      sum_1h: over.sliding(hours(1)).sum("amount"),
      count_24h: over.sliding(hours(24)).count(),
      sum_24h: over.sliding(hours(24)).sum("amount"),
    }))
    .to(`${name}-decisions`, { schema: cardVelocitySchema, key: "card_id" });
  return builder.build();
}

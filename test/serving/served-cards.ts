import { cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { hours, minutes, type Topology, TopologyBuilder } from "../../src/index.ts";

/** The card velocity example, served by card, and by payment as what has no order in the topic. */
// biome-ignore lint/style/noDefaultExport: a topology module is its default export
export default function servedCards({ application }: { readonly application: string }): Topology {
  const builder = new TopologyBuilder(application);
  builder
    .stream(`${application}-payments`, { schema: cardPaymentSchema, key: "card_id", time: "ts" })
    .features("card-velocity", { graceMs: minutes(5) }, (over) => ({
      count_1h: over.sliding(hours(1)).count(),
      sum_1h: over.sliding(hours(1)).sum("amount"),
      count_24h: over.sliding(hours(24)).count(),
      sum_24h: over.sliding(hours(24)).sum("amount"),
    }))
    .to(`${application}-velocity`, {
      schema: cardVelocitySchema,
      key: "card_id",
      serve: [
        { name: "cards", ttlMs: hours(1) },
        { name: "payments", key: "payment_id", columns: ["card_id", "count_1h"], ttlMs: hours(1) },
      ],
    });
  return builder.build();
}

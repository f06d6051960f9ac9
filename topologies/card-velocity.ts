import { cardPaymentSchema, cardVelocitySchema } from "../schemas/records.ts";
import { hours, minutes, TopologyBuilder } from "../src/index.ts";

const builder = new TopologyBuilder("card-velocity");

builder
  .stream("payments", { schema: cardPaymentSchema, key: "card_id", time: "ts" })
  .features("card-velocity", { graceMs: minutes(5) }, (over) => ({
    count_1h: over.sliding(hours(1)).count(),
    sum_1h: over.sliding(hours(1)).sum("amount"),
    count_24h: over.sliding(hours(24)).count(),
    sum_24h: over.sliding(hours(24)).sum("amount"),
  }))
  .to("payment-velocity", { schema: cardVelocitySchema, key: "card_id" });

/** How often and how much each card paid, on each of its payments: exact, at once. */
export default builder.build();

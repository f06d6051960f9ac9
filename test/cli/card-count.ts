import { paymentSchema } from "./command.ts";

const source = new URL("../../src/index.ts", import.meta.url).pathname;

/** Text of a module that counts the payments of each card within the last hour, in topics that begin with a prefix. */
export function cardCountTopology(prefix: string): string {
  return `
import { hours, minutes, RecordSchema, TopologyBuilder } from "${source}";
const payment = new RecordSchema(${JSON.stringify(paymentSchema)});
const count = new RecordSchema({ type: "record", name: "Count", fields: [
  { name: "payment_id", type: "string" }, { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
  { name: "card_id", type: "string" }, { name: "count_1h", type: "long" } ] });
const builder = new TopologyBuilder("${prefix}-app");
builder.stream("${prefix}-payments", { schema: payment, key: "card_id", time: "ts" })
  .features("card-count", { graceMs: minutes(5) }, (over) => ({ count_1h: over.sliding(hours(1)).count() }))
  .to("${prefix}-counts", { schema: count, key: "card_id" });
export default builder.build();
`;
}

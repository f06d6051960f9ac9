import { recordSchema } from "../../src/codec/record-schema.ts";
import { minutes, type Topology, TopologyBuilder } from "../../src/index.ts";

/** An event: a payment of a customer at a terminal. Topic `eventsTopic`, key customer. */
export interface ChaosEvent {
  /** 0, 1, 2 and so on in the order of production. */
  readonly id: number;
  readonly ts: number;
  readonly customer: string;
  readonly terminal: string;
  readonly amount: number;
}

/** One for each event. Topic `decisionsTopic`, key terminal. */
export interface ChaosDecision extends ChaosEvent {
  /** Events of the customer up to this one's time, and their amounts in the minute before; of those read before it. */
  readonly customer_count: number;
  readonly customer_sum: number;
  readonly terminal_count: number;
  readonly terminal_sum: number;
}

/** One for each event too. Topic `countsTopic`, key terminal. */
export interface ChaosCount {
  readonly terminal: string;
  /** Events of the terminal so far, in whatever order they came: 1, 2, 3 and so on. */
  readonly events: number;
  /** Sum of their ids: from one record to the next it grows by the id of the event. */
  readonly ids: number;
}

export const eventsTopic = "chaos-events";
export const decisionsTopic = "chaos-decisions";
export const countsTopic = "chaos-counts";
export const applicationId = "chaos";

/** Reach of the sums: events of so many ms, the one at its far end left out. */
export const sumReachMs = minutes(1);

const eventFields = [
  { name: "id", type: "long" },
  { name: "ts", type: "long" },
  { name: "customer", type: "string" },
  { name: "terminal", type: "string" },
  { name: "amount", type: "long" },
];
const long = (name: string): object => ({ name, type: "long" });
const record = (name: string, fields: readonly object[]): object => ({ type: "record", name, fields });

const eventSchema = recordSchema<ChaosEvent>(record("ChaosEvent", eventFields));
const decisionSchema = recordSchema<ChaosDecision>(
  record("ChaosDecision", [
    ...eventFields,
    ...["customer_count", "customer_sum", "terminal_count", "terminal_sum"].map(long),
  ]),
);
const countSchema = recordSchema<ChaosCount>(
  record("ChaosCount", [{ name: "terminal", type: "string" }, long("events"), long("ids")]),
);

/** Longer than a task is away: what its rows are late by when others have gone on meanwhile. */
const graceMs = minutes(5);

/** One window over all the time there is. */
const everMs = Date.UTC(2150, 0, 1);

/**
 * Two stages, by customer and by terminal. The features of a terminal depend on the order in which its events were
 * taken, which is that of `decisionsTopic`; the count does not depend on time at all.
 *
 * @public loaded by its path
 */
// biome-ignore lint/style/noDefaultExport: a topology module is its default export
export default function chaos(): Topology {
  const builder = new TopologyBuilder(applicationId);
  const byTerminal = builder
    .stream(eventsTopic, { schema: eventSchema, key: "customer", time: "ts", format: "json" })
    .features("customer-history", { graceMs }, (over) => ({
      customer_count: over.unbounded().count(),
      customer_sum: over.sliding(sumReachMs).sum("amount"),
    }))
    .repartition("by-terminal", { key: "terminal" });
  byTerminal
    .features("terminal-history", { graceMs }, (over) => ({
      terminal_count: over.unbounded().count(),
      terminal_sum: over.sliding(sumReachMs).sum("amount"),
    }))
    .to(decisionsTopic, { schema: decisionSchema, key: "terminal", format: "json" });
  byTerminal
    .windowedBy("terminal", { kind: "tumbling", sizeMs: everMs, graceMs })
    .aggregate("terminal-events", (events) => ({ events: events.count(), ids: events.sum("id") }), { emit: "onUpdate" })
    .to(countsTopic, { schema: countSchema, key: "terminal", format: "json" });
  return builder.build();
}

import { customerProfileSchema, fraudLabelSchema, listEntrySchema, transactionSchema } from "../../schemas/records.ts";
import { FraudSimulator } from "../../topologies/fraud/simulator.ts";
import type { InputEvent, Workload } from "./workload.ts";

/** The fraud application over its simulator, with the model it ships. */
export function fraudWorkload(transactions: number, seed = 1): Workload {
  return {
    name: `fraud detection, ${transactions} simulated transactions, seed ${seed}`,
    topology: {
      module: new URL("../../topologies/fraud/fraud-detection.ts", import.meta.url).href,
      parameters: {},
    },
    decisionsTopic: "fraud-decisions",
    inputs: {
      transactions: transactionSchema,
      "fraud-labels": fraudLabelSchema,
      "customer-profiles": customerProfileSchema,
      "fraud-lists": listEntrySchema,
    },
    preloaded: transactions,
    events: () => simulated(seed),
  };
}

function* simulated(seed: number): Generator<InputEvent, never> {
  const simulator = new FraudSimulator({ seed });
  for (;;) {
    const { topic, key, timeMs, value } = simulator.next();
    const decisionKey = topic === "transactions" ? value.tx_id : null;
    yield { topic, key, timeMs, value, decisionKey };
  }
}

import { recordSchema } from "../../../src/codec/record-schema.ts";
import { type SchemaRegistry, valueSubject } from "../../../src/codec/schema-registry.ts";

/**
 * The records of the job as all engines that run it exchange them: Avro in the Confluent wire format under ids that are
 * agreed on, so that no registry is needed, with amounts in double. Field order is what encodes; docs and the namespace
 * are ours.
 */
export const schemaIds = { transactions: 1, labels: 2, decisions: 4 } as const;

/** A card payment. Topic transactions, key customer_id. */
export interface Transaction {
  readonly tx_id: number;
  /** Event time, epoch milliseconds. */
  readonly ts: number;
  readonly customer_id: string;
  readonly terminal_id: string;
  /** Major units. */
  readonly amount: number;
}

/** What a payment turned out to be, 7 days later. Topic fraud-labels, key terminal_id. */
export interface FraudLabel {
  readonly tx_id: number;
  /** Event time of the payment, epoch milliseconds; the record's timestamp is when the label falls due. */
  readonly ts: number;
  readonly terminal_id: string;
  readonly is_fraud: boolean;
}

/**
 * A payment with everything that decided it. Topic fraud-decisions, key tx_id. What is nullable here is not in Avro: a
 * payment without a mean or a score, which an amount that is not a number brings about, becomes a dead letter.
 */
export interface Decision extends Transaction {
  readonly score: number | null;
  readonly decision: string;
  readonly during_weekend: boolean;
  readonly during_night: boolean;
  readonly customer_count_1d: number;
  readonly customer_avg_1d: number | null;
  readonly customer_count_7d: number;
  readonly customer_avg_7d: number | null;
  readonly customer_count_30d: number;
  readonly customer_avg_30d: number | null;
  readonly terminal_count_1d: number;
  readonly terminal_risk_1d: number;
  readonly terminal_count_7d: number;
  readonly terminal_risk_7d: number;
  readonly terminal_count_30d: number;
  readonly terminal_risk_30d: number;
}

const namespace = "kappa.bench";
const time = { type: "long", logicalType: "timestamp-millis" };
const field = (name: string, type: unknown): object => ({ name, type });

const transactionFields = [
  field("tx_id", "long"),
  field("ts", time),
  field("customer_id", "string"),
  field("terminal_id", "string"),
  field("amount", "double"),
];

export const transactionSchema = recordSchema<Transaction>({
  type: "record",
  name: "Transaction",
  namespace,
  fields: transactionFields,
});

export const fraudLabelSchema = recordSchema<FraudLabel>({
  type: "record",
  name: "FraudLabel",
  namespace,
  fields: [field("tx_id", "long"), field("ts", time), field("terminal_id", "string"), field("is_fraud", "boolean")],
});

/** The windows of every feature, as its name has them. */
const windows = ["1d", "7d", "30d"] as const;

export const decisionSchema = recordSchema<Decision>({
  type: "record",
  name: "Decision",
  namespace,
  fields: [
    ...transactionFields,
    field("score", "double"),
    field("decision", "string"),
    field("during_weekend", "boolean"),
    field("during_night", "boolean"),
    ...windows.flatMap((window) => [
      field(`customer_count_${window}`, "int"),
      field(`customer_avg_${window}`, "double"),
    ]),
    ...windows.flatMap((window) => [
      field(`terminal_count_${window}`, "int"),
      field(`terminal_risk_${window}`, "double"),
    ]),
  ],
});

/** The columns of the model, in their order. */
export const modelColumns = [
  "amount",
  "during_weekend",
  "during_night",
  ...windows.flatMap((window) => [`customer_count_${window}`, `customer_avg_${window}`]),
  ...windows.flatMap((window) => [`terminal_count_${window}`, `terminal_risk_${window}`]),
];

/** The topics of a run. */
export interface Fraud15Topics {
  readonly transactions: string;
  readonly labels: string;
  readonly decisions: string;
}

/** Registers the records under the ids agreed on, before anything is read or written with others. */
export async function registerRecords(registry: SchemaRegistry, topics: Fraud15Topics): Promise<void> {
  const schemas = { transactions: transactionSchema, labels: fraudLabelSchema, decisions: decisionSchema };
  for (const name of ["transactions", "labels", "decisions"] as const) {
    await registry.register(valueSubject(topics[name]), schemas[name].definition, { id: schemaIds[name] });
  }
}

import { batchesHeld } from "../../src/cli/topic-reader.ts";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { unknownSchema } from "../../src/codec/schema-compatibility.ts";
import { type Log, RecordBatchReader } from "../../src/index.ts";
import { type PaymentDecision, paymentDecisionSchema } from "./payments.ts";
import { applicationId } from "./poisoned-topology.ts";

/** Header by which a record is known again, whatever its bytes are. */
export const idHeader = "payment-id";

export interface DeadLetter {
  /** Where the record died, as `topic partition offset`. */
  readonly place: string;
  readonly reason: string;
  readonly attempts: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Bytes of the value that died, where only its start is carried. */
  readonly cutFrom: number | null;
  /** Whether it is a row of an internal stage. */
  readonly internal: boolean;
  /** Of the payment it was, by its header; a row of an internal stage tells it itself. */
  readonly paymentId: string | null;
}

/** What became of records so far, in the order of the log. */
export interface Fates {
  readonly decided: readonly PaymentDecision[];
  readonly dead: readonly DeadLetter[];
}

export async function fatesIn(log: Log): Promise<Fates> {
  const decided: PaymentDecision[] = [];
  const dead: DeadLetter[] = [];
  const serde = new AvroSerde(paymentDecisionSchema, -1, {
    known: () => paymentDecisionSchema.avro,
    missing: unknownSchema,
  });
  await eachRecord(log, "payment-decisions", (reader) => {
    decided.push(serde.decode(reader.buffer, reader.valueAt, reader.valueEnd));
  });
  await eachRecord(log, `${applicationId}-dead-letters`, (reader) => dead.push(deadLetterAt(reader)));
  return { decided, dead };
}

async function eachRecord(log: Log, name: string, see: (reader: RecordBatchReader) => void): Promise<void> {
  const topic = await log.topic(name);
  if (topic === undefined) return;
  const reader = new RecordBatchReader();
  for await (const batch of batchesHeld(log, topic)) {
    reader.reset(batch.bytes);
    while (reader.next()) see(reader);
  }
}

function deadLetterAt(reader: RecordBatchReader): DeadLetter {
  const headers = new Map(reader.headers().map(({ name, value }) => [name, Buffer.from(value).toString()]));
  const error = (name: string): string => headers.get(`__streams.errors.${name}`) ?? "";
  const internal = headers.get("kappa.dlq.format") === "json";
  const [key, value, cut] = [reader.key(), reader.value(), headers.get("kappa.dlq.cut")];
  return {
    place: `${error("topic")} ${error("partition")} ${error("offset")}`,
    reason: headers.get("kappa.dlq.reason") ?? "",
    attempts: Number(headers.get("kappa.dlq.attempts")),
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    cutFrom: cut === undefined ? null : Number(cut),
    internal,
    paymentId: internal ? (JSON.parse(String(value)) as PaymentDecision).payment_id : (headers.get(idHeader) ?? null),
  };
}

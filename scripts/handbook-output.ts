import { join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import { type HandbookDecision, handbookDecisionSchema } from "../schemas/records.ts";
import { batchesHeld, recordCount } from "../src/cli/topic-reader.ts";
import { AvroSerde } from "../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../src/codec/embedded-schema-registry.ts";
import { type Log, RecordBatchReader } from "../src/index.ts";

/** Columns of the file beside `decision`, which is text. */
const numberColumns = handbookDecisionSchema.columns.filter(({ type }) => type !== "text").map(({ name }) => name);
const wholeColumns = new Set(
  handbookDecisionSchema.columns.filter(({ type }) => type === "integer").map(({ name }) => name),
);

/** Writes every decision of `fraud-decisions` to a Parquet file. @returns how many */
export async function writeDecisions(log: Log, dataDir: string, path: string): Promise<number> {
  const topic = await log.topic("fraud-decisions");
  const rows = topic === undefined ? 0 : await recordCount(log, topic);
  const numbers = numberColumns.map(() => new Float64Array(rows));
  const decisions: string[] = [];
  const serde = new AvroSerde<HandbookDecision>(
    handbookDecisionSchema,
    -1,
    await EmbeddedSchemaRegistry.open(join(dataDir, "registry")),
  );
  const readNumbers = handbookDecisionSchema.shape.numberReader(numberColumns);
  const into = new Float64Array(numberColumns.length);
  const reader = new RecordBatchReader();
  let row = 0;
  for await (const batch of topic === undefined ? [] : batchesHeld(log, topic)) {
    reader.reset(batch.bytes);
    while (row < rows && reader.next()) {
      const value = serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      readNumbers(value, into, 0);
      for (let i = 0; i < into.length; i++) (numbers[i] as Float64Array)[row] = into[i] as number;
      decisions.push(value.decision);
      row++;
    }
  }
  const columns = numberColumns.map((name, i) => {
    const values = (numbers[i] as Float64Array).subarray(0, row);
    if (!wholeColumns.has(name)) return { name, type: "DOUBLE" as const, encoding: "PLAIN" as const, data: values };
    return isSmall(values)
      ? { name, type: "INT32" as const, encoding: "PLAIN" as const, data: Int32Array.from(values) }
      : { name, type: "INT64" as const, encoding: "PLAIN" as const, data: bigIntegers(values) };
  });
  const text = { name: "decision", type: "STRING" as const, data: decisions };
  await parquetWriteFile({ filename: path, columnData: [...columns, text], codec: "UNCOMPRESSED" });
  return row;
}

const smallMax = 2 ** 31;

function isSmall(values: Float64Array): boolean {
  for (const value of values) if (value < -smallMax || value >= smallMax) return false;
  return true;
}

function bigIntegers(values: Float64Array): BigInt64Array {
  const whole = new BigInt64Array(values.length);
  for (let i = 0; i < values.length; i++) whole[i] = BigInt(values[i] as number);
  return whole;
}

import { join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import { type HandbookDecision, handbookDecisionSchema } from "../schemas/records.ts";
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
  const topic = log.topic("fraud-decisions");
  const partitions = topic?.partitions ?? 0;
  const ends = Array.from({ length: partitions }, (_, p) => log.endOffset("fraud-decisions", p, "durable"));
  const rows = ends.reduce((sum, end) => sum + Number(end), 0);
  const numbers = numberColumns.map(() => new Float64Array(rows));
  const decisions: string[] = new Array(rows);
  const serde = new AvroSerde<HandbookDecision>(
    handbookDecisionSchema,
    -1,
    await EmbeddedSchemaRegistry.open(join(dataDir, "registry")),
  );
  const readNumbers = handbookDecisionSchema.shape.numberReader(numberColumns);
  const into = new Float64Array(numberColumns.length);
  const reader = new RecordBatchReader();
  let row = 0;
  for (let partition = 0; partition < partitions; partition++) {
    const cursor = log.cursor("fraud-decisions", partition, log.startOffset("fraud-decisions", partition), "durable");
    for (let batch = cursor.next(); batch !== undefined && row < rows; batch = cursor.next()) {
      reader.reset(batch.bytes);
      while (reader.next() && row < rows) {
        const value = serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
        readNumbers(value, into, 0);
        for (let i = 0; i < into.length; i++) (numbers[i] as Float64Array)[row] = into[i] as number;
        decisions[row] = value.decision;
        row++;
      }
    }
    cursor.close();
  }
  const columns = numberColumns.map((name, i) => {
    const values = numbers[i] as Float64Array;
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

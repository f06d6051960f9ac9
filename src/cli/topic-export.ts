import { rename, rm } from "node:fs/promises";
import { AvroSerde } from "../codec/avro-serde.ts";
import { RecordSchema } from "../codec/record-schema.ts";
import { type SchemaRegistry, valueSubject } from "../codec/schema-registry.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Log, RecordBatch, Topic } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import { CsvFile, type ExportFile, NdjsonFile, ParquetFile } from "./export-file.ts";
import type { Invocation } from "./invocation.ts";
import { offsetAt, parsePosition } from "./log-position.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { batchesOf } from "./topic-reader.ts";

/** What `kappa topics export` was asked. */
export interface ExportOptions {
  readonly topic: Topic;
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly invocation: Invocation;
  /** Its ending names the format. */
  readonly path: string;
  readonly from: string;
}

/** How a value becomes data; what it needs to know beforehand is fetched once a batch. */
interface ValueReader {
  load(bytes: Buffer): Promise<void>;
  decode(buffer: Buffer, start: number, end: number): unknown;
}

/**
 * Writes what a topic holds now to a file, partition after partition. The file appears whole or not at all; a fixed
 * number of rows is in memory.
 *
 * @returns records written
 * @throws KAPPA_USAGE for an unknown ending; KAPPA_SCHEMA_UNKNOWN when a table is asked for and no schema is registered;
 *   KAPPA_RECORD_INVALID with the place of a record that cannot be decoded
 */
export async function exportTopic(options: ExportOptions): Promise<number> {
  const { topic, log, path, invocation } = options;
  const position = parsePosition(options.from, invocation.clock.now());
  const draft = `${path}.part`;
  const { file, values } = await openFile(options, draft).catch((error: unknown) => {
    if (error instanceof KappaError) throw error;
    throw new KappaError("KAPPA_FILE_INVALID", `cannot write ${path}: ${messageOf(error)}`, { path }, error);
  });
  const ranges: { readonly from: bigint; readonly end: bigint }[] = [];
  for (let p = 0; p < topic.partitions; p++) {
    const from = await offsetAt(position, log, topic.name, p);
    ranges.push({ from, end: await log.endOffset(topic.name, p, "durable") });
  }
  const total = ranges.reduce((sum, { from, end }) => sum + Number(end - from), 0);
  const progress = invocation.terminal.progress(topic.name, total, "records");
  let rows = 0;
  try {
    for (const [partition, { from, end }] of ranges.entries()) {
      for await (const batch of batchesOf(log, topic, partition, from, end)) {
        await values.load(batch.bytes);
        addBatch(batch, values, file);
        rows += batch.count;
        await file.flush();
        progress.update(rows);
      }
    }
    await file.close();
    await rename(draft, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(draft, { force: true });
    throw error;
  } finally {
    progress.end();
  }
  return rows;
}

function addBatch(batch: RecordBatch, values: ValueReader, file: ExportFile): void {
  const reader = new RecordBatchReader();
  reader.reset(batch.bytes);
  for (let offset = Number(batch.baseOffset); reader.next(); offset++) {
    let value: unknown;
    try {
      value = reader.valueAt < 0 ? null : values.decode(reader.buffer, reader.valueAt, reader.valueEnd);
    } catch (error) {
      const place = `${batch.topic} ${batch.partition}:${offset}`;
      throw new KappaError(
        "KAPPA_RECORD_INVALID",
        `${place} cannot be decoded: ${messageOf(error)}`,
        { offset },
        error,
      );
    }
    file.add({
      partition: batch.partition,
      offset,
      timeMs: reader.timestamp,
      key: reader.key()?.toString() ?? null,
      value,
    });
  }
}

async function openFile(
  { topic, registry, path }: ExportOptions,
  draft: string,
): Promise<{ file: ExportFile; values: ValueReader }> {
  const format = /\.(parquet|csv|ndjson)$/.exec(path)?.[1];
  if (format === undefined) {
    throw new KappaError("KAPPA_USAGE", `${path} has an unknown ending; name a file.parquet, file.csv or file.ndjson`);
  }
  if (format === "ndjson") return { file: await NdjsonFile.create(draft), values: new RecordDecoder(registry) };
  const latest = await registry.latest(valueSubject(topic.name));
  if (latest === undefined) {
    throw new KappaError(
      "KAPPA_USAGE",
      `no schema is registered for ${valueSubject(topic.name)}, so the columns are unknown; write a file.ndjson instead`,
      { topic: topic.name },
    );
  }
  const schema = new RecordSchema<Readonly<Record<string, unknown>>>(JSON.parse(latest.schema));
  const serde = new AvroSerde(schema, latest.id, registry);
  const values: ValueReader = {
    load: () => Promise.resolve(),
    decode: (buffer, start, end) => serde.decode(buffer, start, end),
  };
  const file = format === "csv" ? await CsvFile.create(draft, schema.columns) : new ParquetFile(draft, schema);
  return { file, values };
}

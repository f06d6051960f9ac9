import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type HandbookLabel,
  type HandbookTransaction,
  handbookLabelSchema,
  handbookTransactionSchema,
} from "../schemas/records.ts";
import { existingTopic } from "../src/cli/data-folder.ts";
import { batchesHeld } from "../src/cli/topic-reader.ts";
import { AvroSerde } from "../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../src/codec/embedded-schema-registry.ts";
import { valueSubject } from "../src/codec/schema-registry.ts";
import type { Serde } from "../src/codec/serde.ts";
import {
  KappaError,
  type Log,
  partitionOf,
  RecordBatchReader,
  RecordBatchWriter,
  type TransactionSection,
  type Writer,
} from "../src/index.ts";
import type { Columns } from "./handbook-input.ts";

const progressTopic = "handbook-append-progress";
/** Rows of one transaction of the log. */
const rowsPerTransaction = 4096;
/** Transactions on their way to the disk. */
const inFlightMax = 8;

export interface AppendOptions {
  readonly log: Log;
  readonly dataDir: string;
  readonly partitions: number;
  readonly transactions: Columns;
  readonly labels: Columns;
  /** Path of the model that will score the rows. */
  readonly model: string;
  /** As `mergeOrder` gives it. */
  readonly order: Uint32Array;
}

/**
 * Appends both streams in their merged order. Each transaction of the log carries the row it ends at, so an append that
 * was cut off goes on behind the last row that arrived.
 *
 * @returns rows appended by this call
 */
export async function appendInput(options: AppendOptions): Promise<number> {
  const { log, partitions, order } = options;
  for (const topic of ["transactions", "fraud-labels"]) await log.createTopic(topic, { partitions });
  await log.createTopic(progressTopic, { partitions: 1 });
  const writer = await log.openWriter("handbook-append");
  const encoder = await InputEncoder.open(options);
  const input = inputName(options);
  const from = await rowsAppended(log, input);
  let underway: Promise<unknown>[] = [];
  for (let row = from; row < order.length; ) {
    const end = Math.min(order.length, row + rowsPerTransaction);
    for (; row < end; row++) encoder.add(order[row] as number);
    underway.push(append(writer, encoder.take(), `${end} ${input}`));
    if (underway.length >= inFlightMax) {
      await underway[0];
      underway = underway.slice(1);
    }
  }
  await Promise.all(underway);
  await writer.close();
  return order.length - from;
}

/** Tells one input from another: what was appended half way must be continued with the same rows. */
function inputName({ transactions, labels, order, model }: AppendOptions): string {
  const hash = createHash("sha256");
  for (const columns of [transactions, labels]) {
    for (const [name, values] of Object.entries(columns.of)) hash.update(name).update(values as Float64Array);
  }
  hash.update(readFileSync(model)); // decisions of two models in one topic would be told apart by nobody
  return `${order.length} ${hash.digest("hex")}`;
}

function append(writer: Writer, sections: TransactionSection[], reached: string): Promise<unknown> {
  const progress = new RecordBatchWriter(256);
  progress.append(0, null, Buffer.from(reached));
  return writer.append([
    ...sections,
    { topic: progressTopic, partition: 0, count: 1, minTimeMs: 0, maxTimeMs: 0, bytes: progress.take() },
  ]);
}

/**
 * The row behind the last one that is in the log.
 *
 * @throws KAPPA_USAGE when the log holds rows of another input
 */
async function rowsAppended(log: Log, input: string): Promise<number> {
  const reader = new RecordBatchReader();
  let last: string | null = null;
  for await (const batch of batchesHeld(log, await existingTopic(log, progressTopic))) {
    reader.reset(batch.bytes);
    while (reader.next()) last = String(reader.value());
  }
  if (last === null) return 0;
  const [reached, ...name] = last.split(" ");
  if (name.join(" ") !== input) {
    throw new KappaError(
      "KAPPA_USAGE",
      "the data directory holds other files or the decisions of another model; give --data-dir a new folder",
    );
  }
  return Number(reached);
}

/** Turns rows of the columns into records of the two topics. */
class InputEncoder {
  readonly #options: AppendOptions;
  readonly #transactions: Serde<HandbookTransaction>;
  readonly #labels: Serde<HandbookLabel>;
  readonly #transactionWriters: RecordBatchWriter[];
  readonly #labelWriters: RecordBatchWriter[];

  private constructor(options: AppendOptions, transactions: Serde<HandbookTransaction>, labels: Serde<HandbookLabel>) {
    this.#options = options;
    this.#transactions = transactions;
    this.#labels = labels;
    this.#transactionWriters = Array.from({ length: options.partitions }, () => new RecordBatchWriter(65_536));
    this.#labelWriters = Array.from({ length: options.partitions }, () => new RecordBatchWriter(65_536));
  }

  static async open(options: AppendOptions): Promise<InputEncoder> {
    const registry = await EmbeddedSchemaRegistry.open(join(options.dataDir, "registry"));
    const transactionId = await registry.register(valueSubject("transactions"), handbookTransactionSchema.definition);
    const labelId = await registry.register(valueSubject("fraud-labels"), handbookLabelSchema.definition);
    return new InputEncoder(
      options,
      new AvroSerde(handbookTransactionSchema, transactionId, registry),
      new AvroSerde(handbookLabelSchema, labelId, registry),
    );
  }

  /** @param row of the transactions, or behind them of the labels */
  add(row: number): void {
    const { transactions, labels, partitions } = this.#options;
    if (row < transactions.length) {
      const value = transactionAt(transactions, row);
      const partition = partitionOf(value.customer_id, partitions);
      encode(
        this.#transactionWriters[partition] as RecordBatchWriter,
        this.#transactions,
        value.customer_id,
        value.ts,
        value,
      );
    } else {
      const value = labelAt(labels, row - transactions.length);
      const partition = partitionOf(value.customer_id, partitions);
      encode(this.#labelWriters[partition] as RecordBatchWriter, this.#labels, value.customer_id, value.ts, value);
    }
  }

  take(): TransactionSection[] {
    return [...sectionsOf("transactions", this.#transactionWriters), ...sectionsOf("fraud-labels", this.#labelWriters)];
  }
}

function transactionAt({ of }: Columns, row: number): HandbookTransaction {
  return {
    tx_id: of.tx_id?.[row] as number,
    ts: of.ts_ms?.[row] as number,
    customer_id: of.customer_id?.[row] as number,
    terminal_id: of.terminal_id?.[row] as number,
    amount_cents: of.amount_cents?.[row] as number,
  };
}

function labelAt({ of }: Columns, row: number): HandbookLabel {
  return {
    tx_id: of.tx_id?.[row] as number,
    ts: of.ts_ms?.[row] as number,
    tx_ts: of.tx_ts_ms?.[row] as number,
    customer_id: of.customer_id?.[row] as number,
    terminal_id: of.terminal_id?.[row] as number,
  };
}

function encode<Value>(
  writer: RecordBatchWriter,
  serde: Serde<Value>,
  key: number,
  timeMs: number,
  value: Value,
): void {
  writer.beginText(timeMs, String(key));
  writer.reserve(128);
  const end = serde.encode(value, writer.buffer, writer.at);
  writer.advance(end - writer.at);
  writer.end();
}

function sectionsOf(topic: string, writers: readonly RecordBatchWriter[]): TransactionSection[] {
  return writers.flatMap((writer, partition) => {
    if (writer.count === 0) return [];
    const { count, minTimeMs, maxTimeMs } = writer;
    return [{ topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() }];
  });
}

import type { Serde } from "../../codec/serde.ts";
import type { Counter } from "../../core/meter.ts";
import { partitionOf } from "../../log/partitioner.ts";
import type { RecordBatchWriter } from "../../log/record-batch.ts";
import type { Value } from "../../topology/graph.ts";
import type { Outputs } from "../outputs.ts";
import type { Row } from "../row.ts";
import { Processor } from "./processor.ts";

/** Encodes rows into the records of an output topic, partitioned by their key as Kafka's Java client would. */
export class SinkProcessor extends Processor {
  readonly topic: string;
  readonly #partitions: number;
  readonly #keyOf: (value: Value) => string | number | null;
  readonly #serde: Serde<Value>;
  readonly #outputs: Outputs;
  readonly #produced: Counter;
  #count = 0;
  #lastMs = 0;

  constructor(options: {
    readonly topic: string;
    readonly partitions: number;
    readonly keyOf: (value: Value) => string | number | null;
    readonly serde: Serde<Value>;
    readonly outputs: Outputs;
    readonly produced: Counter;
  }) {
    super();
    this.topic = options.topic;
    this.#partitions = options.partitions;
    this.#keyOf = options.keyOf;
    this.#serde = options.serde;
    this.#outputs = options.outputs;
    this.#produced = options.produced;
  }

  override process(row: Row): void {
    const key = this.#keyOf(row.value);
    const partition = key === null ? 0 : partitionOf(key, this.#partitions);
    const writer = this.#outputs.writer(this.topic, partition);
    if (key === null) writer.begin(row.timeMs, null);
    else writer.beginText(row.timeMs, typeof key === "number" ? String(key) : key);
    try {
      this.#encode(row.value, writer);
    } catch (error) {
      writer.abandon();
      throw error;
    }
    writer.end();
    this.#count++;
    this.#lastMs = row.timeMs;
  }

  #encode(value: Value, writer: RecordBatchWriter): void {
    for (let room = 512; ; room *= 4) {
      writer.reserve(room);
      const end = this.#serde.encode(value, writer.buffer, writer.at);
      if (end >= 0) {
        writer.advance(end - writer.at);
        return;
      }
    }
  }

  /** Counts what was produced since the last commit. @returns event time of the last row, or null without any */
  measure(): number | null {
    if (this.#count === 0) return null;
    this.#produced.add(this.#count);
    this.#count = 0;
    return this.#lastMs;
  }
}

import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { valueSubject } from "../../src/codec/schema-registry.ts";
import { type Log, partitionOf, RecordBatchWriter, type TransactionSection } from "../../src/index.ts";
import type { InputEvent, Workload } from "./workload.ts";

/** Turns events into records of the topics they go to. */
export class InputEncoder {
  readonly #partitions: number;
  readonly #serdes = new Map<string, AvroSerde<object>>();
  readonly #writers = new Map<string, RecordBatchWriter[]>();

  private constructor(partitions: number) {
    this.#partitions = partitions;
  }

  static async open(
    workload: Pick<Workload, "inputs">,
    registryDir: string,
    partitions: number,
  ): Promise<InputEncoder> {
    const registry = await EmbeddedSchemaRegistry.open(registryDir);
    const encoder = new InputEncoder(partitions);
    for (const [topic, schema] of Object.entries(workload.inputs)) {
      const id = await registry.register(valueSubject(topic), schema.definition);
      encoder.#serdes.set(topic, new AvroSerde(schema, id, registry));
      encoder.#writers.set(
        topic,
        Array.from({ length: partitions }, () => new RecordBatchWriter(65_536)),
      );
    }
    return encoder;
  }

  add(event: InputEvent): void {
    const { topic, key, timeMs, value } = event;
    const serde = this.#serdes.get(topic);
    const writer = this.#writers.get(topic)?.[partitionOf(key, this.#partitions)];
    if (serde === undefined || writer === undefined) throw new TypeError(`the workload names no schema for ${topic}`);
    writer.beginText(timeMs, key);
    if (value === null) {
      writer.end(true);
      return;
    }
    for (;;) {
      const end = serde.encode(value, writer.buffer, writer.at);
      if (end >= 0) {
        writer.advance(end - writer.at);
        writer.end();
        return;
      }
      writer.reserve(writer.buffer.length);
    }
  }

  /** The records added since the last call. */
  take(): TransactionSection[] {
    const sections: TransactionSection[] = [];
    for (const [topic, writers] of this.#writers) {
      writers.forEach((writer, partition) => {
        const { count, minTimeMs, maxTimeMs } = writer;
        if (count > 0) sections.push({ topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() });
      });
    }
    return sections;
  }
}

/** What is appended before the clock starts; the events may end with the last that wants a decision. */
export interface Preloadable extends Pick<Workload, "inputs" | "preloaded"> {
  events(): Iterable<InputEvent>;
}

/** Events of one transaction of the log, and transactions on their way to the disk. */
const eventsPerTransaction = 4096;
const inFlightMax = 8;

/**
 * Creates the inputs and appends events until `transactions` of them want a decision.
 *
 * @returns events appended
 */
export async function preload(
  log: Log,
  workload: Preloadable,
  registryDir: string,
  partitions: number,
): Promise<number> {
  for (const topic of Object.keys(workload.inputs)) await log.createTopic(topic, { partitions });
  const encoder = await InputEncoder.open(workload, registryDir, partitions);
  const writer = await log.openWriter("bench-preload");
  const underway: Promise<unknown>[] = [];
  let decided = 0;
  let count = 0;
  for (const event of workload.events()) {
    encoder.add(event);
    count++;
    if (event.decisionKey !== null) decided++;
    const last = decided === workload.preloaded;
    if (!last && count % eventsPerTransaction !== 0) continue;
    underway.push(writer.append(encoder.take()));
    if (underway.length >= inFlightMax) await underway.shift();
    if (last) break;
  }
  await Promise.all(underway);
  await writer.close();
  return count;
}

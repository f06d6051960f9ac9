import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import type { Serde } from "../../src/codec/serde.ts";
import { assert } from "../../src/core/assert.ts";
import { systemClock } from "../../src/core/clock.ts";
import { noMeter } from "../../src/core/meter.ts";
import { loadTopology } from "../../src/engine/topology-module.ts";
import { type Cursor, RecordBatchReader, RecordBatchWriter, type Writer } from "../../src/index.ts";
import type { FileLogHandle } from "../../src/log/file-log.ts";
import { ThreadFileLog } from "../../src/log/file-log-thread.ts";
import type { Scorer } from "../../src/scoring/scorer.ts";
import { inputSerde, partitionedInputs } from "../../src/task/application.ts";
import { loadModels } from "../../src/task/models.ts";
import type { Value } from "../../src/topology/graph.ts";
import type { FloorOrder } from "./floor-process.ts";

const sliceRows = 512;
/** Head, and a directory of one section, of a frame; fixed part of a record. */
const frameOverhead = 56 + 48 + 22;

interface Source {
  readonly cursor: Cursor;
  readonly serde: Serde<Value>;
  /** Whether its records want a score. */
  readonly scored: boolean;
  readonly partition: number;
  /** One past the last record that is taken. */
  readonly end: bigint;
}

/** One thread of the floor. */
class FloorLoop {
  readonly #order: FloorOrder;
  readonly #sources: readonly Source[];
  readonly #scorer: Scorer;
  readonly #writer: Writer;
  readonly #vectors: Float32Array;
  readonly #scores = new Float32Array(sliceRows);
  readonly #reader = new RecordBatchReader();
  readonly #underway: Promise<unknown>[] = [];
  readonly #payload: Buffer;
  #scoresDue = 0;
  #vectorAt = 0;
  #framesDue = 0;

  constructor(order: FloorOrder, sources: readonly Source[], scorer: Scorer, writer: Writer) {
    this.#order = order;
    this.#sources = sources;
    this.#scorer = scorer;
    this.#writer = writer;
    const bytes = readFileSync(order.vectorsFile);
    this.#vectors = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    this.#payload = Buffer.alloc(
      Math.max(1, Math.round(order.appended.bytes / order.appended.frames) - frameOverhead),
      7,
    );
  }

  async run(): Promise<void> {
    for (let left = this.#sources.length; left > 0; ) {
      left = 0;
      for (const source of this.#sources) {
        if (source.cursor.position >= source.end) continue;
        await this.#batch(source);
        left++;
      }
    }
    await Promise.all(this.#underway);
  }

  async #batch(source: Source): Promise<void> {
    const { cursor, end } = source;
    const batch = cursor.next();
    assert(batch !== undefined, () => `records ${cursor.position} to ${end} of ${cursor.topic} are missing`);
    const reader = this.#reader;
    reader.reset(batch.bytes);
    let decoded = 0;
    while (reader.next()) {
      if (reader.valueAt >= 0) source.serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      decoded++;
    }
    const { scoredShare, appended, records } = this.#order;
    if (source.scored) this.#scoresDue += decoded * scoredShare;
    for (; this.#scoresDue >= sliceRows; this.#scoresDue -= sliceRows) await this.#score();
    this.#framesDue += (decoded * appended.frames) / records;
    for (; this.#framesDue >= 1; this.#framesDue--) await this.#append(source.partition);
  }

  async #score(): Promise<void> {
    const width = this.#scorer.model.features.length;
    if (this.#vectorAt + sliceRows * width > this.#vectors.length) this.#vectorAt = 0;
    const rows = this.#vectors.subarray(this.#vectorAt, this.#vectorAt + sliceRows * width);
    this.#vectorAt += rows.length;
    await this.#scorer.score(rows, sliceRows, this.#scores);
  }

  async #append(partition: number): Promise<void> {
    const frame = new RecordBatchWriter(this.#payload.length + frameOverhead);
    frame.append(0, null, this.#payload);
    const { count, minTimeMs, maxTimeMs } = frame;
    const section = { topic: "bench-floor", partition, count, minTimeMs, maxTimeMs, bytes: frame.take() };
    const append = this.#writer.append([section]);
    this.#underway.push(append);
    if (this.#underway.length >= this.#order.framesInFlightMax) await this.#underway.shift();
  }
}

const port = parentPort;
assert(port !== null, () => "floor-thread.ts runs as a worker thread");
const { order, thread, handle } = workerData as { order: FloorOrder; thread: number; handle: FileLogHandle };
const told = (): Promise<unknown> => new Promise((resolve) => port.once("message", resolve));
const topology = await loadTopology(order.topology);
const log = ThreadFileLog.of(handle);
const registry = await EmbeddedSchemaRegistry.open(join(order.dataDir, "registry"));
const [scorer] = (await loadModels(topology, systemClock, noMeter)).values();
assert(scorer !== undefined, () => "the topology has no model: there is no floor to measure");
const sources: Source[] = [];
for (const input of partitionedInputs(topology)) {
  for (let partition = thread; partition < order.partitions; partition += order.threads) {
    const end = await log.endOffset(input.topic, partition, "durable");
    const cursor = await log.openCursor(input.topic, partition, 0n, "durable");
    const scored = input.topic === "transactions";
    sources.push({ cursor, serde: inputSerde(input, registry), scored, partition, end });
  }
}
const loop = new FloorLoop(order, sources, scorer, await log.openWriter(`bench-floor-${thread}`));
port.postMessage("ready");
await told();
await loop.run();
port.postMessage("done");
await told();
await scorer.close();
await log.close();
port.close();

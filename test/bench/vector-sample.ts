import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { loadTopology } from "../../src/engine/topology-module.ts";
import { RecordBatchReader } from "../../src/index.ts";
import { readFileLog } from "../../src/log/file-log-socket.ts";
import { outputSerde } from "../../src/task/application.ts";
import type { ScoreNode, SinkNode } from "../../src/topology/graph.ts";
import type { EngineOrder } from "./engine-process.ts";

/** Rows the floor goes round: more than fit in the processor's caches. */
const rowsMax = 65_536;

/**
 * Takes what the model saw out of the decisions of a run, from the middle of each partition on, and writes it to a
 * file: the time a forest takes depends on its rows.
 *
 * @returns share of decisions that have a score
 */
export async function sampleVectors(order: EngineOrder, file: string): Promise<number> {
  const topology = await loadTopology(order.topology);
  const sink = topology.nodes.find(
    (node): node is SinkNode => node.kind === "sink" && node.topic === order.decisionsTopic,
  );
  const score = topology.nodes.find((node): node is ScoreNode => node.kind === "score");
  if (sink === undefined || score === undefined)
    throw new TypeError(`${order.topology.module} scores nothing into ${order.decisionsTopic}`);
  const features = featuresOf(score);
  const registry = await EmbeddedSchemaRegistry.open(join(order.dataDir, "registry"));
  const serde = outputSerde(sink, registry, { [sink.topic]: 0 });
  const readVector = sink.schema.shape.vectorReader(features);
  const readScore = sink.schema.shape.numberReader([score.into]);
  const vectors = new Float32Array(rowsMax * features.length);
  const found = new Float64Array(1);
  const log = readFileLog(join(order.dataDir, "log"));
  const partitions = (await log.topic(sink.topic))?.partitions ?? 0;
  const reader = new RecordBatchReader();
  let [seen, scored] = [0, 0];
  for (let partition = 0; partition < partitions; partition++) {
    const rowsWanted = Math.floor(((partition + 1) * rowsMax) / partitions);
    const middle = (await log.endOffset(sink.topic, partition, "durable")) / 2n;
    const cursor = await log.openCursor(sink.topic, partition, middle, "durable");
    for (let batch = cursor.next(); batch !== undefined && scored < rowsWanted; batch = cursor.next()) {
      reader.reset(batch.bytes);
      while (scored < rowsWanted && reader.next()) {
        const decision = serde.decode(reader.buffer, reader.valueAt, reader.valueEnd);
        seen++;
        readScore(decision, found, 0);
        if (Number.isNaN(found[0])) continue;
        readVector(decision, vectors, scored++ * features.length);
      }
    }
    cursor.close();
  }
  await log.close();
  if (scored < 512) throw new TypeError(`${scored} of ${seen} decisions have a score; the floor needs 512`);
  writeFileSync(file, new Uint8Array(vectors.buffer, 0, scored * features.length * 4));
  return scored / seen;
}

function featuresOf({ model }: ScoreNode): readonly string[] {
  if (model.kind === "bare") return model.columns;
  const manifest = JSON.parse(readFileSync(join(model.directory, "model.json"), "utf8")) as {
    readonly features: readonly { readonly name: string }[];
  };
  return manifest.features.map(({ name }) => name);
}

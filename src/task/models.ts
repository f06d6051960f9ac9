import { dirname } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Meter } from "../core/meter.ts";
import { checkFeatures, describeBareModel, describeModel } from "../scoring/manifest.ts";
import { readModelFile } from "../scoring/model-file.ts";
import type { ModelReference } from "../scoring/model-reference.ts";
import { openOnnxScorer } from "../scoring/onnx-scorer.ts";
import type { ModelDescription, Scorer } from "../scoring/scorer.ts";
import type { ScoreNode, Topology } from "../topology/graph.ts";

/** Loads the model of every score node; nodes that name the same model share one. */
export async function loadModels(topology: Topology, clock: Clock, meter: Meter): Promise<Map<number, Scorer>> {
  const scorers = new Map<number, Scorer>();
  const loaded = new Map<string, Scorer>();
  for (const node of topology.nodes) {
    if (node.kind !== "score") continue;
    const id = JSON.stringify(node.model);
    const scorer = loaded.get(id) ?? (await loadModel(node, clock, meter));
    loaded.set(id, scorer);
    meter.gauge("kappa_model_info", scorer.model.name, scorer.model.version).set(1);
    scorers.set(node.id, scorer);
  }
  return scorers;
}

async function loadModel(node: ScoreNode, clock: Clock, meter: Meter): Promise<Scorer> {
  const path = node.model.kind === "bare" ? node.model.file : node.model.directory;
  const file = await readModelFile(node.model.kind === "bare" ? dirname(path) : path, path);
  const model = describe(node.model, file.sha256, file.manifest);
  const provided = new Set(node.columns.map(({ name }) => name));
  checkFeatures(
    model,
    model.features.filter(({ name }) => provided.has(name)),
  );
  return openOnnxScorer({ onnx: file.onnx, model, meter, clock });
}

function describe(
  reference: ModelReference,
  sha256: string,
  manifest: Parameters<typeof describeModel>[0] | undefined,
): ModelDescription {
  if (reference.kind === "bare") return describeBareModel({ columns: reference.columns, sha256 });
  if (manifest === undefined) throw new TypeError(`${reference.directory} has no model.json`);
  return describeModel(manifest, sha256);
}

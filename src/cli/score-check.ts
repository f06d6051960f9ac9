import { dirname } from "node:path";
import type { RecordSchema } from "../codec/record-schema.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import { describeBareModel, describeModel } from "../scoring/manifest.ts";
import { readModelFile } from "../scoring/model-file.ts";
import type { ModelReference } from "../scoring/model-reference.ts";
import { openOnnxScorer } from "../scoring/onnx-scorer.ts";
import type { ModelDescription } from "../scoring/scorer.ts";

/** What came of scoring a stored vector again. */
export interface ScoreCheck {
  /** Name and version of the model that was asked. */
  readonly model: string;
  readonly stored: number;
  readonly again: number;
  /** Whether both are the same float32, bit for bit. */
  readonly equal: boolean;
}

/**
 * Scores the vector of a decision again: the model's features, read from the decision's own fields.
 *
 * @param score the field that holds the score
 * @returns null when the decision has no score: a rule decided before the model
 * @throws KAPPA_MODEL_INVALID when the model cannot be loaded or reads what the decision does not hold
 */
export async function checkScore(
  decision: Readonly<Record<string, unknown>>,
  schema: RecordSchema<unknown>,
  score: string,
  reference: ModelReference,
  clock: Clock,
): Promise<ScoreCheck | null> {
  const stored = decision[score];
  if (typeof stored !== "number") return null;
  const { onnx, model } = await load(reference);
  const names = model.features.map(({ name }) => name);
  const vector = new Float32Array(names.length);
  vectorReader(schema, names, model)(decision, vector, 0);
  const scorer = await openOnnxScorer({ onnx, model, meter: noMeter, clock });
  try {
    const scores = new Float32Array(1);
    await scorer.score(vector, 1, scores);
    const again = scores[0] as number;
    return { model: `${model.name}@${model.version}`, stored, again, equal: Object.is(Math.fround(stored), again) };
  } finally {
    await scorer.close();
  }
}

function vectorReader(schema: RecordSchema<unknown>, names: readonly string[], model: ModelDescription) {
  try {
    return schema.shape.vectorReader(names);
  } catch (error) {
    const message = `model ${model.name} ${model.version} reads what the decision does not hold: ${messageOf(error)}`;
    throw new KappaError("KAPPA_MODEL_INVALID", message, {}, error);
  }
}

async function load(reference: ModelReference): Promise<{ readonly onnx: Buffer; readonly model: ModelDescription }> {
  if (reference.kind === "bare") {
    const { onnx, sha256 } = await readModelFile(dirname(reference.file), reference.file);
    return { onnx, model: describeBareModel({ columns: reference.columns, sha256 }) };
  }
  const { onnx, sha256, manifest } = await readModelFile(reference.directory, reference.directory);
  if (manifest === undefined) {
    throw new KappaError(
      "KAPPA_MODEL_INVALID",
      `${reference.directory} has no model.json: name the topology with --topology instead`,
    );
  }
  return { onnx, model: describeModel(manifest, sha256) };
}

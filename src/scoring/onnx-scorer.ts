import { InferenceSession, Tensor } from "onnxruntime-node";
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Counter, Histogram, Meter } from "../core/meter.ts";
import { type BatchPlan, planBatches, probeRows } from "./batch-plan.ts";
import { checkSelfContained } from "./onnx-graph.ts";
import type { ModelDescription, Scorer } from "./scorer.ts";

export interface OnnxScorerOptions {
  /** The ONNX file; its hash is what `model.sha256` says. */
  readonly onnx: Buffer;
  readonly model: ModelDescription;
  readonly meter: Meter;
  readonly clock: Clock;
}

/** A loaded graph: one float32 input [rows, width], and the one float32 output that holds the scores. */
interface Graph {
  readonly session: InferenceSession;
  readonly input: string;
  /** The batch size the graph demands, or undefined when it takes any. */
  readonly rows: number | undefined;
  readonly output: string;
  /** Values the output has for each row: [rows, 2] (the score is the second), [rows, 1], or 0 for plain [rows]. */
  readonly outputWidth: 0 | 1 | 2;
}

/**
 * How far beyond [0, 1] a probability may lie and still be taken, as 0 or 1: forests add up to 1,000 float32 leaves
 * and end one rounding error above 1. Their surest scores must not go to review for that.
 */
const probabilityTolerance = 1e-5;
/** A call of the model never blocks the thread for much longer, however slow the model. */
const sliceMsMax = 5;

/**
 * Loads a model into onnxruntime: checks inputs and outputs against its description, finds out how it may be batched,
 * and leaves it warm. One thread per session: tasks run in threads of their own, and a sum split over threads could
 * change its last bits.
 *
 * @throws KAPPA_MODEL_INVALID with both numbers or names where the graph and the description disagree
 */
export async function openOnnxScorer(options: OnnxScorerOptions): Promise<Scorer> {
  const { model, clock } = options;
  checkSelfContained(options.onnx);
  const session = await createSession(options.onnx, model);
  try {
    const input = findInput(session, model);
    const output = await findOutput(session, model, input);
    const graph: Graph = { session, ...input, ...output };
    const caller = new GraphCaller(graph, model);
    const run = caller.run.bind(caller);
    const width = model.features.length;
    const plan = await planBatches({ run, width, graphRows: graph.rows });
    const rowMs = await probe(caller, plan, model, clock);
    return new OnnxScorer(caller, paced(plan, rowMs), options);
  } catch (error) {
    await session.release();
    if (error instanceof KappaError && error.code === "KAPPA_MODEL_INVALID") throw error;
    throw invalid(model, `fails on trial rows: ${messageOf(error)}`, error);
  }
}

/** Lays rows into tensors for one graph. */
class GraphCaller {
  readonly #graph: Graph;
  readonly #width: number;
  readonly #name: string;
  /** What the runtime writes into; grows to the largest call. */
  #output = new Float32Array(0);

  constructor(graph: Graph, model: ModelDescription) {
    this.#graph = graph;
    this.#width = model.features.length;
    this.#name = `${model.name} ${model.version}`;
  }

  /** One call of the model. The score of row i goes to `into[i]` as the graph gave it. */
  async run(rows: Float32Array, count: number, into: Float32Array): Promise<void> {
    const { session, input, output, outputWidth } = this.#graph;
    const size = count * Math.max(outputWidth, 1);
    if (this.#output.length < size) this.#output = new Float32Array(size);
    const scores = this.#output;
    const length = count * this.#width;
    const values = rows.length === length ? rows : rows.subarray(0, length);
    const dims = outputWidth === 0 ? [count] : [count, outputWidth];
    try {
      // Naming one output leaves the others, such as the label, uncomputed where the graph allows it; handing in its
      // tensor saves the runtime an allocation outside the heap, and us a finalizer, per call.
      await session.run(
        { [input]: new Tensor("float32", values, [count, this.#width]) },
        { [output]: new Tensor("float32", scores.subarray(0, size), dims) },
      );
    } catch (error) {
      const message = `model ${this.#name} failed on ${count} rows: ${messageOf(error)}`;
      throw new KappaError("KAPPA_MODEL_FAILED", message, { model: this.#name, rows: count }, error);
    }
    if (outputWidth === 2) for (let i = 0; i < count; i++) into[i] = scores[2 * i + 1] as number;
    else into.set(scores.subarray(0, count));
  }

  release(): Promise<void> {
    return this.#graph.session.release();
  }
}

class OnnxScorer implements Scorer {
  readonly model: ModelDescription;
  readonly #caller: GraphCaller;
  readonly #plan: BatchPlan;
  readonly #clock: Clock;
  readonly #invalidScores: Counter;
  readonly #seconds: Histogram;
  /** Rows and scores of one padded call; empty for a free plan. */
  readonly #padded: Float32Array;
  readonly #paddedScores: Float32Array;
  /** Settles when no call is under way; never rejects. */
  #idle: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(caller: GraphCaller, plan: BatchPlan, options: OnnxScorerOptions) {
    const { model, meter } = options;
    this.model = model;
    this.#caller = caller;
    this.#plan = plan;
    this.#clock = options.clock;
    this.#invalidScores = meter.counter("kappa_scores_invalid_total", model.name, model.version);
    this.#seconds = meter.histogram("kappa_scoring_duration_seconds", model.name, model.version);
    const tensorRows = plan.kind === "padded" ? plan.tensorRows : 0;
    this.#padded = new Float32Array(tensorRows * model.features.length);
    this.#paddedScores = new Float32Array(tensorRows);
  }

  async score(rows: Float32Array, count: number, into: Float32Array): Promise<void> {
    const width = this.model.features.length;
    assert(!this.#closed, () => "score called on a closed scorer");
    assert(rows.length >= count * width, () => `${rows.length} values for ${count} rows of ${width}`);
    assert(into.length >= count, () => `room for ${into.length} scores, ${count} needed`);
    if (count === 0) return;
    // Calls share the tensors the runtime writes into, so each waits for the one before it.
    const call = this.#idle.then(() => this.#scoreNow(rows, count, into));
    this.#idle = call.catch(() => {});
    await call;
  }

  async #scoreNow(rows: Float32Array, count: number, into: Float32Array): Promise<void> {
    const startedMs = this.#clock.monotonic();
    const plan = this.#plan;
    if (plan.kind === "free") await this.#scoreFree(rows, count, into, plan.sliceRowsMax);
    else await this.#scorePadded(rows, count, into, plan.tensorRows, plan.usedRows);
    const invalidScores = settle(into, count, this.model.output === "probability");
    if (invalidScores > 0) this.#invalidScores.add(invalidScores);
    this.#seconds.observe((this.#clock.monotonic() - startedMs) / 1000);
  }

  async #scoreFree(rows: Float32Array, count: number, into: Float32Array, sliceRowsMax: number): Promise<void> {
    const width = this.model.features.length;
    for (let at = 0; at < count; at += sliceRowsMax) {
      const size = Math.min(sliceRowsMax, count - at);
      await this.#caller.run(rows.subarray(at * width, (at + size) * width), size, into.subarray(at, at + size));
    }
  }

  async #scorePadded(
    rows: Float32Array,
    count: number,
    into: Float32Array,
    tensorRows: number,
    usedRows: number,
  ): Promise<void> {
    const width = this.model.features.length;
    const padded = this.#padded;
    const scores = this.#paddedScores;
    for (let at = 0; at < count; at += usedRows) {
      const size = Math.min(usedRows, count - at);
      padded.set(rows.subarray(at * width, (at + size) * width));
      padded.fill(0, size * width);
      await this.#caller.run(padded, tensorRows, scores);
      into.set(scores.subarray(0, size), at);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#idle;
    await this.#caller.release();
  }
}

/** Turns what is no valid score into NaN. @returns how many were not */
function settle(scores: Float32Array, count: number, probability: boolean): number {
  let invalidScores = 0;
  for (let i = 0; i < count; i++) {
    const score = scores[i] as number;
    // One comparison for the common case; NaN fails it.
    if (score >= 0 && score <= 1) continue;
    if (!probability && Number.isFinite(score)) continue;
    if (probability && score > 1 && score <= 1 + probabilityTolerance) scores[i] = 1;
    else if (probability && score < 0 && score >= -probabilityTolerance) scores[i] = 0;
    else {
      scores[i] = Number.NaN;
      invalidScores++;
    }
  }
  return invalidScores;
}

/**
 * Scores trial rows as the scorer will, so the first real call is no slower than the others, and sees whether a model
 * that claims probabilities gives them.
 *
 * @returns ms per row
 */
async function probe(caller: GraphCaller, plan: BatchPlan, model: ModelDescription, clock: Clock): Promise<number> {
  const count = plan.kind === "free" ? 64 : plan.tensorRows;
  const scores = new Float32Array(count);
  const rows = probeRows(model.features.length, count);
  const startedMs = clock.monotonic();
  await caller.run(rows, count, scores);
  const rowMs = (clock.monotonic() - startedMs) / count;
  const beyond = scores.find((score) => score < -probabilityTolerance || score > 1 + probabilityTolerance);
  if (model.output === "probability" && beyond !== undefined) {
    throw invalid(model, `gave ${beyond} for a trial row, a probability lies in [0, 1]; declare its output as "raw"`);
  }
  return rowMs;
}

/** A slow model gets shorter slices. Only time depends on this: the scores of a free plan are the same in any cut. */
function paced(plan: BatchPlan, rowMs: number): BatchPlan {
  if (plan.kind === "padded" || !(rowMs > 0)) return plan;
  const rows = Math.floor(sliceMsMax / rowMs);
  return { kind: "free", sliceRowsMax: Math.max(1, Math.min(plan.sliceRowsMax, rows)) };
}

async function createSession(onnx: Buffer, model: ModelDescription): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(onnx, {
      executionProviders: ["cpu"],
      executionMode: "sequential",
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      // The arena never gives memory back; without it reloading models does not grow the process, at the same speed.
      enableCpuMemArena: false,
      // Fatal only: the runtime prints to standard error what it also throws.
      logSeverityLevel: 4,
    });
  } catch (error) {
    throw invalid(model, `is refused by onnxruntime: ${messageOf(error)}`, error);
  }
}

function findInput(session: InferenceSession, model: ModelDescription): Pick<Graph, "input" | "rows"> {
  const [input, ...others] = session.inputMetadata;
  if (input === undefined || others.length > 0) {
    const names = session.inputNames.join(", ");
    throw invalid(model, `has ${session.inputNames.length} inputs (${names}), needed: one of float32 [rows, features]`);
  }
  if (!input.isTensor || input.type !== "float32" || input.shape.length !== 2) {
    const found = input.isTensor ? `${input.type} [${input.shape.map((size) => size || "?").join(", ")}]` : "no tensor";
    throw invalid(model, `has input ${input.name}: ${found}, needed: float32 [rows, features]`);
  }
  const [rows, width] = input.shape;
  const features = model.features.length;
  if (typeof width === "number" && width !== features) {
    throw invalid(model, `has input ${input.name} of width ${width}, ${features} features are listed`);
  }
  return { input: input.name, rows: typeof rows === "number" ? rows : undefined };
}

/**
 * The float32 output that has a score for each row. Exporters often leave its shape out or name it wrongly, so the
 * shape is taken from a call with 3 rows (a number that no output has for another reason).
 */
async function findOutput(
  session: InferenceSession,
  model: ModelDescription,
  input: Pick<Graph, "input" | "rows">,
): Promise<Pick<Graph, "output" | "outputWidth">> {
  const floats = session.outputMetadata.filter((each) => each.isTensor && each.type === "float32");
  if (floats.length === 0) {
    const found = session.outputMetadata.map((each) => `${each.name}: ${each.isTensor ? each.type : "no tensor"}`);
    throw invalid(model, `has no float32 output (${found.join(", ")}); export a classifier with zipmap off`);
  }
  const count = input.rows ?? 3;
  const width = model.features.length;
  const rows = new Tensor("float32", probeRows(width, count), [count, width]);
  const names = floats.map((each) => each.name);
  const results = await session.run({ [input.input]: rows }, names);
  const found: Pick<Graph, "output" | "outputWidth">[] = [];
  for (const output of names) {
    const outputWidth = scoresPerRow(results[output]?.dims ?? [], count, model);
    if (outputWidth !== undefined) found.push({ output, outputWidth });
  }
  const [first, second] = found;
  if (first !== undefined && second === undefined) return first;
  const shapes = names.map((output) => `${output} [${results[output]?.dims.join(", ")}]`).join(", ");
  const wanted = model.output === "probability" ? "[rows, 2], [rows, 1] or [rows]" : "[rows, 1] or [rows]";
  throw invalid(model, `gives ${shapes} for ${count} rows, needed: exactly one float32 output of ${wanted}`);
}

function scoresPerRow(dims: readonly number[], count: number, model: ModelDescription): 0 | 1 | 2 | undefined {
  if (dims[0] !== count) return undefined;
  if (dims.length === 1) return 0;
  if (dims.length !== 2) return undefined;
  if (dims[1] === 1) return 1;
  return dims[1] === 2 && model.output === "probability" ? 2 : undefined;
}

function invalid(model: ModelDescription, message: string, cause?: unknown): KappaError {
  const context = { model: model.name, version: model.version };
  return new KappaError("KAPPA_MODEL_INVALID", `model ${model.name} ${model.version} ${message}`, context, cause);
}

import { z } from "zod";
import { KappaError } from "../core/errors.ts";
import type { Feature, ModelDescription, ModelOutput } from "./scorer.ts";

const name = z.string().min(1).max(200);
const feature = z.strictObject({ name, version: z.int().positive().optional() });

/**
 * `model.json`, beside `model.onnx`: what a model needs to be used, checked and traced. Strict in its own fields, open
 * in `params` and `metrics`, which belong to whoever trained it.
 */
const schema = z.strictObject({
  name,
  version: name,
  /** In the order of the model's input columns. */
  features: z.array(feature).min(1).max(10_000),
  /** Training median of every feature, by name. */
  medians: z.record(z.string(), z.number()),
  output: z.enum(["probability", "raw"]),
  trained_at: z.iso.datetime(),
  training: z.strictObject({
    rows: z.int().nonnegative(),
    /** First and last event time of the training rows. */
    from: z.iso.datetime(),
    to: z.iso.datetime(),
    /** Commit of the code that computed the features. */
    git: z.string(),
    /** Hash or name of the data set. */
    dataset: z.string(),
    seed: z.int(),
    params: z.record(z.string(), z.json()),
  }),
  metrics: z.record(z.string(), z.number()),
  /** Of the bytes of `model.onnx`. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "needed: 64 lowercase hex digits"),
});

export type Manifest = z.infer<typeof schema>;

/**
 * @param file named in the error
 * @throws KAPPA_MODEL_INVALID with the place of the first fault
 */
export function parseManifest(text: string, file: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new KappaError("KAPPA_MODEL_INVALID", `${file} is not JSON`, { file }, error);
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue === undefined ? "" : issue.path.map(String).join(".");
    const message = `${file}: ${place === "" ? "" : `${place}: `}${issue?.message.toLowerCase() ?? "invalid"}`;
    throw new KappaError("KAPPA_MODEL_INVALID", message, { file, place });
  }
  const manifest = result.data;
  const names = new Set<string>();
  for (const each of manifest.features) {
    if (names.has(each.name)) throw refused(file, `feature ${each.name} is listed twice`);
    names.add(each.name);
    if (!Object.hasOwn(manifest.medians, each.name)) throw refused(file, `feature ${each.name} has no median`);
  }
  for (const median of Object.keys(manifest.medians)) {
    if (!names.has(median)) throw refused(file, `a median is given for ${median}, which is no feature`);
  }
  return manifest;
}

/**
 * The description of a model with a manifest.
 *
 * @param sha256 of the ONNX bytes as read
 * @throws KAPPA_MODEL_INVALID when the manifest names another hash
 */
export function describeModel(manifest: Manifest, sha256: string): ModelDescription {
  if (manifest.sha256 !== sha256) {
    throw new KappaError(
      "KAPPA_MODEL_INVALID",
      `model ${manifest.name} ${manifest.version}: the manifest has sha256 ${manifest.sha256}, the file ${sha256}; ` +
        "put the two files of one training run together",
      { model: manifest.name, version: manifest.version, expected: manifest.sha256, actual: sha256 },
    );
  }
  const medians = Float32Array.from(manifest.features, (each) => manifest.medians[each.name] as number);
  const { version, features, output } = manifest;
  return { name: manifest.name, version, sha256, features, output, medians };
}

export interface BareDescriptionOptions {
  /** Default: "model". */
  readonly name?: string;
  /** Column names in the order of the model's input. */
  readonly columns: readonly string[];
  readonly sha256: string;
  /** Default: "probability". */
  readonly output?: ModelOutput;
}

/** The description of an ONNX file without a manifest: its version is the start of its hash, and it gives no reasons. */
export function describeBareModel(options: BareDescriptionOptions): ModelDescription {
  return {
    name: options.name ?? "model",
    version: options.sha256.slice(0, 12),
    sha256: options.sha256,
    features: options.columns.map((column) => ({ name: column })),
    output: options.output ?? "probability",
    medians: undefined,
  };
}

/**
 * Compares what a model reads with what a topology provides: the same features, in the same order, of the same
 * versions. A model scored on swapped columns gives plausible numbers, so this must never pass unseen.
 *
 * @throws KAPPA_MODEL_INVALID naming the features that disagree
 */
export function checkFeatures(model: ModelDescription, provided: readonly Feature[]): void {
  const wanted = model.features;
  const providedNames = provided.map((each) => each.name);
  const wantedNames = wanted.map((each) => each.name);
  const missing = wantedNames.filter((each) => !providedNames.includes(each));
  if (missing.length > 0) {
    throw disagree(model, `reads ${missing.join(", ")}, which the topology does not provide`);
  }
  const unread = providedNames.filter((each) => !wantedNames.includes(each));
  if (unread.length > 0) {
    throw disagree(model, `does not read ${unread.join(", ")}, which the topology provides`);
  }
  if (wanted.length !== provided.length) {
    throw disagree(model, `reads ${wanted.length} features, the topology provides ${provided.length}`);
  }
  const moved = wantedNames.flatMap((each, i) => (each === providedNames[i] ? [] : [i]));
  if (moved.length > 0) {
    const places = moved.map((i) => `${i} (model ${wantedNames[i]}, topology ${providedNames[i]})`).join(", ");
    throw disagree(model, `and the topology order features differently at ${places}`);
  }
  for (const [i, each] of wanted.entries()) {
    const version = provided[i]?.version;
    if (each.version !== undefined && version !== undefined && each.version !== version) {
      throw disagree(model, `reads ${each.name} version ${each.version}, the topology provides version ${version}`);
    }
  }
}

function disagree(model: ModelDescription, message: string): KappaError {
  return new KappaError(
    "KAPPA_MODEL_INVALID",
    `model ${model.name} ${model.version} ${message}; list the same features in the same order, or train it anew`,
    { model: model.name, version: model.version },
  );
}

function refused(file: string, message: string): KappaError {
  return new KappaError("KAPPA_MODEL_INVALID", `${file}: ${message}`, { file });
}

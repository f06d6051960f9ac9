/** What the numbers of a model mean. A `probability` lies in [0, 1]; a `raw` score is any finite number. */
export type ModelOutput = "probability" | "raw";

/** One input of a model, in the words of the topology that computes it. */
export interface Feature {
  readonly name: string;
  /** Raised when the meaning of the feature changes under the same name. Undefined is compared with nothing. */
  readonly version?: number | undefined;
}

/** What the engine knows about a loaded model. */
export interface ModelDescription {
  readonly name: string;
  readonly version: string;
  /** Of the ONNX bytes, 64 lowercase hex digits. */
  readonly sha256: string;
  /** In the order of the model's input columns; its length is the width of a row. */
  readonly features: readonly Feature[];
  readonly output: ModelOutput;
  /** Training median of each feature, in their order; undefined for a bare model, which can give no reasons. */
  readonly medians: Float32Array | undefined;
}

/**
 * A loaded model. The score of a row is a function of that row's bits alone: it does not depend on the rows scored with
 * it nor on how many there are, so any cut into batches gives the same stream.
 */
export interface Scorer {
  readonly model: ModelDescription;
  /**
   * Any count is fine: it is cut into slices that each block the thread for a few ms at most, and the event loop turns
   * between slices. Tasks of one thread may share a scorer: calls that overlap run one after the other.
   *
   * @param rows row-major [count, width] float32, width = `model.features.length`; unchanged until the promise settles
   * @param into at least `count` long; element i becomes the score of row i, or NaN where the model gave no valid one
   *   (not a number, infinite, or a probability outside [0, 1]). NaN is never "allow": the caller sends it to review.
   * @throws KAPPA_MODEL_FAILED when the runtime fails; the contents of `into` are then undefined
   */
  score(rows: Float32Array, count: number, into: Float32Array): Promise<void>;
  /** Waits for what is under way and frees the model's memory. Calling it twice is fine. */
  close(): Promise<void>;
}

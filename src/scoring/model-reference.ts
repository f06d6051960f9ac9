/** Which model a topology scores with. */
export type ModelReference =
  /** A folder with `model.onnx` and its manifest `model.json`: features, medians, provenance. */
  | { readonly kind: "manifest"; readonly directory: string }
  /** A bare ONNX file, whose input columns the topology declares; it has no medians and so no reasons to give. */
  | { readonly kind: "bare"; readonly file: string; readonly columns: readonly string[] };

/** A model with its manifest. */
export const modelIn = (directory: string): ModelReference => ({ kind: "manifest", directory });

/** An ONNX file and the order of its input columns. */
export const bareModel = (file: string, columns: readonly string[]): ModelReference => ({
  kind: "bare",
  file,
  columns,
});

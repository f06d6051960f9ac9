import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { KappaError, messageOf } from "../core/errors.ts";
import { type Manifest, parseManifest } from "./manifest.ts";

/** A model as it lies on disk, read once: what was hashed and checked is what is loaded. */
export interface ModelFile {
  readonly onnx: Buffer;
  /** Of `onnx`, lowercase hex. */
  readonly sha256: string;
  /** Undefined when no `model.json` lies beside the ONNX file. */
  readonly manifest: Manifest | undefined;
}

const onnxBytesMax = 256 * 2 ** 20;
const manifestBytesMax = 2 ** 20;

/**
 * Reads `<folder>/model.onnx` and `<folder>/model.json`, or an ONNX file by its own name with `model.json` beside it.
 * Symbolic links are not followed and nothing outside `modelsDir` is read: which model decides must not be changed by
 * writing elsewhere.
 *
 * @param path the folder or the .onnx file
 * @throws KAPPA_MODEL_INVALID
 */
export async function readModelFile(modelsDir: string, path: string): Promise<ModelFile> {
  const onnxPath = path.endsWith(".onnx") ? path : join(path, "model.onnx");
  const manifestPath = join(dirname(onnxPath), "model.json");
  const onnx = await readInside(modelsDir, onnxPath, onnxBytesMax);
  if (onnx === undefined) throw invalid(onnxPath, "there is no such file");
  const manifest = await readInside(modelsDir, manifestPath, manifestBytesMax);
  return {
    onnx,
    sha256: createHash("sha256").update(onnx).digest("hex"),
    manifest: manifest === undefined ? undefined : parseManifest(manifest.toString("utf8"), manifestPath),
  };
}

/** @returns undefined when there is no such file */
async function readInside(modelsDir: string, path: string, bytesMax: number): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    const folder = await realpath(dirname(path));
    const inside = relative(await realpath(modelsDir), folder);
    if (inside === ".." || inside.startsWith(`..${sep}`)) throw invalid(path, `it lies outside ${modelsDir}`);
    // Opened by its real folder and without following a link at its end: the checks below see what is read.
    file = await open(join(folder, basename(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof KappaError) throw error;
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return undefined;
    throw invalid(path, code === "ELOOP" ? "it is a symbolic link; copy the file there" : messageOf(error), error);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw invalid(path, "it is not a file");
    if (stat.size > bytesMax) throw invalid(path, `it has ${stat.size} bytes, limit ${bytesMax}`);
    const bytes = await file.readFile();
    // A file that grows while it is read would pass the check above.
    if (bytes.length > bytesMax) throw invalid(path, `it has ${bytes.length} bytes, limit ${bytesMax}`);
    return bytes;
  } finally {
    await file.close();
  }
}

function invalid(path: string, message: string, cause?: unknown): KappaError {
  return new KappaError("KAPPA_MODEL_INVALID", `cannot read model file ${path}: ${message}`, { path }, cause);
}

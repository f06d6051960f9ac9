import { KappaError } from "../core/errors.ts";

/**
 * Where an ONNX file can hold a tensor: for each message of onnx.proto (IR version 13), the fields that lead on. A walk
 * over the wire format needs no more than this, and sees what a full parser sees.
 */
type Message = "model" | "training" | "function" | "graph" | "node" | "attribute" | "sparse" | "tensor";

const fields: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  model: { 7: "graph", 20: "training", 25: "function" },
  training: { 1: "graph", 2: "graph" },
  function: { 7: "node", 11: "attribute" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: {},
};
const externalDataField = 13;
const dataLocationField = 14;
/** Nested graphs of loops and conditions; four messages a level. Real models stay below 10. */
const depthMax = 64;

/**
 * Refuses a model that would read other files: any tensor with external data, also in sparse tensors, attributes,
 * nested graphs, functions and training graphs. Loaders have followed such paths outside the model's folder
 * (CVE-2022-25882, CVE-2024-27318). What is not plain ONNX protobuf is refused too, so nothing reaches the runtime that
 * this walk did not understand: the runtime also takes flatbuffers, which would pass unseen.
 *
 * @throws KAPPA_MODEL_INVALID
 */
export function checkSelfContained(onnx: Buffer): void {
  if (onnx.length >= 8 && onnx.toString("latin1", 4, 8) === "ORTM") {
    throw invalid("the model is in the ORT format, needed: ONNX; export it as .onnx", 0);
  }
  const sawGraph = walk(onnx, 0, onnx.length, "model", 0);
  if (!sawGraph) throw invalid(`no graph in ${onnx.length} bytes: not an ONNX model`, 0);
}

/** @returns whether a graph was among the fields */
function walk(bytes: Buffer, start: number, end: number, message: Message, depth: number): boolean {
  if (depth > depthMax) throw invalid(`graphs are nested deeper than ${depthMax} messages`, start);
  const next = fields[message];
  let sawGraph = false;
  let at = start;
  while (at < end) {
    const tagAt = at;
    // At most 5 bytes: parsers cut longer tags to 32 bits, and would then see another field than this walk.
    const [tag, afterTag] = varint(bytes, at, end, 5);
    if (tag > 0xffff_ffff || tag < 8) throw invalid(`${tag} is no protobuf tag`, tagAt);
    at = afterTag;
    const field = tag >>> 3;
    const wireType = tag & 7;
    if (message === "tensor" && field === externalDataField) throw external(tagAt);
    if (wireType === 0) {
      const [value, after] = varint(bytes, at, end, 10);
      if (message === "tensor" && field === dataLocationField && value !== 0) throw external(tagAt);
      at = after;
    } else if (wireType === 1) {
      at += 8;
    } else if (wireType === 5) {
      at += 4;
    } else if (wireType === 2) {
      const [length, after] = varint(bytes, at, end, 10);
      if (length > end - after) throw invalid(`a field of ${length} bytes, ${end - after} are left`, tagAt);
      const inner = next[field];
      if (inner !== undefined) walk(bytes, after, after + length, inner, depth + 1);
      if (inner === "graph") sawGraph = true;
      at = after + length;
    } else {
      throw invalid(`wire type ${wireType} is not used by ONNX`, tagAt);
    }
  }
  if (at > end) throw invalid(`a field ends at byte ${at}, its message at ${end}`, end);
  return sawGraph;
}

/** Base-128, least significant group first. Beyond 2^53 the value is rounded; no caller minds. */
function varint(bytes: Buffer, start: number, end: number, lengthMax: number): [value: number, after: number] {
  let value = 0;
  let scale = 1;
  for (let at = start; at < end && at - start < lengthMax; at++) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at + 1];
    scale *= 128;
  }
  throw invalid(`a number that does not end within ${Math.min(lengthMax, end - start)} bytes`, start);
}

function external(at: number): KappaError {
  return invalid("the model keeps tensors in other files; save it as one file, without external data", at);
}

function invalid(message: string, at: number): KappaError {
  return new KappaError("KAPPA_MODEL_INVALID", `${message} (byte ${at})`, { byte: at });
}

import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { checkSelfContained } from "../../src/scoring/onnx-graph.ts";
import { readFixture } from "./fixture.ts";

/** One length-delimited field of a protobuf message. */
function field(number: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([varint(number * 8 + 2), varint(body.length), body]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

const location = field(13, field(1, Buffer.from("location")), field(2, Buffer.from("../../secret")));
const tensor = Buffer.concat([field(8, Buffer.from("weights")), location]);
const located = Buffer.concat([varint(14 * 8), varint(1)]);
const node = (attribute: Buffer): Buffer => field(1, field(5, attribute));
const graph = (content: Buffer): Buffer => field(7, content);

test("every model of the tests is self-contained", () => {
  for (const name of ["forest", "linear", "dense", "centred"]) checkSelfContained(readFixture(name));
});

test.each([
  ["an initializer", graph(field(5, tensor))],
  ["an initializer with only the location flag", graph(field(5, located))],
  ["the values of a sparse initializer", graph(field(15, field(1, tensor)))],
  ["the indices of a sparse initializer", graph(field(15, field(2, tensor)))],
  ["a tensor attribute", graph(node(field(5, tensor)))],
  ["a list of tensors", graph(node(field(10, tensor)))],
  ["a sparse tensor attribute", graph(node(field(22, field(1, tensor))))],
  ["a list of sparse tensors", graph(node(field(23, field(2, tensor))))],
  ["the branch of a condition", graph(node(field(6, field(5, tensor))))],
  ["a list of graphs", graph(node(field(11, field(5, tensor))))],
  ["a function", Buffer.concat([graph(Buffer.alloc(0)), field(25, field(7, field(5, field(5, tensor))))])],
  [
    "the default of a function's attribute",
    Buffer.concat([graph(Buffer.alloc(0)), field(25, field(11, field(5, tensor)))]),
  ],
  ["a training graph", Buffer.concat([graph(Buffer.alloc(0)), field(20, field(1, field(5, tensor)))])],
  [
    "a second graph, which parsers merge into the first",
    Buffer.concat([graph(Buffer.alloc(0)), graph(field(5, tensor))]),
  ],
])("external data in %s is refused", (_, model) => {
  assert.throws(() => checkSelfContained(model), { code: "KAPPA_MODEL_INVALID", message: /tensors in other files/ });
});

test("the same bytes outside a tensor are not mistaken for external data", () => {
  checkSelfContained(graph(field(13, Buffer.from("a value's type"))));
});

test("graphs nested without end are refused before the stack is", () => {
  let nested = graph(Buffer.alloc(0));
  for (let i = 0; i < 1000; i++) nested = field(1, field(5, field(6, nested.subarray(0))));
  assert.throws(() => checkSelfContained(graph(nested)), { code: "KAPPA_MODEL_INVALID", message: /nested deeper/ });
});

test("the ORT format, empty files and tags beyond 32 bits are refused", () => {
  const ort = Buffer.concat([Buffer.from([28, 0, 0, 0]), Buffer.from("ORTM"), Buffer.alloc(64)]);
  assert.throws(() => checkSelfContained(ort), /ORT format/);
  assert.throws(() => checkSelfContained(Buffer.alloc(0)), /no graph in 0 bytes/);
  // Tag 7, length-delimited, plus a bit beyond 32: a parser that cuts it sees the graph.
  const wide = Buffer.from([0xba, 0x80, 0x80, 0x80, 0x10, 0]);
  assert.throws(() => checkSelfContained(wide), /no protobuf tag/);
  const long = Buffer.from([0xba, 0x80, 0x80, 0x80, 0x80, 0, 0]);
  assert.throws(() => checkSelfContained(long), /a number that does not end within 5 bytes/);
});

test("any bytes are either taken or refused with KAPPA_MODEL_INVALID", () => {
  const model = readFixture("linear");
  const damage = fc.array(fc.tuple(fc.nat(model.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(damage, (changes) => {
      const bytes = Buffer.from(model);
      for (const [at, value] of changes) bytes[at] = value;
      try {
        checkSelfContained(bytes);
      } catch (error) {
        assert.ok(error instanceof KappaError && error.code === "KAPPA_MODEL_INVALID", String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

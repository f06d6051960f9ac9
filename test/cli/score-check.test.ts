import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "vitest";
import { checkScore } from "../../src/cli/score-check.ts";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { systemClock } from "../../src/core/clock.ts";
import { KappaError } from "../../src/core/errors.ts";
import { bareModel } from "../../src/scoring/model-reference.ts";
import { columns, fixtures } from "../scoring/fixture.ts";

const schema = new RecordSchema<unknown>({
  type: "record",
  name: "Decision",
  fields: [...columns, "score"].map((name) => ({ name, type: ["null", "double"], default: null })),
});
const model = bareModel(join(fixtures, "forest.onnx"), columns);
const vector = { x0: 0.5, x1: -1, x2: 2, x3: 0, x4: 1.5, x5: -0.25 };

test("the score of the same vector is the same, and the next float is another one", async () => {
  const { again } = (await checkScore({ ...vector, score: 0 }, schema, "score", model, systemClock)) ?? {
    again: Number.NaN,
  };
  const same = await checkScore({ ...vector, score: again }, schema, "score", model, systemClock);
  assert.equal(same?.equal, true);
  const bits = new Uint32Array(Float32Array.of(again).buffer);
  bits[0] = (bits[0] ?? 0) + 1;
  const next = new Float32Array(bits.buffer)[0];
  const other = await checkScore({ ...vector, score: next }, schema, "score", model, systemClock);
  assert.equal(other?.equal, false);
});

test("a decision without score was decided before the model", async () => {
  assert.equal(await checkScore({ ...vector, score: null }, schema, "score", model, systemClock), null);
});

test("a model that reads what the decision does not hold is refused", async () => {
  const wider = bareModel(join(fixtures, "forest.onnx"), [...columns.slice(1), "x9"]);
  await assert.rejects(
    checkScore({ ...vector, score: 1 }, schema, "score", wider, systemClock),
    (error) => error instanceof KappaError && error.code === "KAPPA_MODEL_INVALID" && error.message.includes("x9"),
  );
});

import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";
import { readModelFile } from "../../src/scoring/model-file.ts";
import { fixtures, readFixture, sha256 } from "./fixture.ts";

const root = mkdtempSync(join(tmpdir(), "kappa-models-"));
const models = join(root, "models");
mkdirSync(join(models, "fraud"), { recursive: true });
mkdirSync(join(root, "elsewhere"));
const linear = join(fixtures, "linear.onnx");
cpSync(linear, join(models, "fraud", "model.onnx"));
cpSync(linear, join(root, "elsewhere", "model.onnx"));
afterAll(() => rmSync(root, { recursive: true }));

test("a folder and its ONNX file are the same model; without model.json it is bare", async () => {
  const byFolder = await readModelFile(models, join(models, "fraud"));
  const byFile = await readModelFile(models, join(models, "fraud", "model.onnx"));
  assert.deepEqual(byFolder, byFile);
  assert.equal(byFolder.sha256, sha256(readFixture("linear")));
  assert.equal(byFolder.manifest, undefined);
});

test("a broken model.json is not overlooked", async () => {
  cpSync(join(models, "fraud"), join(models, "broken"), { recursive: true });
  writeFileSync(join(models, "broken", "model.json"), "{}");
  await assert.rejects(readModelFile(models, join(models, "broken")), {
    code: "KAPPA_MODEL_INVALID",
    message: /model\.json/,
  });
});

test("nothing outside the models folder is read, by path or by link", async () => {
  symlinkSync(join(root, "elsewhere"), join(models, "linked"));
  mkdirSync(join(models, "file-link"));
  symlinkSync(linear, join(models, "file-link", "model.onnx"));
  const refused = { code: "KAPPA_MODEL_INVALID" };
  await assert.rejects(readModelFile(models, join(root, "elsewhere")), { ...refused, message: /lies outside/ });
  await assert.rejects(readModelFile(models, join(models, "..", "elsewhere")), { ...refused, message: /lies outside/ });
  await assert.rejects(readModelFile(models, join(models, "linked")), { ...refused, message: /lies outside/ });
  await assert.rejects(readModelFile(models, join(models, "file-link")), { ...refused, message: /symbolic link/ });
});

test("a missing, an oversized and a non-file model are refused", async () => {
  const refused = { code: "KAPPA_MODEL_INVALID" };
  await assert.rejects(readModelFile(models, join(models, "none")), { ...refused, message: /no such file/ });
  mkdirSync(join(models, "huge"));
  writeFileSync(join(models, "huge", "model.onnx"), "");
  truncateSync(join(models, "huge", "model.onnx"), 2 ** 28 + 1);
  await assert.rejects(readModelFile(models, join(models, "huge")), {
    ...refused,
    message: /268435457 bytes, limit 268435456/,
  });
  mkdirSync(join(models, "folder", "model.onnx"), { recursive: true });
  await assert.rejects(readModelFile(models, join(models, "folder")), { ...refused, message: /not a file/ });
});

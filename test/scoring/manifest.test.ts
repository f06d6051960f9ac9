import assert from "node:assert/strict";
import { test } from "vitest";
import {
  checkFeatures,
  describeBareModel,
  describeModel,
  type Manifest,
  parseManifest,
} from "../../src/scoring/manifest.ts";

const sha256 = "ab".repeat(32);
const manifest: Manifest = {
  name: "fraud",
  version: "3",
  features: [{ name: "amount" }, { name: "count_1d", version: 2 }, { name: "risk_7d" }],
  medians: { risk_7d: 0.25, amount: 42.5, count_1d: 3 },
  output: "probability",
  trained_at: "2026-11-01T00:00:00Z",
  training: {
    rows: 1000,
    from: "2026-01-01T00:00:00Z",
    to: "2026-10-01T00:00:00Z",
    git: "0123abc",
    dataset: "sha256:00",
    seed: 7,
    params: { depth: 6, objective: "binary" },
  },
  metrics: { auc: 0.98 },
  sha256,
};

test("a manifest describes its model, medians in the order of the features", () => {
  const model = describeModel(parseManifest(JSON.stringify(manifest), "model.json"), sha256);
  assert.deepEqual([...(model.medians ?? [])], [42.5, 3, 0.25]);
  assert.equal(model.output, "probability");
  checkFeatures(model, [{ name: "amount" }, { name: "count_1d", version: 2 }, { name: "risk_7d", version: 1 }]);
});

test("a manifest of other bytes is refused with both hashes", () => {
  const other = "cd".repeat(32);
  assert.throws(
    () => describeModel(manifest, other),
    (error: Error) => {
      assert.ok(error.message.includes(sha256) && error.message.includes(other));
      return true;
    },
  );
});

test.each<[string, object, RegExp]>([
  ["no features", { features: [] }, /model.json: features: /],
  ["a feature twice", { features: [{ name: "amount" }, { name: "amount" }] }, /feature amount is listed twice/],
  ["no median", { medians: { amount: 1, count_1d: 1 } }, /feature risk_7d has no median/],
  ["a median too many", { medians: { ...manifest.medians, age: 1 } }, /median is given for age, which is no feature/],
  ["an unknown output", { output: "logit" }, /output: /],
  ["a short hash", { sha256: "ab" }, /sha256: .*64 lowercase hex digits/],
  ["a misspelt field", { feature_list: [] }, /feature_list/],
  ["a date that is none", { trained_at: "yesterday" }, /trained_at: /],
])("%s is refused, naming the place", (_, change, message) => {
  const text = JSON.stringify({ ...manifest, ...change });
  assert.throws(() => parseManifest(text, "model.json"), { code: "KAPPA_MODEL_INVALID", message });
});

test("text that is not JSON is refused with its file", () => {
  assert.throws(() => parseManifest("{", "a/model.json"), {
    code: "KAPPA_MODEL_INVALID",
    message: "a/model.json is not JSON",
  });
});

test.each([
  [
    "swapped",
    [{ name: "count_1d" }, { name: "amount" }, { name: "risk_7d" }],
    /at 0 \(model amount, topology count_1d\), 1 \(model count_1d, topology amount\)/,
  ],
  ["one missing", [{ name: "amount" }, { name: "count_1d" }], /reads risk_7d, which the topology does not provide/],
  [
    "one more",
    [{ name: "amount" }, { name: "count_1d" }, { name: "risk_7d" }, { name: "age" }],
    /does not read age, which the topology provides/,
  ],
  [
    "one twice",
    [{ name: "amount" }, { name: "count_1d" }, { name: "risk_7d" }, { name: "amount" }],
    /reads 3 features, the topology provides 4/,
  ],
  [
    "another version",
    [{ name: "amount" }, { name: "count_1d", version: 1 }, { name: "risk_7d" }],
    /reads count_1d version 2, the topology provides version 1/,
  ],
])("features with %s are refused", (_, provided, message) => {
  assert.throws(() => checkFeatures(describeModel(manifest, sha256), provided), {
    code: "KAPPA_MODEL_INVALID",
    message,
  });
});

test("a bare model takes its version from its hash and has no medians", () => {
  const model = describeBareModel({ columns: ["amount", "count_1d"], sha256 });
  assert.equal(model.version, "abababababab");
  assert.equal(model.medians, undefined);
  assert.throws(() => checkFeatures(model, [{ name: "count_1d" }, { name: "amount" }]), {
    message: /at 0 \(model amount/,
  });
});

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "vitest";
import { patches, refusalOf } from "./patches.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("every planted bug can be planted, and is not there yet", () => {
  const all = patches();
  assert.ok(all.length >= 10, `${all.length} patches`);
  for (const patch of all) {
    assert.equal(refusalOf(patch, root, "--check"), null, patch.name);
    assert.notEqual(refusalOf(patch, root, "--check", "--reverse"), null, patch.name);
  }
});

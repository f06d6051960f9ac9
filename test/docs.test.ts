import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";
import { generatedDocs, withTable } from "../scripts/generate-docs.ts";
import { errorCodes } from "../src/core/errors.ts";

test("docs/errors.md has one paragraph for every code, with its recovery", () => {
  const text = readFileSync("docs/errors.md", "utf8");
  const documented = Array.from(text.matchAll(/^## (\w+)\n\nRecovery: `([a-z-]+)`\. \S/gm), ([, code, recovery]) => [
    code,
    recovery,
  ]);
  assert.deepEqual(documented, Object.entries(errorCodes));
});

test("docs/errors.md explains every recovery", () => {
  const explained = readFileSync("docs/errors.md", "utf8").matchAll(/^\| `([a-z-]+)` \|/gm);
  const names = new Set(Array.from(explained, ([, name]) => name));
  assert.deepEqual(
    [...new Set(Object.values(errorCodes))].filter((recovery) => !names.has(recovery)),
    [],
  );
});

for (const { file, table } of generatedDocs) {
  test(`${file} says what the code says (npm run docs)`, () => {
    const text = readFileSync(file, "utf8");
    assert.equal(text, withTable(text, table()));
  });
}

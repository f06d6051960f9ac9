import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { plain, registryConformance, schema, withCode } from "./registry-conformance.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kappa-registry-"));
  folders.push(folder);
  return folder;
}

registryConformance({ name: "memory", open: async () => new MemorySchemaRegistry(), takesIds: true });
registryConformance({
  name: "embedded",
  open: () => EmbeddedSchemaRegistry.open(join(newFolder(), "registry")),
  takesIds: true,
});

test("what one process registers, another finds: by id at once, and after both were closed", async () => {
  const folder = newFolder();
  const [writer, reader] = [await EmbeddedSchemaRegistry.open(folder), await EmbeddedSchemaRegistry.open(folder)];
  assert.equal(reader.known(1), undefined);
  await writer.register("a-value", plain);
  await writer.setCompatibility("a-value", "FULL");
  assert.equal(reader.known(1)?.name, "Payment");
  const later = await EmbeddedSchemaRegistry.open(folder);
  assert.equal((await later.latest("a-value"))?.id, 1);
  assert.equal(await later.compatibility("a-value"), "FULL");
});

test("processes that register at once share ids of the same schema and lose no version", async () => {
  const folder = newFolder();
  const field = (i: number): string => schema({ name: `f${i}`, type: "int", default: 0 });
  const all = Array.from({ length: 24 }, async (_, i) => {
    const registry = await EmbeddedSchemaRegistry.open(folder);
    return registry.register(`s${i % 2}-value`, field(i % 6));
  });
  const ids = await Promise.all(all);
  for (const [i, id] of ids.entries()) assert.equal(id, ids[i % 6], `registration ${i}`);
  assert.equal(new Set(ids).size, 6);
  const registry = await EmbeddedSchemaRegistry.open(folder);
  for (const subject of ["s0-value", "s1-value"]) {
    const versions = await registry.versions(subject);
    assert.deepEqual(
      versions.map(({ version }) => version),
      [1, 2, 3],
    );
    assert.equal(new Set(versions.map(({ schema }) => schema)).size, 3);
  }
  assert.deepEqual(
    readdirSync(join(folder, "ids")).filter((name) => name.endsWith(".draft")),
    [],
  );
});

test("what a crash leaves behind is passed over: a draft, an id without a version", async () => {
  const folder = newFolder();
  mkdirSync(join(folder, "ids"), { recursive: true });
  mkdirSync(join(folder, "subjects", "a-value"), { recursive: true });
  writeFileSync(join(folder, "ids", "1.json.0000.draft"), "{");
  writeFileSync(join(folder, "ids", "2.json"), plain);
  writeFileSync(join(folder, "subjects", "a-value", "1.json.0000.draft"), "{");
  const registry = await EmbeddedSchemaRegistry.open(folder);
  assert.deepEqual(await registry.subjects(), []);
  assert.equal(await registry.register("a-value", plain), 2);
  assert.deepEqual(
    (await registry.versions("a-value")).map(({ id }) => id),
    [2],
  );
});

test("a damaged file is named, not guessed at", async () => {
  const folder = newFolder();
  const registry = await EmbeddedSchemaRegistry.open(folder);
  const another = await EmbeddedSchemaRegistry.open(folder);
  await registry.register("a-value", plain);
  writeFileSync(join(folder, "ids", "1.json"), plain.slice(0, 20));
  writeFileSync(join(folder, "subjects", "a-value", "compatibility"), "SIDEWAYS");
  assert.throws(() => another.known(1), withCode("KAPPA_FILE_INVALID", "1.json"));
  await assert.rejects(another.versions("a-value"), withCode("KAPPA_FILE_INVALID", "1.json"));
  await assert.rejects(another.compatibility("a-value"), withCode("KAPPA_FILE_INVALID", "SIDEWAYS"));
  await assert.rejects(EmbeddedSchemaRegistry.open(folder), withCode("KAPPA_FILE_INVALID", "1.json"));
});

test("a subject stays inside the folder, whatever its name", async () => {
  const parent = newFolder();
  const registry = await EmbeddedSchemaRegistry.open(join(parent, "registry"));
  const subjects = ["..", ".", "../../up", "a/b", "%2E", "ключ"];
  for (const subject of subjects) await registry.register(subject, plain);
  assert.deepEqual(await registry.subjects(), [...subjects].sort());
  assert.deepEqual(readdirSync(parent), ["registry"]);
  assert.ok(!existsSync(join(parent, "up")));
  for (const subject of ["", "x".repeat(201)]) {
    await assert.rejects(registry.register(subject, plain), withCode("KAPPA_SCHEMA_INVALID", "subject"));
  }
});

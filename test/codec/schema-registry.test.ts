import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../src/codec/embedded-schema-registry.ts";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { type SchemaRegistry, valueSubject } from "../../src/codec/schema-registry.ts";
import { KappaError } from "../../src/core/errors.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kappa-registry-"));
  folders.push(folder);
  return folder;
}

function schema(...fields: object[]): string {
  return JSON.stringify({ type: "record", name: "Payment", fields: [{ name: "id", type: "string" }, ...fields] });
}

const plain = schema();
const optional = schema({ name: "amount", type: "int", default: 0 });
const required = schema({ name: "amount", type: "int" });
const other = JSON.stringify({ type: "record", name: "Other", fields: [{ name: "n", type: "int" }] });

function withCode(code: string, ...parts: string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof KappaError && error.code === code, String(error));
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  };
}

/** What every registry promises. */
function registryConformance(name: string, open: () => Promise<SchemaRegistry>): void {
  test(`${name}: the same schema has the same id, in every subject and whatever its white space`, async () => {
    const registry = await open();
    const id = await registry.register("a-value", plain);
    assert.equal(await registry.register("a-value", JSON.stringify(JSON.parse(plain), null, 2)), id);
    assert.equal(await registry.register("b-value", plain), id);
    assert.notEqual(await registry.register("c-value", other), id);
    assert.deepEqual(await registry.subjects(), ["a-value", "b-value", "c-value"]);
    assert.equal((await registry.versions("a-value")).length, 1);
    assert.equal(await registry.schemaOf(id), plain);
  });

  test(`${name}: versions count from 1, the latest is the last`, async () => {
    const registry = await open();
    const first = await registry.register("a-value", plain);
    const second = await registry.register("a-value", optional);
    assert.deepEqual(await registry.versions("a-value"), [
      { subject: "a-value", version: 1, id: first, schema: plain },
      { subject: "a-value", version: 2, id: second, schema: optional },
    ]);
    assert.equal((await registry.latest("a-value"))?.id, second);
    assert.equal(await registry.register("a-value", plain), first);
    assert.equal((await registry.latest("a-value"))?.version, 2);
  });

  test(`${name}: what was never registered is not there`, async () => {
    const registry = await open();
    assert.deepEqual(await registry.subjects(), []);
    assert.deepEqual(await registry.versions("a-value"), []);
    assert.equal(await registry.latest("a-value"), undefined);
    assert.equal(registry.known(1), undefined);
    await assert.rejects(registry.schemaOf(1), withCode("KAPPA_SCHEMA_UNKNOWN", "id 1"));
  });

  test(`${name}: a schema that is no record schema is refused`, async () => {
    const registry = await open();
    for (const text of [
      "",
      "{",
      '"string"',
      '{"type":"record","name":"A","fields":[{"name":"__proto__","type":"int"}]}',
    ]) {
      await assert.rejects(registry.register("a-value", text), withCode("KAPPA_SCHEMA_INVALID"));
    }
    assert.deepEqual(await registry.subjects(), []);
  });

  //                         add required   add optional   drop required   drop optional
  const rules = {
    NONE: /*              */ [true, /*   */ true, /*   */ true, /*    */ true],
    BACKWARD: /*          */ [false, /*  */ true, /*   */ true, /*    */ true],
    FORWARD: /*           */ [true, /*   */ true, /*   */ false, /*   */ true],
    FULL: /*              */ [false, /*  */ true, /*   */ false, /*   */ true],
  };
  const changes = [
    [plain, required],
    [plain, optional],
    [required, plain],
    [optional, plain],
  ] as const;
  test(`${name}: BACKWARD, FORWARD and FULL refuse what they must, and nothing else`, async () => {
    for (const [compatibility, allowed] of Object.entries(rules)) {
      for (const [i, [before, after]] of changes.entries()) {
        const registry = await open();
        await registry.register("a-value", before);
        await registry.setCompatibility("a-value", compatibility as keyof typeof rules);
        const registered = registry.register("a-value", after);
        if (allowed[i]) await registered;
        else await assert.rejects(registered, withCode("KAPPA_SCHEMA_INCOMPATIBLE", compatibility, "amount"));
        assert.equal((await registry.versions("a-value")).length, allowed[i] ? 2 : 1);
      }
    }
  });

  test(`${name}: BACKWARD is the default; a transitive rule looks at every version`, async () => {
    const registry = await open();
    assert.equal(await registry.compatibility("a-value"), "BACKWARD");
    await registry.register("a-value", plain);
    await registry.register("a-value", optional);
    // Version 2 writes amount, version 1 does not.
    await registry.setCompatibility("a-value", "BACKWARD_TRANSITIVE");
    await assert.rejects(
      registry.register("a-value", required),
      withCode("KAPPA_SCHEMA_INCOMPATIBLE", "version 1", "default"),
    );
    await registry.setCompatibility("a-value", "BACKWARD");
    await registry.register("a-value", required);
    assert.equal(await registry.compatibility("b-value"), "BACKWARD");
  });

  test(`${name}: an id may be asked for, unless it is another schema's`, async () => {
    const registry = await open();
    assert.equal(await registry.register("a-value", plain, { id: 40 }), 40);
    assert.equal(await registry.register("a-value", plain, { id: 40 }), 40);
    assert.equal(await registry.register("b-value", other), 41);
    await assert.rejects(registry.register("b-value", other, { id: 40 }), withCode("KAPPA_SCHEMA_INCOMPATIBLE", "40"));
    for (const id of [0, -1, 1.5, 2 ** 31]) {
      await assert.rejects(registry.register("c-value", other, { id }), withCode("KAPPA_SCHEMA_INVALID", String(id)));
    }
    assert.deepEqual(await registry.subjects(), ["a-value", "b-value"]);
  });

  test(`${name}: a serde decodes with the schemas that the registry knows`, async () => {
    const registry = await open();
    const [older, newer] = [recordSchema<object>(JSON.parse(plain)), recordSchema<object>(JSON.parse(optional))];
    const subject = valueSubject("payments");
    const [oldId, newId] = [
      await registry.register(subject, older.definition),
      await registry.register(subject, newer.definition),
    ];
    const buffer = Buffer.alloc(64);
    const end = new AvroSerde(older, oldId, registry).encode({ id: "x" }, buffer, 0);
    assert.deepEqual(new AvroSerde(newer, newId, registry).decode(buffer, 0, end), { id: "x", amount: 0 });
  });
}

registryConformance("memory", async () => new MemorySchemaRegistry());
registryConformance("embedded", () => EmbeddedSchemaRegistry.open(join(newFolder(), "registry")));

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

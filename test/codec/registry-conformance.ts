import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "vitest";
import { AvroSerde } from "../../src/codec/avro-serde.ts";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { type SchemaRegistry, valueSubject } from "../../src/codec/schema-registry.ts";
import { KappaError } from "../../src/core/errors.ts";

/** A record of an id and these fields. */
export function schema(...fields: object[]): string {
  return JSON.stringify({ type: "record", name: "Payment", fields: [{ name: "id", type: "string" }, ...fields] });
}

export const plain = schema();
export const optional = schema({ name: "amount", type: "int", default: 0 });
export const required = schema({ name: "amount", type: "int" });
export const other = JSON.stringify({ type: "record", name: "Other", fields: [{ name: "n", type: "int" }] });

/** For `assert.rejects`: an error with this code, whose message holds these parts. */
export function withCode(code: string, ...parts: string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof KappaError && error.code === code, String(error));
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  };
}

export interface RegistryConformance {
  readonly name: string;
  /** A registry without a subject. */
  readonly open: () => Promise<SchemaRegistry>;
  /** Whether `register` takes an id of the caller's. */
  readonly takesIds: boolean;
}

/** Of no schema in any registry that a test opens. */
const nobodysId = 2 ** 31 - 1;

/** What every registry promises. */
export function registryConformance({ name, open, takesIds }: RegistryConformance): void {
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
    assert.equal(registry.known(nobodysId), undefined);
    await assert.rejects(registry.schemaOf(nobodysId), withCode("KAPPA_SCHEMA_UNKNOWN", `id ${nobodysId}`));
  });

  test(`${name}: whoever waits for an id that nobody has learns that there is none`, async () => {
    const registry = await open();
    const deadline = performance.now() + 10_000;
    let why = registry.missing(nobodysId);
    while (why.code === "KAPPA_SCHEMA_PENDING" && performance.now() < deadline) {
      await pause(5);
      why = registry.missing(nobodysId);
    }
    withCode("KAPPA_SCHEMA_UNKNOWN", `id ${nobodysId}`)(why);
    assert.equal(why.context.reason, "schema_unknown");
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
    if (!takesIds) {
      const id = await registry.register("a-value", plain);
      assert.equal(await registry.register("a-value", plain, { id }), id);
      await assert.rejects(registry.register("b-value", other, { id }), withCode("KAPPA_SCHEMA_INCOMPATIBLE", `${id}`));
      assert.deepEqual(await registry.subjects(), ["a-value"]);
      return;
    }
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

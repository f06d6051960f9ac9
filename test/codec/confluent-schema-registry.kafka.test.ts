import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { inject, onTestFinished, test } from "vitest";
import { SchemaRegistryServer } from "../../scripts/stack/schema-registry-server.ts";
import { ConfluentSchemaRegistry } from "../../src/codec/confluent-schema-registry.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";
import { optional, other, plain, registryConformance, required, withCode } from "./registry-conformance.ts";
import { RegistryCorner } from "./registry-corner.ts";

function newFolder(): string {
  const folder = temporaryDirectory();
  onTestFinished(() => removeDirectory(folder));
  return folder;
}

async function opened(url: string, cacheFolder: string, autoRegister = true): Promise<ConfluentSchemaRegistry> {
  const registry = await ConfluentSchemaRegistry.open({ url, cacheFolder, autoRegister });
  onTestFinished(() => registry.close());
  return registry;
}

/** A registry of the test's own, to be killed. */
async function ownServer(): Promise<SchemaRegistryServer> {
  const server = await SchemaRegistryServer.start();
  onTestFinished(() => server.stop());
  return server;
}

registryConformance({
  name: "confluent",
  open: async () => new RegistryCorner(await opened(inject("schemaRegistryUrl"), newFolder())),
  takesIds: false,
});

test("a subject that we create is BACKWARD for everyone, one that another created keeps its rule", async () => {
  const url = inject("schemaRegistryUrl");
  const registry = await opened(url, newFolder());
  const [ours, theirs] = [randomUUID(), randomUUID()];
  await registry.register(ours, plain);
  const post = { method: "POST", headers: { "content-type": "application/json" } };
  const added = (subject: string, schema: string) =>
    fetch(`${url}/subjects/${subject}/versions`, { ...post, body: JSON.stringify({ schema }) });
  assert.equal((await added(ours, required)).status, 409);
  assert.equal((await added(theirs, plain)).status, 200);
  await registry.register(theirs, required);
  assert.equal(await registry.compatibility(ours), "BACKWARD");
  assert.equal(await registry.compatibility(theirs), "NONE");
});

test("without auto-register a schema is found but never added", async () => {
  const url = inject("schemaRegistryUrl");
  const subject = randomUUID();
  const reader = await opened(url, newFolder(), false);
  await assert.rejects(
    reader.register(subject, plain),
    withCode("KAPPA_SCHEMA_UNREGISTERED", subject, "kappa schemas"),
  );
  assert.equal((await reader.versions(subject)).length, 0);
  const id = await (await opened(url, newFolder())).register(subject, plain);
  assert.equal(await reader.register(subject, plain), id);
  await assert.rejects(reader.register(subject, optional), withCode("KAPPA_SCHEMA_UNREGISTERED"));
});

test("with the registry killed, a later process reads every id and writes every schema of an earlier one", async () => {
  const server = await ownServer();
  const folder = newFolder();
  const before = await opened(server.url, folder);
  const [first, second] = [await before.register("a", plain), await before.register("a", optional)];
  const elsewhere = await opened(server.url, newFolder());
  const third = await elsewhere.register("b", other);
  assert.equal(await before.schemaOf(third), other);
  await before.close();

  await server.kill();
  const after = await opened(server.url, folder);
  assert.deepEqual(
    [first, second, third].map((id) => after.known(id)?.name),
    ["Payment", "Payment", "Other"],
  );
  assert.equal(await after.register("a", optional), second);
  await assert.rejects(after.register("b", other), withCode("KAPPA_SERVICE_UNREACHABLE", server.url));
  await assert.rejects(after.schemaOf(nextTo(third)), withCode("KAPPA_SERVICE_UNREACHABLE", "ECONNREFUSED"));
});

test("an id is awaited while the registry is away, and found when it is back, without being asked for again", async () => {
  const server = await ownServer();
  const id = await (await opened(server.url, newFolder())).register("a", plain);
  await server.kill();
  const registry = await opened(server.url, newFolder());
  assert.equal(registry.known(id), undefined);
  withCode("KAPPA_SCHEMA_PENDING", `id ${id}`)(registry.missing(id));
  await pause(500);
  withCode("KAPPA_SCHEMA_PENDING", "ECONNREFUSED")(registry.missing(id));
  await server.start();
  while (registry.known(id) === undefined) await pause(20);
  assert.equal(registry.known(id)?.name, "Payment");
});

function nextTo(id: number): number {
  return id + 1000;
}

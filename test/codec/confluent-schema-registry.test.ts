import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { ConfluentSchemaRegistry } from "../../src/codec/confluent-schema-registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { noMeter } from "../../src/core/meter.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";
import { optional, other, plain, withCode } from "./registry-conformance.ts";
import { StubRegistry } from "./stub-registry.ts";

function newFolder(): string {
  const folder = temporaryDirectory();
  onTestFinished(() => removeDirectory(folder));
  return folder;
}

async function stubbed(port = 0): Promise<StubRegistry> {
  const stub = await StubRegistry.start(port);
  onTestFinished(() => stub.stop());
  return stub;
}

async function opened(
  url: string,
  more: { readonly cacheFolder?: string; readonly apiKey?: string; readonly apiSecret?: string } = {},
  clock = systemClock,
): Promise<ConfluentSchemaRegistry> {
  const around = { clock, meter: noMeter };
  const registry = await ConfluentSchemaRegistry.open({ url, cacheFolder: newFolder(), ...more }, around);
  onTestFinished(() => registry.close());
  return registry;
}

/** Looks again until the registry has answered for an id. */
async function answered(registry: ConfluentSchemaRegistry, id: number): Promise<void> {
  while (registry.known(id) === undefined && registry.missing(id).code === "KAPPA_SCHEMA_PENDING") await pause(5);
}

const json = (status: number, code: number) => ({ status, body: { error_code: code, message: "said by the stub" } });

test("status and code say what is the matter, texts do not", async () => {
  const stub = await stubbed();
  const registry = await opened(stub.url);
  const cases = [
    [json(401, 401), "KAPPA_SERVICE_REFUSED", "SCHEMA_REGISTRY_API_KEY"],
    [json(403, 40301), "KAPPA_SERVICE_REFUSED", "403"],
    [json(409, 409), "KAPPA_SCHEMA_INCOMPATIBLE", "said by the stub"],
    [json(422, 42201), "KAPPA_SCHEMA_INVALID", "42201"],
    [json(422, 42205), "KAPPA_SERVICE_REFUSED", "42205"],
    [{ status: 200, body: "<html>log in</html>" }, "KAPPA_CONFIG_INVALID", "SCHEMA_REGISTRY_URL"],
    [{ status: 404, body: "not here" }, "KAPPA_CONFIG_INVALID", "SCHEMA_REGISTRY_URL"],
    [{ status: 200, body: { ident: 5 } }, "KAPPA_CONFIG_INVALID", "ident"],
  ] as const;
  for (const [answer, code, part] of cases) {
    stub.answer("POST /subjects/a/versions", answer);
    await assert.rejects(registry.register("a", plain), withCode(code, part), JSON.stringify(answer));
  }
});

test("what may pass is tried again, a bounded number of times", async () => {
  const stub = await stubbed();
  const registry = await opened(stub.url);
  const line = "GET /schemas/ids/7";
  stub.answer(line, "drop", json(503, 50301), json(429, 42901), { status: 200, body: { schema: plain } });
  assert.equal(await registry.schemaOf(7), plain);
  assert.equal(stub.count(line), 4);
  stub.answer("GET /schemas/ids/8", json(500, 50001));
  await assert.rejects(registry.schemaOf(8), withCode("KAPPA_SERVICE_UNREACHABLE", "500", "50001"));
  assert.equal(stub.count("GET /schemas/ids/8"), 4);
});

test("only 40403 says that nobody has an id: the 404 of a wrong address leaves it open", async () => {
  const stub = await stubbed();
  const registry = await opened(stub.url);
  const answers = [{ status: 404, body: "not here" }, json(404, 40401), json(401, 401), json(500, 50001)];
  for (const [i, wrong] of answers.entries()) {
    const id = i + 1;
    const line = `GET /schemas/ids/${id}`;
    stub.answer(line, wrong);
    while (stub.count(line) < 2) {
      withCode("KAPPA_SCHEMA_PENDING")(registry.missing(id));
      await pause(5);
    }
    withCode("KAPPA_SCHEMA_PENDING", `${wrong.status}`)(registry.missing(id));
    stub.hold(id, plain);
    await answered(registry, id);
    assert.equal(registry.known(id)?.name, "Payment");
  }
});

test("many who wait for an id make one request, and one that nobody has is asked for again after a while", async () => {
  const stub = await stubbed();
  const clock = new ManualClock(0);
  const registry = await opened(stub.url, {}, clock);
  const line = "GET /schemas/ids/7";
  for (let i = 0; i < 100; i++) withCode("KAPPA_SCHEMA_PENDING")(registry.missing(7));
  await answered(registry, 7);
  for (let i = 0; i < 100; i++) withCode("KAPPA_SCHEMA_UNKNOWN")(registry.missing(7));
  assert.equal(stub.count(line), 1);
  stub.hold(7, plain);
  clock.advance(10_000);
  await answered(registry, 7);
  assert.equal(registry.known(7)?.name, "Payment");
  assert.equal(stub.count(line), 2);
});

test("an id that the wire format cannot mean is nobody's, without a request", async () => {
  const stub = await stubbed();
  const registry = await opened(stub.url);
  for (const id of [0, 2 ** 31, 2 ** 32 - 1]) withCode("KAPPA_SCHEMA_UNKNOWN")(registry.missing(id));
  assert.deepEqual(stub.requests, []);
});

test("a schema that nothing can be read with kills its records, not the reader", async () => {
  const stub = await stubbed();
  stub.hold(1, 'syntax = "proto3";', { schemaType: "PROTOBUF" });
  stub.hold(2, plain, { references: [{ name: "A", subject: "a", version: 1 }] });
  stub.hold(3, '"string"');
  const cacheFolder = newFolder();
  const registry = await opened(stub.url, { cacheFolder });
  const unread = { code: "KAPPA_RECORD_INVALID", context: { reason: "schema_incompatible" } };
  for (const id of [1, 2, 3]) {
    await assert.rejects(registry.schemaOf(id), withCode("KAPPA_SCHEMA_INVALID", `${id}`));
    assert.throws(() => registry.known(id), { ...unread, context: { id, ...unread.context } });
  }
  await stub.stop();
  const later = await opened(stub.url, { cacheFolder });
  for (const id of [1, 2, 3]) assert.throws(() => later.known(id), { code: "KAPPA_RECORD_INVALID" });
});

test("user and password are sent as basic authentication, and appear in no message", async () => {
  const stub = await stubbed();
  stub.answer("GET /schemas/ids/7", json(401, 401));
  const registry = await opened(stub.url, { apiKey: "mia", apiSecret: "s3cret:" });
  const error = await registry.schemaOf(7).catch((failure: Error) => failure);
  assert.ok(!JSON.stringify([error, (error as Error).message]).includes("s3cret"));
  assert.equal(stub.requests[0]?.authorization, `Basic ${Buffer.from("mia:s3cret:").toString("base64")}`);
});

test("an address with a user or of no HTTP is refused", async () => {
  for (const url of ["http://mia:s3cret@localhost:8081", "localhost:8081", "ftp://localhost", ""]) {
    const opening = ConfluentSchemaRegistry.open({ url, cacheFolder: newFolder() });
    await assert.rejects(opening, (error: Error) => {
      assert.ok(!error.message.includes("s3cret"));
      return withCode("KAPPA_CONFIG_INVALID", "SCHEMA_REGISTRY_URL")(error);
    });
  }
});

test("two registries in one folder do not mix", async () => {
  const [one, two] = [await stubbed(), await stubbed()];
  one.hold(1, plain);
  two.hold(1, other);
  const cacheFolder = newFolder();
  await (await opened(one.url, { cacheFolder })).schemaOf(1);
  await (await opened(two.url, { cacheFolder })).schemaOf(1);
  await Promise.all([one.stop(), two.stop()]);
  assert.equal((await opened(one.url, { cacheFolder })).known(1)?.name, "Payment");
  assert.equal((await opened(`${two.url}/`, { cacheFolder })).known(1)?.name, "Other");
});

test("a registry that gives an id to another schema than it did is not believed", async () => {
  const stub = await stubbed();
  const cacheFolder = newFolder();
  stub.answer("POST /subjects/a", { status: 200, body: { id: 1 } });
  assert.equal(await (await opened(stub.url, { cacheFolder })).register("a", plain), 1);
  const registry = await opened(stub.url, { cacheFolder });
  await assert.rejects(registry.register("a", other), withCode("KAPPA_FILE_INVALID", "id 1", "remove the folder"));
  assert.equal(registry.known(1)?.name, "Payment");
});

test("a damaged file of the cache is asked for again and mended", async () => {
  const stub = await stubbed();
  stub.hold(1, plain);
  const cacheFolder = newFolder();
  await (await opened(stub.url, { cacheFolder })).schemaOf(1);
  const [folder = ""] = readdirSync(cacheFolder);
  writeFileSync(join(cacheFolder, folder, "ids", "1.json"), '{"schema');
  const registry = await opened(stub.url, { cacheFolder });
  assert.equal(registry.known(1), undefined);
  await answered(registry, 1);
  await stub.stop();
  assert.equal((await opened(stub.url, { cacheFolder })).known(1)?.name, "Payment");
});

test("a registry that hangs does not hold up a start whose ids are in the cache", async () => {
  const stub = await stubbed();
  const cacheFolder = newFolder();
  stub.answer("POST /subjects/a", { status: 200, body: { id: 4 } });
  await (await opened(stub.url, { cacheFolder })).register("a", plain);
  stub.answer("POST /subjects/a", "hang");
  const startMs = performance.now();
  assert.equal(await (await opened(stub.url, { cacheFolder })).register("a", plain), 4);
  assert.ok(performance.now() - startMs < 5000);
});

test("closing ends what is under way", async () => {
  const stub = await stubbed();
  stub.answer("GET /schemas/ids/1", "hang");
  stub.answer("POST /subjects/a", "hang");
  const registry = await ConfluentSchemaRegistry.open({ url: stub.url, cacheFolder: newFolder() });
  registry.missing(1);
  const registering = assert.rejects(registry.register("a", optional), withCode("KAPPA_SERVICE_UNREACHABLE"));
  while (stub.requests.length < 2) await pause(5);
  const startMs = performance.now();
  await registry.close();
  await registering;
  assert.ok(performance.now() - startMs < 5000);
});

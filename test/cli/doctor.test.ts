import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, test } from "vitest";
import { freePort } from "../../scripts/stack/free-port.ts";
import { cardCountTopology } from "./card-count.ts";
import { CommandFolder } from "./command.ts";

let folder: CommandFolder;
let registry: Server | undefined;
beforeEach(() => {
  folder = new CommandFolder();
});
afterEach(() => {
  registry?.close();
  registry = undefined;
  folder[Symbol.dispose]();
});

const configure = (variables: Readonly<Record<string, string>>) => {
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(folder.file(".env"), lines.join(""));
};

async function doctor(topology = "") {
  const { code, rows, err } = await folder.run(`doctor ${topology} --json`);
  return { code, err, checks: new Map(rows.map((row) => [row.name, row])) };
}

/** A registry that lets in one user. */
async function startRegistry(): Promise<string> {
  const wanted = `Basic ${Buffer.from("key:secret").toString("base64")}`;
  registry = createServer((request, response) => {
    const known = request.headers.authorization === wanted;
    response.writeHead(known ? (request.url === "/subjects" ? 200 : 404) : 401, { "content-type": "application/json" });
    response.end(known && request.url === "/subjects" ? `["a-value","b-value"]` : `{"error_code":1}`);
  });
  await new Promise<void>((resolve) => registry?.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
}

test("without services only this machine is looked at, and the embedded log", async () => {
  const { code, checks } = await doctor();
  assert.equal(code, 0);
  assert.deepEqual([...checks.keys()], ["node", "data folder", "state folder", "disk", "log"]);
});

test("services that do not answer are faults, each with what mends it and without their secrets", async () => {
  const nobody = `127.0.0.1:${await freePort()}`;
  configure({
    KAFKA_BOOTSTRAP_SERVERS: nobody,
    SCHEMA_REGISTRY_URL: `http://${nobody}`,
    SCHEMA_REGISTRY_API_SECRET: "canary",
    REDIS_URL: `redis://:canary@${nobody}/2`,
  });
  const { code, checks } = await doctor();
  assert.equal(code, 4);
  for (const name of ["kafka", "schema registry", "redis"]) {
    assert.equal(checks.get(name)?.ok, false, name);
    assert.match(String(checks.get(name)?.detail), new RegExp(`${nobody}.*ECONNREFUSED`), name);
    assert.match(String(checks.get(name)?.fix), /npm run stack/, name);
  }
  assert.ok(!checks.has("log"), "the embedded log is not what is used");
  assert.doesNotMatch(JSON.stringify([...checks]), /canary/);
});

test("a registry is asked for its subjects, as the user it is configured with", async () => {
  const url = await startRegistry();
  const user = { SCHEMA_REGISTRY_API_KEY: "key", SCHEMA_REGISTRY_API_SECRET: "secret" };
  configure({ SCHEMA_REGISTRY_URL: `${url}/`, ...user });
  assert.match(String((await doctor()).checks.get("schema registry")?.detail), /2 subjects$/);
  configure({ SCHEMA_REGISTRY_URL: url });
  const refused = (await doctor()).checks.get("schema registry");
  assert.match(String(refused?.detail), /answers 401/);
  assert.match(String(refused?.fix), /SCHEMA_REGISTRY_API_KEY/);
  configure({ SCHEMA_REGISTRY_URL: `${url}/elsewhere`, ...user });
  assert.match(String((await doctor()).checks.get("schema registry")?.fix), /ccompat/);
});

test("a registry that is away leaves the schemas unlooked at, and everything else is said", async () => {
  writeFileSync(folder.file("topology.ts"), cardCountTopology("away"));
  assert.equal((await folder.run("topics create away-payments --partitions 2")).code, 0);
  configure({ SCHEMA_REGISTRY_URL: `http://127.0.0.1:${await freePort()}` });
  const { code, checks, err } = await doctor("topology.ts");
  assert.equal(code, 4, err);
  assert.equal(checks.get("schema registry")?.ok, false);
  assert.equal(checks.get("topic away-payments")?.ok, true);
  assert.match(String(checks.get("schemas")?.detail), /^not looked at, since the schema registry/);
  assert.ok(!checks.has("schema away-payments-value"), "nothing is known of it");
  assert.match(err, /^1 of \d+ checks failed\nnext: kappa doctor topology\.ts\n$/);
  const { out } = await folder.run("doctor topology.ts");
  assert.match(out, /^- schemas {2}not looked at/m);
});

test("a registry that answers, and then does not tell a schema, is a fault of that schema", async () => {
  writeFileSync(folder.file("topology.ts"), cardCountTopology("away"));
  const user = { SCHEMA_REGISTRY_API_KEY: "key", SCHEMA_REGISTRY_API_SECRET: "secret" };
  configure({ SCHEMA_REGISTRY_URL: await startRegistry(), ...user });
  const { code, checks } = await doctor("topology.ts");
  assert.equal(code, 4);
  assert.equal(checks.get("schema registry")?.ok, true);
  for (const topic of ["away-payments", "away-counts"]) {
    const schema = checks.get(`schema ${topic}-value`);
    assert.match(String(schema?.detail), /there is no schema registry: .* answers 404/);
    assert.match(String(schema?.fix), /ccompat/);
  }
});

test("a log or a registry that cannot be opened is one fault, with what mends it and nothing of Kafka", async () => {
  writeFileSync(folder.file("topology.ts"), cardCountTopology("broken"));
  await folder.run("topics create broken-payments --partitions 2");
  const faultOf = async (name: string) => {
    const { rows } = await folder.run("doctor topology.ts --json");
    const named = rows.filter((row) => row.name === name);
    assert.equal(named.length, 1, JSON.stringify(rows));
    assert.equal(named[0]?.ok, false);
    assert.match(String(named[0]?.detail), /not a directory|not usable/);
    return String(named[0]?.fix);
  };
  mkdirSync(folder.file(".kappa/registry/ids"), { recursive: true });
  writeFileSync(folder.file(".kappa/registry/ids/1.json"), "nothing");
  assert.match(await faultOf("schemas"), /^put a sound copy of that file/);
  rmSync(folder.file(".kappa/registry"), { recursive: true });
  writeFileSync(folder.file(".kappa/registry"), "");
  assert.match(await faultOf("schemas"), /^make what it names a folder/);
  rmSync(folder.file(".kappa/log"), { recursive: true });
  writeFileSync(folder.file(".kappa/log"), "");
  assert.match(await faultOf("topics"), /--data-dir$/);
});

test("a topic of the application's own with another count than its inputs is a fault, as a run would end with it", async () => {
  writeFileSync(folder.file("topology.ts"), cardCountTopology("counts"));
  await folder.run("topics create counts-payments --partitions 4");
  await folder.run("topics create counts-app-commits --partitions 4");
  assert.ok(!(await doctor("topology.ts")).checks.has("partitions"), "the counts agree");
  await folder.run("topics create counts-app-choices --partitions 2");
  const { code, checks } = await doctor("topology.ts");
  assert.equal(code, 4);
  const partitions = checks.get("partitions");
  assert.equal(partitions?.ok, false);
  assert.match(String(partitions?.detail), /^inputs have 4, .*: counts-app-choices has 2$/);
  assert.match(String(partitions?.fix), /^run under a new application id/);
  const run = await folder.run("run topology.ts --until-end --http-port 0");
  assert.match(run.err, /counts-app-choices.*KAPPA_TOPIC_MISMATCH/s);
});

test("while Kafka is away no topic is called missing, and what to type next is what mends Kafka", async () => {
  writeFileSync(folder.file("topology.ts"), cardCountTopology("away"));
  configure({ KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${await freePort()}` });
  const { code, checks, err } = await doctor("topology.ts");
  assert.equal(code, 4);
  assert.match(String(checks.get("topics")?.detail), /^not looked at, since the log/);
  assert.ok(!checks.has("topic away-payments"));
  assert.equal(checks.get("topology")?.ok, true);
  assert.match(err, /\nnext: npm run stack\n$/);
});

test("options that contradict each other are a fault of doctor, not an end of it", async () => {
  configure({ KAFKA_BOOTSTRAP_SERVERS: "127.0.0.1:1", KAFKA_SASL_USERNAME: "u" });
  const { code, checks } = await doctor();
  assert.equal(code, 4);
  assert.match(String(checks.get("kafka")?.detail), /KAFKA_SASL_USERNAME in \.env is for SASL/);
});

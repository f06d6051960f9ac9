import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, test } from "vitest";
import {
  type ConfigInputs,
  describeOption,
  optionNames,
  printableConfig,
  resolveConfig,
} from "../../src/cli/config.ts";
import { loadConfig } from "../../src/cli/config-files.ts";
import { KappaError } from "../../src/core/errors.ts";

const nothing: ConfigInputs = { flags: {}, environment: {}, envFile: {}, configFile: {} };

const refusal = (inputs: Partial<ConfigInputs>): string => {
  try {
    resolveConfig({ ...nothing, ...inputs });
  } catch (error) {
    assert.ok(error instanceof KappaError);
    assert.equal(error.code, "KAPPA_CONFIG_INVALID");
    return error.message;
  }
  return "not refused";
};

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kappa-config-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

test("with nothing given every value is its default", () => {
  const { values, sources } = resolveConfig(nothing);
  assert.deepEqual(values, {
    dataDir: ".kappa",
    stateDir: join(".kappa", "state"),
    threads: 0,
    cacheMb: 256,
    commitIntervalMs: 2,
    commitRecordsMax: 2000,
    mergeWaitMs: 2,
    bufferedRecordsMax: 20_000,
    httpHost: "127.0.0.1",
    httpPort: 9464,
    logLevel: "info",
    securityProtocol: "PLAINTEXT",
    saslPlainWithoutTls: false,
    sessionTimeoutMs: 6000,
    transactionTimeoutMs: 10_000,
    compression: "none",
    replicationFactor: -1,
  });
  assert.deepEqual([...new Set(Object.values(sources))], ["default"]);
});

test("flag beats environment beats .env beats kappa.config.ts beats default", () => {
  const places: [keyof ConfigInputs, string, string][] = [
    ["flags", "httpPort", "flag"],
    ["environment", "HTTP_PORT", "environment"],
    ["envFile", "HTTP_PORT", ".env"],
    ["configFile", "httpPort", "kappa.config.ts"],
  ];
  let inputs = nothing;
  for (const [port, [place, name, source]] of places.toReversed().entries()) {
    inputs = { ...inputs, [place]: { [name]: `${port + 1}` } };
    const { values, sources } = resolveConfig(inputs);
    assert.equal(values.httpPort, port + 1);
    assert.equal(sources.httpPort, source);
  }
});

test("an empty variable counts as not set", () => {
  const { values, sources } = resolveConfig({
    ...nothing,
    environment: { HTTP_PORT: "" },
    envFile: { HTTP_PORT: "80" },
  });
  assert.equal(values.httpPort, 80);
  assert.equal(sources.httpPort, ".env");
});

test("state lives in the data folder unless set apart", () => {
  assert.equal(resolveConfig({ ...nothing, flags: { dataDir: "/data" } }).values.stateDir, join("/data", "state"));
  assert.equal(resolveConfig({ ...nothing, environment: { STATE_DIR: "/fast" } }).values.stateDir, "/fast");
});

test("a wrong value is refused with the name it was given under", () => {
  assert.match(refusal({ flags: { httpPort: "http" } }), /^--http-port: /);
  assert.match(refusal({ environment: { HTTP_PORT: "65536" } }), /^HTTP_PORT: too big: .*65535/);
  assert.match(refusal({ envFile: { CACHE_MB: "1.5" } }), /^CACHE_MB in \.env: /);
  assert.match(refusal({ configFile: { threads: -1 } }), /^threads in kappa\.config\.ts: too small: .*0/);
  assert.match(refusal({ environment: { LOG_LEVEL: "loud" } }), /^LOG_LEVEL: .*"debug"/);
  assert.match(refusal({ flags: { applicationId: "../etc" } }), /^--app: is 1 to 100 letters/);
  assert.match(refusal({ flags: { httpPort: "x", threads: "y" } }), /--threads: .*; --http-port: /);
  for (const text of ["1e3", " 5", "0x10", "5ms", "NaN"])
    assert.match(refusal({ flags: { threads: text } }), /^--threads/);
});

test("an unknown option in the file is refused, a foreign variable is not", () => {
  assert.match(refusal({ configFile: { htpPort: 1 } }), /unknown options htpPort; known are applicationId, /);
  assert.match(refusal({ configFile: JSON.parse(`{"__proto__": {"httpPort": 1}}`) }), /unknown options __proto__/);
  assert.equal(refusal({ environment: { HOME: "/root" } }), "not refused");
});

test("secrets are masked when printed and stay out of refusals", () => {
  const secret = "canary-4242-canary";
  const rows = printableConfig(resolveConfig({ ...nothing, environment: { HTTP_TOKEN: secret } }));
  assert.deepEqual(
    rows.find(({ name }) => name === "httpToken"),
    { name: "httpToken", value: "********", source: "environment" },
  );
  assert.ok(!JSON.stringify(rows).includes(secret));
  assert.ok(!refusal({ environment: { HTTP_TOKEN: "canary-4242" } }).includes("canary"));
});

test("a secret may stand in a file, whose last line end is not part of it", async () => {
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "canary-4242-canary\n");
  writeFileSync(join(directory, ".env"), "HTTP_TOKEN_FILE=token\nKAFKA_SASL_USERNAME_FILE=token\n");
  const { values, sources } = await loadConfig({}, directory);
  assert.equal(values.httpToken, "canary-4242-canary");
  assert.equal(sources.httpToken, ".env");
  assert.equal(values.saslUsername, undefined, "what is no secret is not looked for in files");
  writeFileSync(join(directory, ".env"), "HTTP_TOKEN_FILE=gone\n");
  await assert.rejects(loadConfig({}, directory), /HTTP_TOKEN_FILE: cannot read gone/);
  writeFileSync(join(directory, ".env"), "HTTP_TOKEN_FILE=token\nHTTP_TOKEN=canary-4242-canary\n");
  await assert.rejects(loadConfig({}, directory), /HTTP_TOKEN and HTTP_TOKEN_FILE are both set/);
});

test("the brokers have two variables, of which Kafka's own name is the stronger", () => {
  const given = (environment: Record<string, string>) => resolveConfig({ ...nothing, environment });
  const alias = given({ KAFKA_BROKERS: "a:1, [::1]:2" });
  assert.deepEqual(alias.values.bootstrapServers, ["a:1", "[::1]:2"]);
  assert.equal(alias.places.bootstrapServers, "KAFKA_BROKERS");
  const both = given({ KAFKA_BROKERS: "a:1", KAFKA_BOOTSTRAP_SERVERS: "b:2" });
  assert.deepEqual(both.values.bootstrapServers, ["b:2"]);
  assert.match(refusal({ flags: { bootstrapServers: "kafka" } }), /^--bootstrap-servers: is host:port/);
  assert.match(refusal({ environment: { KAFKA_BROKERS: "http://a:1" } }), /^KAFKA_BROKERS: is host:port/);
});

test("every option has its own variable and, unless it is a secret, its own flag", () => {
  const described = optionNames.map(describeOption);
  assert.equal(new Set(described.flatMap(({ env, alias }) => [env, alias ?? env])).size, described.length + 1);
  const flags = described.filter(({ secret }) => !secret).map(({ flag }) => flag);
  assert.ok(!flags.includes(undefined));
  assert.equal(new Set(flags).size, flags.length);
  assert.ok(described.every(({ secret, flag }) => !secret || flag === undefined));
});

test("files of the working directory are read, and process.env is left alone", async () => {
  writeFileSync(join(directory, ".env"), 'CACHE_MB=64\nKAPPA_TEST_ONLY="x"\n');
  writeFileSync(join(directory, "kappa.config.ts"), "export default { mergeWaitMs: 7 satisfies number };\n");
  const { values, sources } = await loadConfig({ threads: "2" }, directory);
  assert.deepEqual([values.threads, values.cacheMb, values.mergeWaitMs], [2, 64, 7]);
  assert.deepEqual([sources.threads, sources.cacheMb, sources.mergeWaitMs], ["flag", ".env", "kappa.config.ts"]);
  assert.equal(process.env.KAPPA_TEST_ONLY, undefined);
});

test("a configuration file that cannot be read is refused", async () => {
  writeFileSync(join(directory, "kappa.config.ts"), "export const port = 1;\n");
  await assert.rejects(loadConfig({}, directory), /has no default export/);
});

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";
import { resolveConfig } from "../../src/cli/config.ts";
import { kafkaOptionsOf } from "../../src/cli/kafka-connection.ts";
import { KappaError } from "../../src/core/errors.ts";

const { privateKey: key } = generateKeyPairSync("ec", {
  namedCurve: "P-256",
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open" },
});

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kappa-kafka-connection-"));
  for (const name of ["ca", "cert"]) writeFileSync(join(directory, `${name}.pem`), `-----BEGIN ${name}-----\n`);
  writeFileSync(join(directory, "key.pem"), key);
  writeFileSync(join(directory, "keystore.jks"), "binary");
});
afterEach(() => rmSync(directory, { recursive: true }));

const brokers = { KAFKA_BOOTSTRAP_SERVERS: "b:9092" };

const optionsOf = (environment: Record<string, string>) => {
  const config = resolveConfig({ flags: {}, environment: { ...brokers, ...environment }, envFile: {}, configFile: {} });
  return kafkaOptionsOf(config, "client", (file) => join(directory, file));
};

const refusal = (environment: Record<string, string>): string => {
  try {
    optionsOf(environment);
  } catch (error) {
    assert.ok(error instanceof KappaError);
    assert.equal(error.recovery, "refuse");
    return error.message;
  }
  return "not refused";
};

test("without brokers there is nothing to connect to", () => {
  assert.equal(optionsOf({ KAFKA_BOOTSTRAP_SERVERS: "" }), undefined);
});

test("a plain connection carries no TLS and no user", () => {
  assert.deepEqual(optionsOf({ KAFKA_COMPRESSION: "zstd", KAFKA_REPLICATION_FACTOR: "3" }), {
    bootstrapServers: ["b:9092"],
    clientId: "client",
    transactionTimeoutMs: 10_000,
    compression: "zstd",
    replicationFactor: 3,
  });
});

test("TLS takes the texts of the files, and verifies unless told nothing else", () => {
  const options = optionsOf({
    KAFKA_SECURITY_PROTOCOL: "SSL",
    KAFKA_SSL_CA_LOCATION: "ca.pem",
    KAFKA_SSL_CERTIFICATE_LOCATION: "cert.pem",
    KAFKA_SSL_KEY_LOCATION: "key.pem",
    KAFKA_SSL_KEY_PASSWORD: "open",
  });
  assert.deepEqual(options?.tls, {
    ca: "-----BEGIN ca-----\n",
    cert: "-----BEGIN cert-----\n",
    key,
    passphrase: "open",
  });
  assert.deepEqual(optionsOf({ KAFKA_SECURITY_PROTOCOL: "SSL" })?.tls, {});
});

test("a key that stays shut is said so, before any broker is asked", () => {
  const shut = {
    KAFKA_SECURITY_PROTOCOL: "SSL",
    KAFKA_SSL_CERTIFICATE_LOCATION: "cert.pem",
    KAFKA_SSL_KEY_LOCATION: "key.pem",
  };
  assert.match(refusal(shut), /the key of KAFKA_SSL_KEY_LOCATION cannot be read; set KAFKA_SSL_KEY_PASSWORD/);
  const wrong = refusal({ ...shut, KAFKA_SSL_KEY_PASSWORD: "canary" });
  assert.match(wrong, /check KAFKA_SSL_KEY_PASSWORD/);
  assert.doesNotMatch(wrong, /canary/);
});

test("each mechanism is what the client calls it", () => {
  const user = { KAFKA_SASL_USERNAME: "u", KAFKA_SASL_PASSWORD: "p" };
  for (const [mechanism, mechanismOfClient] of [
    ["PLAIN", "plain"],
    ["SCRAM-SHA-256", "scram-sha-256"],
    ["SCRAM-SHA-512", "scram-sha-512"],
  ] as const) {
    const options = optionsOf({ ...user, KAFKA_SECURITY_PROTOCOL: "SASL_SSL", KAFKA_SASL_MECHANISM: mechanism });
    assert.deepEqual(options?.sasl, { mechanism: mechanismOfClient, username: "u", password: "p" });
    assert.deepEqual(options?.tls, {});
  }
});

test("a password is sent in the clear only when that is said to be meant", () => {
  const plain = {
    KAFKA_SECURITY_PROTOCOL: "SASL_PLAINTEXT",
    KAFKA_SASL_MECHANISM: "PLAIN",
    KAFKA_SASL_USERNAME: "u",
    KAFKA_SASL_PASSWORD: "p",
  };
  assert.match(refusal(plain), /would send the password in the clear.*KAFKA_SASL_PLAIN_WITHOUT_TLS=true/);
  assert.equal(optionsOf({ ...plain, KAFKA_SASL_PLAIN_WITHOUT_TLS: "true" })?.sasl?.mechanism, "plain");
  assert.equal(optionsOf({ ...plain, KAFKA_SASL_MECHANISM: "SCRAM-SHA-256" })?.sasl?.mechanism, "scram-sha-256");
});

test("options that contradict each other are refused with what to set", () => {
  const faults: [Record<string, string>, RegExp][] = [
    [{ KAFKA_SASL_USERNAME: "u" }, /KAFKA_SASL_USERNAME is for SASL.*set KAFKA_SECURITY_PROTOCOL=SASL_SSL/],
    [{ KAFKA_SSL_CA_LOCATION: "ca.pem" }, /KAFKA_SSL_CA_LOCATION is for TLS.*set KAFKA_SECURITY_PROTOCOL=SSL/],
    [{ KAFKA_SECURITY_PROTOCOL: "SASL_SSL" }, /SASL_SSL needs KAFKA_SASL_MECHANISM/],
    [
      { KAFKA_SECURITY_PROTOCOL: "SASL_SSL", KAFKA_SASL_MECHANISM: "PLAIN", KAFKA_SASL_USERNAME: "u" },
      /set KAFKA_SASL_PASSWORD or KAFKA_SASL_PASSWORD_FILE/,
    ],
    [
      { KAFKA_SECURITY_PROTOCOL: "SSL", KAFKA_SSL_KEY_LOCATION: "key.pem" },
      /KAFKA_SSL_KEY_LOCATION is set, KAFKA_SSL_CERTIFICATE_LOCATION is not/,
    ],
    [{ KAFKA_SECURITY_PROTOCOL: "SSL", KAFKA_SSL_CA_LOCATION: "gone.pem" }, /cannot read .*gone\.pem \(KAFKA_SSL_CA/],
    [{ KAFKA_SECURITY_PROTOCOL: "SSL", KAFKA_SSL_CA_LOCATION: "keystore.jks" }, /keystore\.jks .* is no PEM file/],
    [{ KAFKA_SECURITY_PROTOCOL: "TLS" }, /^KAFKA_SECURITY_PROTOCOL: .*"SASL_SSL"/],
    [{ SCHEMA_REGISTRY_URL: "http://u:canary@r:8081" }, /^SCHEMA_REGISTRY_URL: holds a user/],
    [{ REDIS_URL: "http://r" }, /^REDIS_URL: is redis:\/\//],
  ];
  for (const [environment, message] of faults) {
    assert.match(refusal(environment), message);
    assert.doesNotMatch(refusal(environment), /canary/);
  }
});

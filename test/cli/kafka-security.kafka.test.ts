import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, test } from "vitest";
import { type BrokerCertificates, makeCertificates } from "../../scripts/stack/broker-certificates.ts";
import { freePort } from "../../scripts/stack/free-port.ts";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import { cardCountTopology } from "./card-count.ts";
import { CommandFolder, ndjson, paymentSchema, payments } from "./command.ts";

type Listener = Parameters<KafkaBroker["bootstrapServersOf"]>[0];
type Variables = Readonly<Record<string, string>>;

const password = "canary-4242-password";
/** Longest time that a refusal may take, in ms. */
const refusedWithinMs = 10_000;

let broker: KafkaBroker;
let foreign: BrokerCertificates;
let foreignFolder = "";
let folder: CommandFolder;
beforeAll(async () => {
  broker = await KafkaBroker.start({
    listeners: ["SSL", "MTLS", "SASL_PLAINTEXT", "SASL_SSL"],
    users: { app: password },
  });
  foreignFolder = mkdtempSync(join(tmpdir(), "kappa-foreign-"));
  foreign = await makeCertificates(foreignFolder);
});
afterAll(async () => {
  await broker.stop();
  rmSync(foreignFolder, { recursive: true });
});
beforeEach(() => {
  folder = new CommandFolder();
});
afterEach(() => folder[Symbol.dispose]());

/** Commands run in a folder whose `.env` says how to connect. */
function connectBy(listener: Listener, variables: Variables): void {
  const all = { KAFKA_BOOTSTRAP_SERVERS: broker.bootstrapServersOf(listener), ...variables };
  const lines = Object.entries(all).map(([name, value]) => `${name}="${value}"\n`);
  writeFileSync(folder.file(".env"), lines.join(""));
}

const tls = (): Variables => ({
  KAFKA_SECURITY_PROTOCOL: "SSL",
  KAFKA_SSL_CA_LOCATION: broker.certificates.authority,
});
const certified = (by: BrokerCertificates): Variables => ({
  ...tls(),
  KAFKA_SSL_CERTIFICATE_LOCATION: by.clientCertificate,
  KAFKA_SSL_KEY_LOCATION: by.clientKey,
});
const user = (mechanism: string, protocol: "SASL_PLAINTEXT" | "SASL_SSL" = "SASL_SSL"): Variables => ({
  ...(protocol === "SASL_SSL" ? tls() : {}),
  KAFKA_SECURITY_PROTOCOL: protocol,
  KAFKA_SASL_MECHANISM: mechanism,
  KAFKA_SASL_USERNAME: "app",
  KAFKA_SASL_PASSWORD: password,
});

test("each kind of listener lets in who has what it wants", async () => {
  const ways: [Listener, Variables][] = [
    ["PLAINTEXT", {}],
    ["SSL", tls()],
    ["MTLS", certified(broker.certificates)],
    ["SASL_SSL", user("PLAIN")],
    ["SASL_SSL", user("SCRAM-SHA-256")],
    ["SASL_SSL", user("SCRAM-SHA-512")],
    ["SASL_PLAINTEXT", user("SCRAM-SHA-512", "SASL_PLAINTEXT")],
    ["SASL_PLAINTEXT", { ...user("PLAIN", "SASL_PLAINTEXT"), KAFKA_SASL_PLAIN_WITHOUT_TLS: "true" }],
  ];
  for (const [number, [listener, variables]] of ways.entries()) {
    connectBy(listener, variables);
    const { code, err } = await folder.run(`topics create way-${number} --partitions 1`);
    assert.equal(code, 0, `${listener} ${variables.KAFKA_SASL_MECHANISM}: ${err}`);
  }
  connectBy("PLAINTEXT", {});
  assert.equal((await folder.run("topics list --json")).rows.length, ways.length);
});

test("each kind of listener refuses who has not, at once and with what to set", async () => {
  writeFileSync(folder.file("topology.ts"), cardCountTopology("refused"));
  const wrong: [string, Listener, Variables, RegExp][] = [
    ["no authority", "SSL", { KAFKA_SECURITY_PROTOCOL: "SSL" }, /not trusted; set KAFKA_SSL_CA_LOCATION/],
    ["another authority", "SSL", { ...tls(), KAFKA_SSL_CA_LOCATION: foreign.authority }, /this one is another/],
    ["no TLS", "SSL", {}, /the listener speaks TLS; set KAFKA_SECURITY_PROTOCOL=SSL/],
    ["TLS to none", "PLAINTEXT", tls(), /the listener speaks no TLS; set KAFKA_SECURITY_PROTOCOL=PLAINTEXT/],
    ["no certificate", "MTLS", tls(), /wants a client certificate; set KAFKA_SSL_CERTIFICATE_LOCATION/],
    ["foreign certificate", "MTLS", certified(foreign), /does not take this client's certificate/],
    [
      "wrong password",
      "SASL_SSL",
      { ...user("PLAIN"), KAFKA_SASL_PASSWORD: "wrong-canary" },
      /check KAFKA_SASL_USERNAME/,
    ],
    ["unknown user", "SASL_SSL", { ...user("PLAIN"), KAFKA_SASL_USERNAME: "nobody" }, /check KAFKA_SASL_USERNAME/],
    [
      "wrong in 256",
      "SASL_SSL",
      { ...user("SCRAM-SHA-256"), KAFKA_SASL_PASSWORD: "wrong-canary" },
      /does not know the user/,
    ],
    [
      "wrong in 512",
      "SASL_SSL",
      { ...user("SCRAM-SHA-512"), KAFKA_SASL_PASSWORD: "wrong-canary" },
      /does not know the user/,
    ],
    ["no user", "SASL_PLAINTEXT", {}, /wants a user; set KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT, KAFKA_SASL_MECHANISM/],
    ["no user in TLS", "SASL_SSL", tls(), /wants a user; set KAFKA_SECURITY_PROTOCOL=SASL_SSL/],
    ["user to none", "SSL", user("SCRAM-SHA-256"), /takes no user; set KAFKA_SECURITY_PROTOCOL=SSL/],
    [
      "no TLS with user",
      "SASL_SSL",
      user("SCRAM-SHA-256", "SASL_PLAINTEXT"),
      /speaks TLS; set KAFKA_SECURITY_PROTOCOL=SASL_SSL/,
    ],
    [
      "TLS with user to none",
      "SASL_PLAINTEXT",
      user("SCRAM-SHA-256"),
      /no TLS; set KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT/,
    ],
  ];
  for (const [name, listener, variables, message] of wrong) {
    connectBy(listener, variables);
    const startMs = performance.now();
    const { code, err } = await folder.run("topics list");
    assert.equal(code, 2, `${name}: ${err}`);
    assert.match(err, message, name);
    assert.match(err, /\(KAFKA_BOOTSTRAP_SERVERS from \.env\) refuses: .* \(KAPPA_LOG_REFUSED\)\n$/, name);
    assert.doesNotMatch(err, /canary/, name);
    assert.ok(performance.now() - startMs < refusedWithinMs, `${name} took ${performance.now() - startMs} ms`);
    await doctorTells(name, message);
  }
});

/** No right mends a connection that is refused: one line says what to set. */
async function doctorTells(name: string, message: RegExp): Promise<void> {
  const { code, rows, err } = await folder.run("doctor topology.ts --json");
  assert.equal(code, 4, `${name}: ${err}`);
  // The registry of the folder has no schema yet, which it says beside.
  const faults = rows.filter((row) => row.ok === false && !/^schema /.test(String(row.name)));
  assert.deepEqual(
    faults.map((row) => [row.name, row.fix]),
    [
      ["kafka", "set what it names; kappa config shows what is set, and where"],
      ["topics", undefined],
    ],
    name,
  );
  assert.match(String(faults[0]?.detail), message, name);
  assert.match(err, /\nnext: kappa doctor topology\.ts\n$/, name);
}

test("a listener that says nothing at all is given up, not waited for", async () => {
  const port = await freePort();
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
  try {
    for (const variables of [{}, tls()]) {
      connectBy("PLAINTEXT", { ...variables, KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${port}` });
      const startMs = performance.now();
      const { code, err } = await folder.run("topics list");
      assert.equal(code, 3, err);
      assert.match(err, /cannot reach Kafka at 127\.0\.0\.1:\d+/);
      assert.ok(performance.now() - startMs < refusedWithinMs + 2000, `it took ${performance.now() - startMs} ms`);
    }
  } finally {
    silent.close();
  }
});

test("an application runs over TLS with a user, and no secret of it is printed or logged", async () => {
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(100)));
  writeFileSync(folder.file("topology.ts"), cardCountTopology("secure"));
  writeFileSync(folder.file("password"), `${password}\n`);
  const { KAFKA_SASL_PASSWORD: _password, ...rest } = user("SCRAM-SHA-512");
  const secrets = {
    KAFKA_SASL_PASSWORD_FILE: "password",
    KAFKA_SSL_KEY_PASSWORD: "canary-key-password",
    HTTP_TOKEN: "canary-http-token-16",
    SCHEMA_REGISTRY_API_SECRET: "canary-registry-secret",
    SCHEMA_REGISTRY_API_KEY: "canary-registry-key",
    REDIS_URL: "redis://:canary-redis@127.0.0.1:1/0",
  };
  connectBy("SASL_SSL", { ...rest, ...secrets });
  const produce = "produce secure-payments p.ndjson --key card_id --time ts --schema payment.avsc --partitions 2";
  const said: string[] = [];
  for (const line of [
    produce,
    "run topology.ts --until-end --http-port 0 --threads 1 --log-level debug --debug",
    "topics hash secure-counts --json",
    "config",
    "config --json",
    "doctor topology.ts",
    "acls topology.ts",
    "topics tail nowhere --debug",
  ]) {
    const { code, out, err } = await folder.run(line);
    said.push(out, err);
    if (line.startsWith("topics hash")) assert.match(out, /"records":100/, err);
    // There is no Redis.
    const expected = line.startsWith("doctor") ? 4 : /nowhere/.test(line) ? 2 : 0;
    assert.equal(code, expected, `${line}: ${err}`);
  }
  assert.doesNotMatch(said.join(""), /canary/);
  assert.match(said.join(""), /saslPassword +\*{8}/);
  assert.doesNotMatch(readFileSync(folder.file(".kappa/state/secure-app/log"), "utf8"), /canary/);
});

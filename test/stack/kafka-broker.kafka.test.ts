import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { KafkaBroker, type KafkaBrokerOptions } from "../../scripts/stack/kafka-broker.ts";
import { KafkaSession } from "./kafka-session.ts";

async function startBroker(options: KafkaBrokerOptions): Promise<KafkaBroker> {
  const broker = await KafkaBroker.start(options);
  onTestFinished(() => broker.stop());
  return broker;
}

test("a broker that was killed comes back on its port with its records", async () => {
  const broker = await startBroker({});
  const session = new KafkaSession({ brokers: [broker.bootstrapServers] });
  const topic = await session.filledTopic(["before"]);
  await broker.kill();
  assert.equal(broker.running, false);
  const impatient = new KafkaSession({ brokers: [broker.bootstrapServers], retry: { retries: 0 } });
  await assert.rejects(impatient.send(topic, ["meanwhile"]), /ECONNREFUSED/);
  await broker.start();
  await session.send(topic, ["after"]);
  assert.deepEqual(await session.values(topic), ["before", "after"]);
});

test("each listener lets in who may come in, and nobody else", async () => {
  const broker = await startBroker({
    listeners: ["SSL", "MTLS", "SASL_PLAINTEXT", "SASL_SSL"],
    users: { ada: "lovelace" },
  });
  const { authority, clientCertificate, clientKey } = broker.certificates;
  const pem = (file: string) => readFileSync(file, "utf8");
  const ssl = { ca: [pem(authority)] };
  const certified = { ...ssl, cert: pem(clientCertificate), key: pem(clientKey) };
  const sasl = (mechanism: string, password: string) => ({ mechanism, username: "ada", password }) as never;
  const retry = { retries: 0 };
  const to = (listener: Parameters<KafkaBroker["bootstrapServersOf"]>[0], config: object) =>
    new KafkaSession({ brokers: [broker.bootstrapServersOf(listener)], retry, ...config });

  const topic = await new KafkaSession({ brokers: [broker.bootstrapServers] }).filledTopic([]);
  await to("SSL", { ssl }).send(topic, ["tls"]);
  await to("MTLS", { ssl: certified }).send(topic, ["mtls"]);
  await to("SASL_PLAINTEXT", { sasl: sasl("plain", "lovelace") }).send(topic, ["plain"]);
  await to("SASL_PLAINTEXT", { sasl: sasl("scram-sha-256", "lovelace") }).send(topic, ["scram-256"]);
  await to("SASL_SSL", { ssl, sasl: sasl("scram-sha-512", "lovelace") }).send(topic, ["scram-512"]);

  await assert.rejects(to("SSL", { ssl: true }).send(topic, ["unknown authority"]));
  await assert.rejects(to("MTLS", { ssl }).send(topic, ["no certificate"]));
  await assert.rejects(to("SASL_PLAINTEXT", { sasl: sasl("plain", "byron") }).send(topic, ["wrong password"]));
  await assert.rejects(to("SASL_SSL", { ssl, sasl: sasl("scram-sha-512", "byron") }).send(topic, ["wrong password"]));
  const reader = new KafkaSession({ brokers: [broker.bootstrapServersOf("SSL")], ssl });
  assert.deepEqual(await reader.values(topic), ["tls", "mtls", "plain", "scram-256", "scram-512"]);
});

test("a broker that cannot start says why in one line, and leaves nothing running", async () => {
  await assert.rejects(KafkaBroker.start({ properties: { "log.segment.bytes": "many" } }), (error: Error) => {
    assert.match(error.message, /many.*log\.segment\.bytes/);
    assert.equal(error.message.split("\n").length, 1);
    return true;
  });
});

test.runIf(process.platform === "linux")("a broker does not outlive a process that was killed", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "kappa-kafka-"));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const script = `
    const { KafkaBroker } = await import(${JSON.stringify(resolve("scripts/stack/kafka-broker.ts"))});
    const broker = await KafkaBroker.start({ dataDir: ${JSON.stringify(dataDir)} });
    process.stdout.write(String(broker.pid));
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ["--no-warnings", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void owner.kill("SIGKILL"));
  const [pid] = await once(owner.stdout, "data");
  assert.ok(existsSync(`/proc/${pid}`), `no process ${pid}`);
  owner.kill("SIGKILL");
  for (let waits = 0; existsSync(`/proc/${pid}`) && waits < 50; waits += 1) await sleep(100);
  assert.ok(!existsSync(`/proc/${pid}`), `process ${pid} is still there`);
});

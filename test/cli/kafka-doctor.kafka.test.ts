import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Kafka, logLevel } from "kafkajs";
import { afterEach, beforeEach, inject, test } from "vitest";
import { cardCountTopology } from "./card-count.ts";
import { CommandFolder, ndjson, paymentSchema, payments } from "./command.ts";

const brokers = inject("kafkaBootstrapServers");
let folder: CommandFolder;
let prefix = "";
beforeEach(() => {
  prefix = `doctor-${randomUUID().slice(0, 8)}`;
  folder = new CommandFolder();
  writeFileSync(folder.file(".env"), `KAFKA_BOOTSTRAP_SERVERS=${brokers}\nREDIS_URL=${inject("redisUrl")}\n`);
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(20)));
  writeFileSync(folder.file("topology.ts"), cardCountTopology(prefix));
});
afterEach(() => folder[Symbol.dispose]());

const produce = () =>
  folder.run(`produce ${prefix}-payments p.ndjson --key card_id --time ts --schema payment.avsc --partitions 2`);

/** Checks by name, those of this machine left out. */
async function doctor() {
  const { code, rows, err } = await folder.run("doctor topology.ts --json");
  const own = rows.filter(({ name }) => !/^(node|disk|data folder|state folder)$/.test(String(name)));
  return { code, err, checks: new Map(own.map((row) => [String(row.name).replace(prefix, "APP"), row])) };
}

test("an application that has run is well in every respect", async () => {
  await produce();
  assert.equal((await folder.run("run topology.ts --until-end --http-port 0 --threads 1")).code, 0);
  const { code, checks, err } = await doctor();
  assert.equal(code, 0, JSON.stringify([...checks.values()]));
  assert.match(err, /^all is well\n/);
  for (const name of ["kafka", "transaction timeout", "session timeout", "redis", "topic policies", "group APP-app"]) {
    assert.ok(checks.has(name), name);
  }
  assert.match(String(checks.get("rights")?.detail), /^6 topics may be read and written as needed$/);
});

test("an input that is missing is named with the command that makes it, and that command mends it", async () => {
  const { code, checks, err } = await doctor();
  assert.equal(code, 4);
  assert.equal(checks.get("topic APP-payments")?.fix, `kappa topics create ${prefix}-payments --partitions 8`);
  assert.match(err, /next: kappa topics create .*-payments --partitions 8\n$/);
  await produce();
  assert.equal((await doctor()).code, 0);
});

test("an input that has grown since the application was begun is a fault", async () => {
  await produce();
  assert.equal((await folder.run("run topology.ts --until-end --http-port 0 --threads 1")).code, 0);
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: `${prefix}-payments`, count: 4 }] });
  await admin.disconnect();
  const { code, checks } = await doctor();
  assert.equal(code, 4);
  const partitions = checks.get("partitions");
  assert.match(String(partitions?.detail), /^inputs have 4, .*-app-commits has 2/);
  assert.match(String(partitions?.fix), /^run under a new application id/);
});

test("policies that somebody else gave a topic are found, with the command that sets them right", async () => {
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const own = (name: string, value: string) => ({ name, value });
  await admin.createTopics({
    topics: [
      {
        topic: `${prefix}-payments`,
        numPartitions: 2,
        configEntries: [own("retention.ms", "604800000"), own("message.timestamp.after.max.ms", "3600000")],
      },
      { topic: `${prefix}-app-commits`, numPartitions: 2, configEntries: [own("retention.ms", "604800000")] },
    ],
  });
  await admin.disconnect();
  await produce();
  const { code, checks, err } = await doctor();
  assert.equal(code, 4, "what would lose state is a fault");
  assert.match(err, /2 of \d+ checks failed, 2 worth mending/);
  assert.equal(checks.get("retention of APP-payments")?.warning, true);
  assert.equal(checks.get("times of APP-payments")?.warning, true);
  assert.equal(checks.get("times of APP-app-commits")?.ok, false, "brokers refuse what lies ahead unless told");
  const lost = checks.get("retention of APP-app-commits");
  assert.equal(lost?.ok, false);
  assert.equal(
    lost?.fix,
    `kafka-configs.sh --bootstrap-server ${brokers} --entity-type topics --entity-name ${prefix}-app-commits ` +
      "--alter --add-config retention.ms=-1",
  );
});

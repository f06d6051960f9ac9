import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { onTestFinished, test } from "vitest";
import { appendInput } from "../../scripts/handbook-append.ts";
import { mergeOrder } from "../../scripts/handbook-input.ts";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import { type Log, openFileLog } from "../../src/index.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { KappaProcess } from "../cli/kappa-process.ts";
import { handbookData } from "./handbook-data.ts";

// Goal: what an application writes is a function of its input, whatever keeps it and however many processes share the
// work. Method: the handbook's job over invented payments and labels, by the commands that anybody would type.

const topology = resolve("topologies/handbook.ts");
const model = resolve("test/fixtures/handbook.onnx");
const data = handbookData(60_000, 7);
const order = mergeOrder(data.transactions, data.labels);
const output = "fraud-decisions";

async function preload(log: Log, dataDir: string, partitions: number): Promise<void> {
  const appended = await appendInput({ log, dataDir, partitions, ...data, model, order });
  assert.equal(appended, order.length);
}

/** Runs `kappa` to its end. @returns what it printed */
async function kappa(directory: string, line: string): Promise<string> {
  // The variable names the shared broker of a test run, and the log of a command.
  const command = new KappaProcess(directory, line, { KAFKA_BOOTSTRAP_SERVERS: "" });
  assert.equal(await command.exit, 0, command.said);
  return command.said;
}

const run = `run ${topology} --until-end --param model=${model} --http-port 0`;

async function hash(directory: string, place: string): Promise<string> {
  const printed = await kappa(directory, `topics hash ${output} --json ${place}`);
  const { records, hash } = JSON.parse(/^\{.*\}$/m.exec(printed)?.[0] ?? "{}") as { records: number; hash: string };
  assert.equal(records, data.transactions.length);
  return hash;
}

async function onEmbeddedLog(directory: string, partitions: number): Promise<string> {
  const dataDir = join(directory, `embedded-${partitions}`);
  const log = await openFileLog({ directory: join(dataDir, "log") });
  await preload(log, dataDir, partitions);
  await log.close();
  await kappa(directory, `${run} --threads 2 --data-dir ${dataDir}`);
  return await hash(directory, `--data-dir ${dataDir}`);
}

/** What one run after the other over the same input leaves, by so many processes each. */
async function onKafka(directory: string, partitions: number, processes: readonly number[]): Promise<string[]> {
  const broker = await KafkaBroker.start();
  onTestFinished(() => broker.stop());
  const { bootstrapServers } = broker;
  const inputDir = join(directory, `kafka-${partitions}`);
  const log = await KafkaLog.open({ bootstrapServers: [bootstrapServers], clientId: "preload" });
  await preload(log, inputDir, partitions);
  await log.close();
  const hashes: string[] = [];
  for (const count of processes) {
    await forgetRun(bootstrapServers);
    const all = Array.from({ length: count }, async (_, i) => {
      const dataDir = join(directory, `kafka-${partitions}-${count}-${i}`);
      // The ids of the schemas that the input was written with.
      cpSync(join(inputDir, "registry"), join(dataDir, "registry"), { recursive: true });
      const place = `--data-dir ${dataDir} --bootstrap-servers ${bootstrapServers}`;
      const said = await kappa(directory, `${run} --threads 1 ${place}`);
      assert.match(said, /"tasks":[1-9]/, "a process had no share of the work");
    });
    await Promise.all(all);
    hashes.push(await hash(directory, `--bootstrap-servers ${bootstrapServers}`));
  }
  return hashes;
}

/** Deletes every topic that a run has written, and waits until it is gone. */
async function forgetRun(bootstrapServers: string): Promise<void> {
  const admin = new Kafka({ brokers: [bootstrapServers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const written = async (): Promise<string[]> =>
    (await admin.listTopics()).filter((topic) => topic === output || /^handbook-(?!append)/.test(topic));
  const topics = await written();
  if (topics.length > 0) await admin.deleteTopics({ topics });
  while ((await written()).length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
  await admin.disconnect();
}

test("a job leaves equal topics: on the embedded log, on Kafka, by one process and by three, 4 partitions and 8", {
  timeout: 240_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), "kappa-hashes-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const hashes: Record<string, string> = {};
  for (const partitions of [4, 8]) {
    hashes[`embedded, ${partitions} partitions`] = await onEmbeddedLog(directory, partitions);
    const [one, three] = await onKafka(directory, partitions, [1, 3]);
    hashes[`Kafka, 1 process, ${partitions} partitions`] = one ?? "";
    hashes[`Kafka, 3 processes, ${partitions} partitions`] = three ?? "";
  }
  const [first] = Object.values(hashes);
  assert.deepEqual(hashes, Object.fromEntries(Object.keys(hashes).map((run) => [run, first])));
});

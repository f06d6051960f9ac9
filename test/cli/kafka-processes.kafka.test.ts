import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { afterEach, beforeEach, inject, onTestFinished, test } from "vitest";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { passedOnHeader } from "../../src/observability/http-sources.ts";
import { ProxiedKafka } from "../chaos/kafka-proxied.ts";
import { apiKeys } from "../chaos/tcp-proxy.ts";
import { cardCountTopology } from "./card-count.ts";
import { CommandFolder, ndjson, paymentSchema, payments } from "./command.ts";
import { eventually, KappaProcess } from "./kappa-process.ts";

const brokers = inject("kafkaBootstrapServers");
const token = "a-token-of-all-processes";
const cards = Array.from({ length: 13 }, (_, i) => `c${i}`);
const options = "--key card_id --time ts --schema payment.avsc --partitions 4";

let folder: CommandFolder;
/** A name that nothing else has on the shared broker. */
let prefix = "";
let running: KappaProcess[] = [];
beforeEach(() => {
  prefix = `cli-${randomUUID().slice(0, 8)}`;
  folder = new CommandFolder();
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
  writeFileSync(folder.file("topology.ts"), cardCountTopology(prefix));
});
afterEach(async () => {
  for (const each of running) each.process.kill("SIGKILL");
  await Promise.all(running.map(({ exit }) => exit));
  running = [];
  folder[Symbol.dispose]();
});

const onKafka = (line: string) => folder.run(`${line} --bootstrap-servers ${brokers}`);

function start(line: string): KappaProcess {
  const started = new KappaProcess(folder.path, line, { KAFKA_BOOTSTRAP_SERVERS: brokers, HTTP_TOKEN: token });
  running.push(started);
  return started;
}

interface Info {
  readonly owned: readonly number[];
  readonly group: { readonly joined: boolean; readonly owners: Readonly<Record<string, string>> };
}

async function ask(url: string, path: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}`, ...headers } });
  return { status: response.status, body: (await response.json()) as Readonly<Record<string, unknown>> };
}

const infoOf = async (url: string) => (await ask(url, "/info")).body as unknown as Info;

/** Two processes, each with tasks of its own and a view of the other's. */
async function startTwo(): Promise<{ first: KappaProcess; second: KappaProcess; urls: [string, string] }> {
  const run = "run topology.ts --http-port 0 --threads 1";
  const first = start(`${run} --state-dir first`);
  const second = start(`${run} --state-dir second`);
  const urls: [string, string] = [await first.url(), await second.url()];
  await eventually(async () => {
    const infos = await Promise.all(urls.map(infoOf));
    return infos.every(({ owned, group }) => owned.length === 2 && Object.keys(group.owners).length === 4);
  });
  for (const url of urls) await eventually(async () => (await fetch(`${url}/readyz`)).status === 200);
  return { first, second, urls };
}

test("every process answers for every key, passing on what another one has", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(130)));
  const produced = await onKafka(`produce ${prefix}-payments p.ndjson ${options}`);
  assert.equal(produced.code, 0, produced.err);
  const { first, second, urls } = await startTwo();
  const value = async (url: string, card: string) => (await ask(url, `/stores/card-count/${card}`)).body.value;
  for (const url of urls) {
    for (const card of cards) await eventually(async () => (await value(url, card)) !== undefined);
  }
  const answers = await Promise.all(urls.map((url) => Promise.all(cards.map((card) => value(url, card)))));
  assert.deepEqual(answers[0], answers[1]);
  assert.deepEqual(
    answers[0],
    Array.from(cards, () => ({ count_1h: 10 })),
  );

  // What was passed on already is not passed on again, whatever the two believe of each other.
  const statuses = await Promise.all(
    cards.map(async (card) => (await ask(urls[0], `/stores/card-count/${card}`, { [passedOnHeader]: "1" })).status),
  );
  assert.deepEqual([...new Set(statuses)].sort(), [200, 503]);
  const refused = await fetch(`${urls[0]}/stores/card-count/c1`);
  assert.equal(refused.status, 401, "passing on needs the token too");
  const shown = await folder.run(`state get --store card-count --key c1 --url ${urls[1]}`);
  assert.equal(shown.code, 2, "without the token");

  // The owner goes without a word: until the group knows, its keys have no answer, and it says so.
  const elsewhere = cards.find((_, i) => statuses[i] === 503) ?? "";
  second.process.kill("SIGKILL");
  await second.exit;
  const down = await ask(urls[0], `/stores/card-count/${elsewhere}`);
  assert.equal(down.status, 503);
  assert.match(String(down.body.error), /task \d is run by http.*which cannot be asked.*ask again/);
  await eventually(async () => (await ask(urls[0], `/stores/card-count/${elsewhere}`)).status === 200);
  assert.equal((await infoOf(urls[0])).owned.length, 4);
  first.process.kill("SIGTERM");
  assert.equal(await first.exit, 0, first.said);
});

test("an application on Kafka takes what is produced beside it, is ready when its tasks are open, and drains", async () => {
  await onKafka(`topics create ${prefix}-payments --partitions 4`);
  const { first, second, urls } = await startTwo();
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(200)));
  await onKafka(`produce ${prefix}-payments p.ndjson ${options}`);
  await eventually(async () => {
    const { rows } = await onKafka(`topics hash ${prefix}-counts --json`);
    return rows[0]?.records === 200;
  });
  const ready = await ask(urls[0], "/readyz?verbose");
  const checks = ready.body.checks as { readonly name: string; readonly ok: boolean; readonly detail: string }[];
  assert.deepEqual(
    checks.filter(({ ok }) => !ok),
    [],
  );
  assert.equal(checks.find(({ name }) => name === "group")?.detail, "runs 2 of 4 tasks");
  assert.equal(checks.find(({ name }) => name === "tasks")?.detail, "every task is open");
  second.process.kill("SIGTERM");
  assert.equal(await second.exit, 0, second.said);
  // A process that leaves in good order is not waited for until its session ends.
  await eventually(async () => (await infoOf(urls[0])).owned.length === 4, 4000);
  await eventually(async () => (await fetch(`${urls[0]}/readyz`)).status === 200);
  const again = ndjson(payments(400).slice(200));
  writeFileSync(folder.file("q.ndjson"), again);
  await onKafka(`produce ${prefix}-payments q.ndjson ${options}`);
  await eventually(async () => (await onKafka(`topics hash ${prefix}-counts --json`)).rows[0]?.records === 400);
  first.process.kill("SIGTERM");
  assert.equal(await first.exit, 0, first.said);
  assert.match(first.said, /"message":"closed"/);
});

test("a produce that is killed again and again appends every row to Kafka once", async () => {
  const rows = payments(60_000);
  writeFileSync(folder.file("p.ndjson"), ndjson(rows));
  const topic = `${prefix}-payments`;
  const recordsOf = async (): Promise<number> => {
    const { rows: found } = await onKafka(`topics hash ${topic} --json`);
    return Number(found[0]?.records ?? 0);
  };
  let kills = 0;
  for (const target of [1, 15_000, 30_000]) {
    const kappa = start(`produce ${topic} p.ndjson ${options}`);
    while (kappa.process.exitCode === null && (await recordsOf()) < target) await after(5);
    if (kappa.process.exitCode === null) kills++;
    kappa.process.kill("SIGKILL");
    await kappa.exit;
  }
  const last = start(`produce ${topic} p.ndjson ${options}`);
  assert.equal(await last.exit, 0, last.said);
  assert.ok(kills > 0, "no process was killed while it appended");
  await folder.run(`produce whole p.ndjson ${options}`);
  const whole = await folder.run("topics hash whole --json");
  const killed = await onKafka(`topics hash ${topic} --json`);
  assert.deepEqual([killed.rows[0]?.records, killed.rows[0]?.hash], [60_000, whole.rows[0]?.hash]);
});

test("a produce whose broker is killed ends with 3, says how to go on, and then has every row once", {
  timeout: 120_000,
}, async () => {
  const own = await ProxiedKafka.start();
  onTestFinished(() => own.stop());
  const rows = payments(60_000);
  writeFileSync(folder.file("p.ndjson"), ndjson(rows));
  const topic = `${prefix}-payments`;
  const servers = `--bootstrap-servers ${own.options().bootstrapServers}`;
  assert.equal((await folder.run(`topics create ${topic} --partitions 4 ${servers}`)).code, 0);
  // Rows that follow the first transaction do not reach the broker: however slow we look, the produce is not over.
  let committed = false;
  own.proxy.fate = (apiKey) => {
    committed ||= apiKey === apiKeys.endTxn;
    return committed && apiKey === apiKeys.produce ? "hold" : "pass";
  };
  const cut = start(`produce ${topic} p.ndjson ${options} ${servers}`);
  const log = await KafkaLog.open(own.options());
  const arrived = async (): Promise<boolean> => {
    const ends = await Promise.all([0, 1, 2, 3].map((partition) => log.endOffset(topic, partition)));
    return ends.some((end) => end > 0n);
  };
  await eventually(async () => cut.process.exitCode !== null || (await arrived()), 60_000);
  await log.close();
  await own.broker.kill();
  assert.equal(await cut.exit, 3, cut.said);
  assert.match(cut.said, /start the same command again: it goes on where it was \(KAPPA_LOG_UNAVAILABLE\)/);
  own.proxy.fate = () => "pass";
  await own.broker.start();
  const again = await folder.run(`produce ${topic} p.ndjson ${options} ${servers}`);
  assert.equal(again.code, 0, again.err);
  assert.match(again.err, /[1-9][\d,]* rows before were left as they are/);
  const { rows: found } = await folder.run(`topics hash ${topic} --json ${servers}`);
  assert.equal(found[0]?.records, rows.length);
});

test("state of another log is refused, not mistaken for state of this one", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(20)));
  for (const run of [(line: string) => folder.run(line), onKafka]) {
    await run(`produce ${prefix}-payments p.ndjson ${options}`);
  }
  const run = "run topology.ts --until-end --http-port 0 --threads 1";
  assert.equal((await folder.run(run)).code, 0);
  const mistaken = await onKafka(run);
  assert.equal(mistaken.code, 2);
  assert.match(mistaken.err, /is of the embedded log, the application reads Kafka cluster .*name another --state-dir/);
  assert.equal((await onKafka(`${run} --state-dir other`)).code, 0);
  assert.equal((await onKafka(`${run} --state-dir other`)).code, 0);
});

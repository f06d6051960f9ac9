import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel, type Producer } from "kafkajs";
import { afterAll, beforeAll, inject, onTestFinished, test } from "vitest";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import type { KafkaOptions } from "../../src/log/kafka-options.ts";
import { nextBatch } from "../../src/log/record-at.ts";
import { at, rejectsWith, valuesOf } from "../../src/testing/log-case.ts";
import { eventually, readRecords, readVisible, sectionOf } from "../../src/testing/log-records.ts";
import { ProxiedKafka } from "../chaos/kafka-proxied.ts";
import { consume, runTool } from "../chaos/kafka-tools.ts";
import { apiKeys } from "../chaos/tcp-proxy.ts";

// What any client of Kafka must show before tasks are trusted to it. Q1 to Q12 are named as in the design; a client that
// replaces the one below the adapter runs the same file. Where a request has to be late or lost, it goes by way of a
// proxy to a broker of this file's own.

const shared = inject("kafkaBootstrapServers");
const library = new Kafka({ brokers: [shared], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 10 } });
const admin = library.admin();
let proxied: ProxiedKafka;

beforeAll(async () => {
  await admin.connect();
  // Looks for transactions that took too long every half second instead of every ten.
  proxied = await ProxiedKafka.start({ "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500" });
});

afterAll(async () => {
  await admin.disconnect();
  await proxied.stop();
});

const codecs = ["gzip", "snappy", "lz4", "zstd"] as const;

const named = (name: string): string => `${name}-${randomUUID()}`;

async function open(options: Partial<KafkaOptions> = {}): Promise<KafkaLog> {
  const log = await KafkaLog.open({ bootstrapServers: [shared], clientId: "qualification", ...options });
  onTestFinished(() => log.close());
  return log;
}

/** A log by way of the proxy; requests that stay unanswered are given up soon. */
async function openProxied(options: Partial<KafkaOptions> = {}): Promise<KafkaLog> {
  const log = await KafkaLog.open(proxied.options({ requestTimeoutMs: 1000, ...options }));
  onTestFinished(async () => {
    proxied.proxy.fate = () => "pass";
    proxied.proxy.release();
    await log.close();
  });
  return log;
}

async function topicOf(log: KafkaLog, partitions = 1): Promise<string> {
  const topic = named("qualified");
  await log.createTopic(topic, { partitions });
  return topic;
}

const last = "the last one";

/**
 * Everything that a reader gets from the start to a record that is written now: once that one is visible, all before it
 * is decided. What was acknowledged just now may not be visible yet.
 */
async function valuesIn(log: KafkaLog, topic: string, partition = 0): Promise<(string | null)[]> {
  const writer = await log.openWriter(named("last"));
  await writer.append([sectionOf(topic, partition, [at(1, last)])]);
  const cursor = await log.openCursor(topic, partition, 0n, "durable");
  const values: (string | null)[] = [];
  const complete = () => {
    values.push(...valuesOf(readVisible(cursor)));
    return values.at(-1) === last;
  };
  await eventually(log, complete, () => `only ${values.length} records`);
  cursor.close();
  return values.slice(0, -1);
}

async function libraryProducer(transactionalId: string): Promise<Producer> {
  const producer = library.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  onTestFinished(() => producer.disconnect());
  return producer;
}

test("Q1: of a producer's transactions those that were committed are read, whatever lies between them", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const producer = await libraryProducer(named("q1"));
  for (const [value, commits] of [
    ["a", false],
    ["b", true],
    ["c", false],
    ["d", false],
    ["e", true],
  ] as const) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: `${value}1` }, { value: `${value}2` }] });
    await (commits ? transaction.commit() : transaction.abort());
  }
  assert.deepEqual(await valuesIn(log, topic), ["b1", "b2", "e1", "e2"]);
});

test("Q1: what a writer left open twice, and its successor ended, is not read; what came between is", async () => {
  const log = await openProxied();
  const topic = await topicOf(log);
  const id = named("q1");
  for (const round of [1, 2]) {
    const writer = await log.openWriter(id);
    await writer.append([sectionOf(topic, 0, [at(1, `kept ${round}`)])]);
    proxied.next(apiKeys.endTxn, "cut");
    await rejectsWith("KAPPA_LOG_UNAVAILABLE", writer.append([sectionOf(topic, 0, [at(2, `left ${round}`)])]));
  }
  const writer = await log.openWriter(id);
  await writer.append([sectionOf(topic, 0, [at(3, "kept 3")])]);
  assert.deepEqual(await valuesIn(log, topic), ["kept 1", "kept 2", "kept 3"]);
});

test("Q2: an aborted transaction larger than an answer of the broker is left out, its marker far behind", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const producer = await libraryProducer(named("q2"));
  // Ten batches of 400 KB: the adapter asks for 1 MiB of a partition.
  const value = "x".repeat(400_000);
  const aborted = await producer.transaction();
  for (let i = 0; i < 10; i++) await aborted.send({ topic, messages: [{ value }] });
  await aborted.abort();
  const committed = await producer.transaction();
  for (let i = 0; i < 10; i++) await committed.send({ topic, messages: [{ value: `${i}${value}` }] });
  await committed.commit();
  const values = await valuesIn(log, topic);
  assert.deepEqual(
    values.map((each) => each?.[0]),
    [..."0123456789"],
  );
});

test("Q3: a writer of the same id goes on after the one before was closed, and after it just vanished", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const id = named("q3");
  for (const round of [1, 2, 3]) {
    const writer = await log.openWriter(id);
    for (const i of [1, 2]) await writer.append([sectionOf(topic, 0, [at(i, `${round}.${i}`)])]);
    if (round === 1) await writer.close();
  }
  assert.deepEqual(await valuesIn(log, topic), ["1.1", "1.2", "2.1", "2.2", "3.1", "3.2"]);
});

test("Q4: a writer whose id was opened again is fenced, on partitions it has written and on others", async () => {
  const log = await open();
  const topic = await topicOf(log, 2);
  for (const partition of [0, 1]) {
    const id = named("q4");
    const zombie = await log.openWriter(id);
    await zombie.append([sectionOf(topic, 0, [at(1, `before ${partition}`)])]);
    const owner = await log.openWriter(id);
    await rejectsWith("KAPPA_TASK_FENCED", zombie.append([sectionOf(topic, partition, [at(2, "zombie")])]));
    await rejectsWith("KAPPA_TASK_FENCED", zombie.append([sectionOf(topic, 0, [at(2, "zombie again")])]));
    await owner.append([sectionOf(topic, partition, [at(3, `after ${partition}`)])]);
  }
  assert.deepEqual(await valuesIn(log, topic, 0), ["before 0", "after 0", "before 1"]);
  assert.deepEqual(await valuesIn(log, topic, 1), ["after 1"]);
});

test("Q4: the library's producer is fenced too: its send, and the end of what it has sent", async () => {
  const log = await open();
  const topic = await topicOf(log);
  for (const sends of [true, false]) {
    const id = named("q4");
    const transaction = await (await libraryProducer(id)).transaction();
    await transaction.send({ topic, messages: [{ value: "zombie" }] });
    const owner = await log.openWriter(id);
    const late = sends ? transaction.send({ topic, messages: [{ value: "zombie again" }] }) : transaction.commit();
    await assert.rejects(late, { type: "INVALID_PRODUCER_EPOCH" });
    await owner.append([sectionOf(topic, 0, [at(1, "owner")])]);
  }
  assert.deepEqual(await valuesIn(log, topic), ["owner", "owner"]);
});

test("Q4: a fenced writer cannot end what its successor has begun", async () => {
  const log = await openProxied();
  const topic = await topicOf(log);
  const id = named("q4");
  const zombie = await log.openWriter(id);
  proxied.next(apiKeys.endTxn, "hold");
  const stalled = zombie.append([sectionOf(topic, 0, [at(1, "zombie")])]);
  await until(() => proxied.proxy.held > 0, "the zombie's EndTxn to be on its way");
  const owner = await log.openWriter(id);
  proxied.proxy.release();
  await rejectsWith("KAPPA_TASK_FENCED", stalled);
  await owner.append([sectionOf(topic, 0, [at(2, "owner")])]);
  assert.deepEqual(await valuesIn(log, topic), ["owner"]);
});

test("Q5: appends to two partitions at once become visible, each whole and in its order", async () => {
  const log = await open();
  const topic = await topicOf(log, 2);
  const writer = await log.openWriter(named("q5"));
  const appends = Array.from({ length: 40 }, (_, i) =>
    writer.append([sectionOf(topic, i % 2, [at(i, `${i}`)]), sectionOf(topic, (i + 1) % 2, [at(i, `${i}`)])]),
  );
  const told = await Promise.all(appends);
  const expected = Array.from({ length: 40 }, (_, i) => `${i}`);
  for (const partition of [0, 1]) {
    assert.deepEqual(await valuesIn(log, topic, partition), expected);
    const offsets = told.map(({ baseOffsets }, i) => baseOffsets[(i + partition) % 2]);
    const cursor = await log.openCursor(topic, partition, 0n, "durable");
    const found = await readRecords(log, cursor, 40);
    cursor.close();
    assert.deepEqual(
      offsets,
      // What comes behind is the mark by which `valuesIn` knew the end.
      found.slice(0, 40).map(({ offset }) => offset),
    );
  }
});

test("Q6: a writer whose transaction took too long is fenced; nothing of it is read, and the next one goes on", async () => {
  const log = await openProxied({ transactionTimeoutMs: 1000, requestTimeoutMs: 15_000 });
  const topic = await topicOf(log);
  const id = named("q6");
  const slow = await log.openWriter(id);
  await slow.append([sectionOf(topic, 0, [at(1, "in time")])]);
  proxied.next(apiKeys.endTxn, "hold");
  const late = slow.append([sectionOf(topic, 0, [at(2, "too late")])]);
  await until(() => proxied.proxy.held > 0, "the EndTxn to be on its way");
  await sleep(3000);
  proxied.proxy.release();
  await rejectsWith("KAPPA_TASK_FENCED", late);
  await rejectsWith("KAPPA_TASK_FENCED", slow.append([sectionOf(topic, 0, [at(3, "never")])]));
  const again = await log.openWriter(id);
  await again.append([sectionOf(topic, 0, [at(4, "anew")])]);
  assert.deepEqual(await valuesIn(log, topic), ["in time", "anew"]);
});

test("Q7: the end covers all of a former writer as soon as the next one is open, and nothing of an open one", async () => {
  const log = await openProxied();
  const topic = await topicOf(log);
  const id = named("q7");
  const before = await log.openWriter(id);
  await before.append([sectionOf(topic, 0, [at(1, "first")])]);
  proxied.next(apiKeys.endTxn, "hold");
  const stalled = before.append([sectionOf(topic, 0, [at(2, "open")])]).catch(() => {});
  await until(() => proxied.proxy.held > 0, "a transaction to be open");
  const bound = await log.endOffset(topic, 0);
  assert.equal(bound, 2n, "one record, one marker, and then what nobody may see");
  await log.openWriter(id);
  assert.equal(await log.endOffset(topic, 0), 4n, "the aborted record and its marker are decided");
  proxied.proxy.release();
  await stalled;
  assert.deepEqual(await valuesIn(log, topic), ["first"]);
});

test("Q7: no acknowledged append is missing behind the end that a take-over reads, however soon it reads it", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const id = named("q7");
  let writer = await log.openWriter(id);
  for (let round = 0; round < 100; round++) {
    const { baseOffsets } = await writer.append([sectionOf(topic, 0, [at(round)])]);
    writer = await log.openWriter(id);
    const end = await log.endOffset(topic, 0);
    assert.ok(end > (baseOffsets[0] ?? 0n), `round ${round}: appended at ${baseOffsets[0]}, the end is ${end}`);
  }
});

test("Q8: a record that the broker finds too large is refused by name; the next writer goes on", async () => {
  const log = await open();
  const topic = named("qualified");
  const configEntries = [{ name: "max.message.bytes", value: "100000" }];
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }], waitForLeaders: true });
  const id = named("q8");
  const writer = await log.openWriter(id);
  await writer.append([sectionOf(topic, 0, [at(1)])]);
  const large = sectionOf(topic, 0, [at(2, "x".repeat(200_000))]);
  await rejectsWith("KAPPA_TRANSACTION_TOO_LARGE", writer.append([large]));
  const next = await log.openWriter(id);
  await next.append([sectionOf(topic, 0, [at(3)])]);
  assert.deepEqual(await valuesIn(log, topic), ["v1", "v3"]);
});

test("Q9: what the Java client compresses is read, with every codec", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const lines = Array.from({ length: 200 }, (_, i) => `{"payment":${i},"merchant":"the same one again and again"}`);
  for (const codec of codecs) {
    await runTool({
      mainClass: "org.apache.kafka.tools.ConsoleProducer",
      args: ["--bootstrap-server", shared, "--topic", topic, "--compression-codec", codec],
      input: lines.map((line) => `${codec} ${line}\n`).join(""),
    });
  }
  assert.deepEqual(
    await valuesIn(log, topic),
    codecs.flatMap((codec) => lines.map((line) => `${codec} ${line}`)),
  );
});

test("Q9: what is compressed here is read by the Java client, with every codec", async () => {
  const topic = await topicOf(await open());
  const lines = Array.from({ length: 200 }, (_, i) => `{"payment":${i},"merchant":"the same one again and again"}`);
  for (const compression of codecs) {
    const writer = await (await open({ compression })).openWriter(named("q9"));
    await writer.append([
      sectionOf(
        topic,
        0,
        lines.map((line, i) => at(i, `${compression} ${line}`)),
      ),
    ]);
  }
  const read: string[] = [];
  await consume(shared, topic, ({ value }) => read.push(value));
  assert.deepEqual(
    read,
    codecs.flatMap((codec) => lines.map((line) => `${codec} ${line}`)),
  );
});

test("Q10: a position that the log no longer holds, or does not hold yet, is reported", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const writer = await log.openWriter(named("q10"));
  for (let i = 0; i < 10; i++) await writer.append([sectionOf(topic, 0, [at(i)])]);
  const end = 20n;
  // The last marker is written some time after it was promised.
  await eventually(
    log,
    async () => (await log.endOffset(topic, 0)) === end,
    () => "the last marker is not there",
  );
  // The library deletes only from topics that it has looked at.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "10" }] });
  assert.equal(await log.startOffset(topic, 0), 10n);
  const cursor = await log.openCursor(topic, 0, 4n, "durable");
  const error = await rejectsWith(
    "KAPPA_LOG_TRUNCATED",
    (async () => {
      while (cursor.next() === undefined) await cursor.arrival(100);
    })(),
  );
  assert.deepEqual([error.context.position, error.context.start, error.context.end], [4n, 10n, end]);
  await rejectsWith("KAPPA_LOG_TRUNCATED", log.openCursor(topic, 0, end + 1n, "durable"));
});

test("Q11: a reader comes to the end of a partition whose tail holds no record", async () => {
  const log = await open();
  const topic = await topicOf(log);
  const producer = await libraryProducer(named("q11"));
  const committed = await producer.transaction();
  await committed.send({ topic, messages: [{ value: "kept" }] });
  await committed.commit();
  for (let i = 0; i < 20; i++) {
    const aborted = await producer.transaction();
    await aborted.send({ topic, messages: [{ value: "left" }] });
    await aborted.abort();
  }
  const end = 42n;
  // The last marker is written some time after it was promised.
  await eventually(
    log,
    async () => (await log.endOffset(topic, 0)) === end,
    () => "the tail of markers is not whole",
  );
  const cursor = await log.openCursor(topic, 0, 0n, "durable");
  assert.equal((await nextBatch(cursor))?.count, 1);
  assert.equal(await nextBatch(cursor), undefined);
  assert.deepEqual([cursor.position, cursor.end, cursor.caughtUp()], [end, end, true]);
});

test("Q12: an EndTxn that arrives late ends nothing but what it was sent for", async () => {
  const log = await openProxied();
  const topic = await topicOf(log);
  const id = named("q12");
  const lost = await log.openWriter(id);
  proxied.next(apiKeys.endTxn, "hold");
  await rejectsWith("KAPPA_LOG_UNAVAILABLE", lost.append([sectionOf(topic, 0, [at(1, "given up")])]));
  const late = proxied.proxy.held;
  assert.ok(late > 0, "the EndTxn is still on its way");

  const next = await log.openWriter(id);
  proxied.proxy.fate = (apiKey) => (apiKey === apiKeys.endTxn ? "hold" : "pass");
  const appended = next.append([sectionOf(topic, 0, [at(2, "next")])]);
  await until(() => proxied.proxy.held > late, "the next transaction to be open");
  const open = await log.endOffset(topic, 0);
  proxied.proxy.release(1);
  await sleep(500);
  assert.equal(await log.endOffset(topic, 0), open, "the next transaction is as open as before");
  proxied.proxy.fate = () => "pass";
  proxied.proxy.release();
  await appended;
  assert.deepEqual(await valuesIn(log, topic), ["next"]);
});

test("Q12: an EndTxn whose answer is lost has been carried out, and the append says that it does not know", async () => {
  const log = await openProxied();
  const topic = await topicOf(log);
  const id = named("q12");
  const writer = await log.openWriter(id);
  proxied.next(apiKeys.endTxn, "mute");
  await rejectsWith("KAPPA_LOG_UNAVAILABLE", writer.append([sectionOf(topic, 0, [at(1, "decided")])]));
  await log.openWriter(id);
  assert.deepEqual(await valuesIn(log, topic), ["decided"]);
});

async function until(holds: () => boolean, what: string, withinMs = 10_000): Promise<void> {
  for (let waitedMs = 0; !holds(); waitedMs += 10) {
    if (waitedMs > withinMs) throw new Error(`waited ${withinMs} ms for ${what}`);
    await sleep(10);
  }
}

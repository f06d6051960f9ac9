import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, inject, onTestFinished, test } from "vitest";
import type { ErrorCode } from "../../src/core/errors.ts";
import { KappaError } from "../../src/core/errors.ts";
import { Engine } from "../../src/engine/engine.ts";
import { groupMembership, KafkaLog } from "../../src/kafka.ts";
import { nextBatch } from "../../src/log/record-at.ts";
import { RecordBatchReader } from "../../src/log/record-batch.ts";
import { append, at } from "../../src/testing/log-case.ts";
import { eventually } from "../cli/kappa-process.ts";

// Goal: when somebody takes away from under an application what it reads or stands on, it goes on without a loss, or ends
// with an error that says what is gone; it neither hangs nor skips nor counts twice. Each within a minute.

const kafka = { bootstrapServers: [inject("kafkaBootstrapServers")], clientId: "traps" };
const admin = new Kafka({ brokers: [...kafka.bootstrapServers], logLevel: logLevel.NOTHING }).admin();
beforeAll(() => admin.connect());
afterAll(() => admin.disconnect());

const withinMs = 60_000;

/** An application of one partition with names of its own: what comes in is counted by key. */
class Application {
  readonly name = `trap-${randomUUID()}`;
  readonly #log: KafkaLog;
  readonly #dataDir = mkdtempSync(join(tmpdir(), "kappa-traps-"));
  #engine: Engine | undefined;
  #appended = 0;

  private constructor(log: KafkaLog) {
    this.#log = log;
  }

  static async create(): Promise<Application> {
    const application = new Application(await KafkaLog.open(kafka));
    await application.#log.createTopic(application.input, { partitions: 1 });
    onTestFinished(async () => {
      await application.stop().catch(() => {});
      await application.#log.close();
      rmSync(application.#dataDir, { recursive: true, force: true });
    });
    return application;
  }

  get input(): string {
    return `${this.name}-in`;
  }

  get commits(): string {
    return `${this.name}-commits`;
  }

  /** Every start is that of a new process: nothing is remembered of the log. */
  async start(): Promise<void> {
    const log = await KafkaLog.open(kafka);
    const { name } = this;
    this.#engine = await Engine.start({
      topology: { module: new URL("./kafka-trap-topology.ts", import.meta.url).href, parameters: { name } },
      log,
      dataDir: this.#dataDir,
      threads: 1,
      settings: { flushIntervalMs: 100 },
      membership: groupMembership({ kafka }),
    });
    void this.#engine.finished.catch(() => {}).finally(() => log.close());
  }

  async stop(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    await engine?.stop();
  }

  /** Deletes the local state, as another machine would not have it. */
  forgetState(): void {
    rmSync(join(this.#dataDir, "state"), { recursive: true, force: true });
  }

  async append(count: number): Promise<void> {
    const records = Array.from({ length: count }, () => at(1_700_000_000_000 + this.#appended++, `{"key":"k"}`));
    await append(this.#log, this.input, 0, records);
  }

  /** The counts that were written, once there are so many. */
  async counts(atLeast: number): Promise<number[]> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      const counts = await this.#counts();
      if (counts.length >= atLeast) return counts;
      if (performance.now() > endMs) throw new Error(`${counts.length} of ${atLeast} records came`);
      await this.#unlessFailed(sleep(100));
    }
  }

  async #counts(): Promise<number[]> {
    const cursor = await this.#log.openCursor(`${this.name}-out`, 0, 0n, "durable");
    const reader = new RecordBatchReader();
    const counts: number[] = [];
    for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
      reader.reset(batch.bytes);
      while (reader.next()) counts.push((JSON.parse(String(reader.value())) as { count: number }).count);
    }
    cursor.close();
    return counts;
  }

  async #unlessFailed(promise: Promise<unknown>): Promise<void> {
    const failed = this.#engine?.finished;
    await Promise.race([promise, ...(failed === undefined ? [] : [failed])]);
  }

  /** The application ends by itself, with an error that says what is wrong. */
  async endsWith(codes: ErrorCode | readonly ErrorCode[], says: RegExp): Promise<void> {
    const engine = this.#engine;
    assert.ok(engine !== undefined);
    const late = sleep(withinMs).then(() => Promise.reject(new Error(`it still runs after ${withinMs} ms`)));
    await assert.rejects(Promise.race([engine.finished, late]), (error: Error) => {
      assert.ok(error instanceof KappaError, String(error));
      assert.ok([codes].flat().includes(error.code) && says.test(error.message), `${error.code} ${error.message}`);
      return true;
    });
    this.#engine = undefined;
  }

  async deleteRecords(topic: string, before: bigint): Promise<void> {
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(before) }] });
  }

  end(topic: string): Promise<bigint> {
    return this.#log.endOffset(topic, 0);
  }

  /** Deletes a topic and makes it anew. */
  async recreate(topic: string): Promise<void> {
    await deleteTopic(topic);
    // A log that has not met the topic: it resolves when the new one can be written.
    const log = await KafkaLog.open(kafka);
    await log.createTopic(topic, { partitions: 1 }).finally(() => log.close());
  }
}

/** Deletes a topic, and waits until the broker has none of that name. The controller is never behind the broker in it. */
async function deleteTopic(topic: string): Promise<void> {
  await admin.deleteTopics({ topics: [topic] });
  await eventually(async () => !(await admin.listTopics()).includes(topic), withinMs);
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** An application that has counted to 20 and stands still. */
async function counted(): Promise<Application> {
  const application = await Application.create();
  await application.append(20);
  await application.start();
  assert.deepEqual(await application.counts(20), upTo(20));
  return application;
}

test("input that expired before it was read ends the application, which says where it was", {
  timeout: 90_000,
}, async () => {
  const application = await counted();
  await application.stop();
  await application.append(10);
  await application.deleteRecords(application.input, 25n);
  await application.start();
  await application.endsWith("KAPPA_LOG_TRUNCATED", /-in\[0\] is not held, the log has 25 to/);
});

test("input that expired behind the position is no matter", { timeout: 90_000 }, async () => {
  const application = await counted();
  await application.deleteRecords(application.input, 15n);
  await application.append(10);
  assert.deepEqual(await application.counts(30), upTo(30));
  await application.stop();
  await application.start();
  await application.append(10);
  assert.deepEqual(await application.counts(40), upTo(40));
});

test("commits that were deleted behind the local state are no matter", { timeout: 90_000 }, async () => {
  const application = await counted();
  await application.stop();
  const end = await application.end(application.commits);
  await application.deleteRecords(application.commits, end - 2n);
  await application.append(10);
  await application.start();
  assert.deepEqual(await application.counts(30), upTo(30));
});

test("commits that state would have to be restored from, and that are gone, end the application", {
  timeout: 90_000,
}, async () => {
  const application = await counted();
  await application.append(10);
  assert.deepEqual(await application.counts(30), upTo(30));
  await application.stop();
  await application.deleteRecords(application.commits, (await application.end(application.commits)) - 2n);
  application.forgetState();
  await application.append(10);
  await application.start();
  await application.endsWith("KAPPA_LOG_TRUNCATED", /-commits\[0\]/);
});

test("positions that are gone with all commits end the application: it does not begin anew", {
  timeout: 90_000,
}, async () => {
  const application = await counted();
  await application.stop();
  await application.deleteRecords(application.commits, await application.end(application.commits));
  await application.start();
  await application.endsWith("KAPPA_LOG_TRUNCATED", /-commits\[0\]/);
});

test("a commits topic that was deleted ends the application: it does not begin anew", { timeout: 90_000 }, async () => {
  const application = await counted();
  await application.stop();
  await deleteTopic(application.commits);
  await assert.rejects(application.start(), { code: "KAPPA_LOG_TRUNCATED", message: /under a new application id/ });
});

for (const records of [5, 50])
  test(`an input that was deleted and made anew with ${records} records ends the application that reads it`, {
    timeout: 90_000,
  }, async () => {
    const application = await counted();
    await application.recreate(application.input);
    await application.append(records);
    // Whether it notices that the topic was away, or only that this is another one, is a matter of moments.
    await application.endsWith(["KAPPA_LOG_TRUNCATED", "KAPPA_TOPIC_UNKNOWN"], /-in/);
  });

for (const records of [5, 50])
  test(`an input that was deleted and made anew with ${records} records ends the application that comes back to it`, {
    timeout: 90_000,
  }, async () => {
    const application = await counted();
    await application.stop();
    await application.recreate(application.input);
    await application.append(records);
    await application.start();
    await application.endsWith("KAPPA_LOG_TRUNCATED", /-in/);
  });

test("an input that was deleted ends the application that reads it", { timeout: 90_000 }, async () => {
  const application = await counted();
  await admin.deleteTopics({ topics: [application.input] });
  await application.endsWith("KAPPA_TOPIC_UNKNOWN", /-in/);
});

test("partitions that are added to an input end the application that reads it, and one that comes back to it", {
  timeout: 150_000,
}, async () => {
  const application = await counted();
  await admin.createPartitions({ topicPartitions: [{ topic: application.input, count: 2 }] });
  await application.endsWith("KAPPA_TOPIC_MISMATCH", /2 partitions/);
  await assert.rejects(application.start(), { code: "KAPPA_TOPIC_MISMATCH" });
});

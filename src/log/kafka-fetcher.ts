import { setTimeout as sleep } from "node:timers/promises";
import errors from "kafkajs/src/protocol/error.js";
import { type KafkaClient, partitionEnds } from "./kafka-client.ts";
import type { CursorHost, KafkaCursor } from "./kafka-cursor.ts";
import { kafkaError, kafkaErrors } from "./kafka-error.ts";
import { type FetchedPartition, fetchExchange, type PartitionAnswer } from "./kafka-fetch.ts";
import { KafkaRecordDecoder } from "./kafka-record-decoder.ts";
import { outOfRange } from "./offset-range.ts";

/** How long a broker holds a request for which it has nothing. Bounds how long a cursor that has just caught up waits. */
const pollMs = 100;
/** Bytes of one answer, and of one partition in it. */
const answerBytesMax = 16 * 1024 * 1024;
const partitionBytesMax = 1024 * 1024;
/** Between two attempts to reach a broker that failed, in ms; doubled up to the second. */
const backoffMs = 20;
const backoffMaxMs = 1000;

/** One of the two conversations with a broker. */
interface Loop {
  readonly node: number;
  /** Whether it asks for cursors at their end and lets the broker wait; else for those that are behind, at once. */
  readonly polls: boolean;
  wake: (() => void) | undefined;
}

/**
 * Keeps cursors filled. For each broker there are two loops on connections of their own: one asks for what is known to be
 * there, the other waits for what is still to come. A broker answers the requests of a connection one after the other,
 * so a cursor that is behind must not stand behind a request that waits.
 */
export class KafkaFetcher implements CursorHost {
  readonly #client: KafkaClient;
  readonly #pollingClient: KafkaClient;
  readonly #arrived: () => void;
  readonly #cursors = new Map<KafkaCursor, number>();
  readonly #loops: Loop[] = [];
  readonly #decoder = new KafkaRecordDecoder();
  readonly #closing = new AbortController();
  readonly #running: Promise<void>[] = [];
  #turn = 0;
  /** Requests so far. */
  #asks = 0;

  /** @param arrived called whenever a cursor got something */
  constructor(client: KafkaClient, pollingClient: KafkaClient, arrived: () => void) {
    this.#client = client;
    this.#pollingClient = pollingClient;
    this.#arrived = arrived;
  }

  /** Begins to fill a cursor. */
  add(cursor: KafkaCursor, leader: number): void {
    this.#cursors.set(cursor, leader);
    this.#loopsOf(leader);
    this.#wake(leader);
  }

  drained(cursor: KafkaCursor): void {
    const leader = this.#cursors.get(cursor);
    if (leader === undefined) return;
    if (cursor.closed) this.#cursors.delete(cursor);
    else this.#wake(leader);
  }

  #loopsOf(node: number): void {
    if (this.#loops.some((loop) => loop.node === node)) return;
    for (const polls of [false, true]) {
      const loop: Loop = { node, polls, wake: undefined };
      this.#loops.push(loop);
      this.#running.push(this.#run(loop));
    }
  }

  #wake(node: number): void {
    for (const loop of this.#loops) if (loop.node === node) loop.wake?.();
  }

  async #run(loop: Loop): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      const cursors = this.#wanted(loop);
      if (cursors.length === 0) {
        await new Promise<void>((resolve) => {
          loop.wake = resolve;
        });
        loop.wake = undefined;
        continue;
      }
      this.#asks++;
      for (const cursor of cursors) {
        cursor.underWay = true;
        cursor.askedAt = this.#asks;
      }
      let sound = false;
      try {
        sound = await this.#fetch(loop, cursors);
      } catch {
        // Surroundings: whoever waits for a record goes on waiting. Opening a cursor says what is wrong.
      }
      for (const cursor of cursors) cursor.underWay = false;
      if (sound) failures = 0;
      else if (!signal.aborted) {
        await sleep(Math.min(backoffMaxMs, backoffMs * 2 ** failures++), undefined, { signal }).catch(() => {});
        await this.#relocate(cursors);
      }
      this.#wake(loop.node);
    }
  }

  /** Cursors to ask for now, beginning with another one each time: a broker fills its answer from the front. */
  #wanted({ node, polls }: Loop): KafkaCursor[] {
    const wanted: KafkaCursor[] = [];
    for (const [cursor, leader] of this.#cursors) {
      if (leader !== node || !cursor.wanting || cursor.atEnd !== polls) continue;
      // A request names a partition once: of several cursors the one that was not asked for the longest.
      const twin = wanted.findIndex(({ topic, partition }) => topic === cursor.topic && partition === cursor.partition);
      if (twin < 0) wanted.push(cursor);
      else if (cursor.askedAt < (wanted[twin] as KafkaCursor).askedAt) wanted[twin] = cursor;
    }
    if (wanted.length < 2) return wanted;
    const first = this.#turn++ % wanted.length;
    return [...wanted.slice(first), ...wanted.slice(0, first)];
  }

  /** @returns whether the broker answered for all of them */
  async #fetch({ node, polls }: Loop, cursors: readonly KafkaCursor[]): Promise<boolean> {
    const client = polls ? this.#pollingClient : this.#client;
    const broker = await client.broker(node);
    const wanted: FetchedPartition[] = cursors.map(({ topic, partition, fetchOffset }) => ({
      topic,
      partition,
      fetchOffset,
    }));
    const limits = { waitMs: polls ? pollMs : 0, bytesMax: answerBytesMax, partitionBytesMax };
    const answer = await broker.connectionPool.send(fetchExchange(wanted, limits));
    if (answer.error !== kafkaErrors.none) return false;
    let sound = true;
    for (const partition of answer.partitions) {
      const cursor = cursors.find((each) => each.topic === partition.topic && each.partition === partition.partition);
      if (cursor === undefined || cursor.closed) continue;
      if (partition.error === kafkaErrors.offsetOutOfRange) await this.#failOutOfRange(cursor);
      else if (!this.#deliver(cursor, partition)) sound = false;
    }
    this.#arrived();
    return sound;
  }

  /** @returns false when the broker could not serve it now */
  #deliver(cursor: KafkaCursor, answer: PartitionAnswer): boolean {
    const { topic, partition, fetchOffset } = cursor;
    const { error, lastStableOffset, aborted, recordSet } = answer;
    if (error !== kafkaErrors.none) {
      const protocolError = errors.createErrorFromCode(error);
      const context = { topic, partition, right: `Read on topic ${topic}` };
      const ours = kafkaError(protocolError, `cannot read ${topic}[${partition}]`, context);
      if (ours.code !== "KAPPA_LOG_REFUSED") return false;
      cursor.fail(ours);
      return true;
    }
    try {
      const set = {
        topic,
        partition,
        bytes: recordSet,
        fetchOffset,
        committedOnly: true,
        abortedTransactions: aborted,
      };
      cursor.receive(this.#decoder.decode(set), this.#decoder.nextOffset, lastStableOffset);
    } catch (problem) {
      cursor.fail(kafkaError(problem, `cannot read ${topic}[${partition}] at ${fetchOffset}`, { topic, partition }));
    }
    return true;
  }

  /** What the partition does hold is not in an answer that refuses: it is asked for. */
  async #failOutOfRange(cursor: KafkaCursor): Promise<void> {
    const { topic, partition, fetchOffset } = cursor;
    const start = await this.#client.offsetOf(topic, partition, partitionEnds.earliest);
    const end = await this.#client.offsetOf(topic, partition, partitionEnds.latest);
    cursor.fail(outOfRange(topic, partition, BigInt(fetchOffset), start, end));
  }

  /** Looks up anew who leads the partitions of cursors whose broker failed. */
  async #relocate(cursors: readonly KafkaCursor[]): Promise<void> {
    await Promise.all([this.#client.refresh(), this.#pollingClient.refresh()]);
    for (const cursor of cursors) {
      if (!this.#cursors.has(cursor)) continue;
      try {
        const leader = await this.#client.leaderOf(cursor.topic, cursor.partition);
        this.#cursors.set(cursor, leader);
        this.#loopsOf(leader);
        this.#wake(leader);
      } catch (error) {
        const ours = kafkaError(error, `cannot read ${cursor.topic}[${cursor.partition}]`);
        if (ours.code === "KAPPA_TOPIC_UNKNOWN") cursor.fail(ours);
      }
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const cursor of this.#cursors.keys()) cursor.close();
    for (const loop of this.#loops) loop.wake?.();
    await Promise.all([this.#client.close(), this.#pollingClient.close()]);
    await Promise.all(this.#running);
  }
}

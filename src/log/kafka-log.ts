import type { Admin } from "kafkajs";
import { type Clock, systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { ChangeSignal } from "./change-signal.ts";
import { connectAdmin } from "./kafka-admin.ts";
import { KafkaClient, partitionEnds } from "./kafka-client.ts";
import { KafkaCursor } from "./kafka-cursor.ts";
import { kafkaError, typeOf } from "./kafka-error.ts";
import { KafkaFetcher } from "./kafka-fetcher.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { KafkaWriter } from "./kafka-writer.ts";
import type { Cursor, Log, Topic, TopicConfig, TopicIdentity, Visibility, Writer } from "./log.ts";
import { outOfRange } from "./offset-range.ts";
import { offsetForTime } from "./record-at.ts";
import { checkSamePartitions, topicOf } from "./topic.ts";
import { transactionBytesMax } from "./transaction.ts";

/** A number of kafkajs' for "a topic", as describeConfigs wants it. */
const topicResource = 2;

/** Records are deleted for good by a request to the broker: not more often than this for a partition, in ms. */
const trimEveryMs = 10_000;

/** The largest the broker takes. */
const anyTimeMs = "9223372036854775807";

/** How long a topic that was created may take until it has leaders, in ms. */
const createdWithinMs = 15_000;

/**
 * Apache Kafka as the log. Readers are read-committed, so what is written and what is durable are the same here; writers
 * are transactional producers. kafkajs connects, authenticates and administers; fetching, producing and transactions are
 * on its calls to single brokers (docs/decisions/0009-kafkajs-below-its-api.md).
 */
export class KafkaLog implements Log {
  readonly #options: KafkaOptions;
  readonly #clock: Clock;
  readonly #client: KafkaClient;
  readonly #fetcher: KafkaFetcher;
  readonly #signal = new ChangeSignal();
  readonly #writers = new Set<KafkaWriter>();
  readonly #trimmedMs = new Map<string, number>();
  readonly #topics = new Map<string, Topic>();
  #admin: Promise<Admin> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: KafkaOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#client = new KafkaClient(options);
    this.#fetcher = new KafkaFetcher(this.#client, new KafkaClient(options), () => this.#signal.raise());
  }

  /** @throws KAPPA_LOG_UNAVAILABLE, KAPPA_LOG_REFUSED */
  static async open(options: KafkaOptions, clock: Clock = systemClock): Promise<KafkaLog> {
    const log = new KafkaLog(options, clock);
    try {
      await log.#client.greet();
      return log;
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /** What another thread opens the same log with. */
  get options(): KafkaOptions {
    return this.#options;
  }

  async #administer<Result>(doing: string, right: string, use: (admin: Admin) => Promise<Result>): Promise<Result> {
    this.#admin ??= connectAdmin(this.#options);
    const connecting = this.#admin;
    let admin: Admin | undefined;
    try {
      admin = await connecting;
      return await use(admin);
    } catch (error) {
      // Who answers can be asked again, whatever the answer was; a connection that brought none is of no use any more.
      if (admin === undefined || typeOf(error) === "") {
        if (this.#admin === connecting) this.#admin = undefined;
        void admin?.disconnect().catch(() => {});
      }
      throw kafkaError(error, doing, { right });
    }
  }

  async createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): Promise<void> {
    const wanted = topicOf(name, config);
    const existing = await this.topic(name);
    if (existing !== undefined) {
      checkSamePartitions(existing, wanted);
      return;
    }
    await this.#administer(`cannot create topic ${name}`, `Create on topic ${name}`, async (admin) => {
      try {
        await admin.createTopics({
          waitForLeaders: false,
          topics: [
            {
              topic: name,
              numPartitions: wanted.partitions,
              replicationFactor: this.#options.replicationFactor ?? -1,
              configEntries: [
                { name: "cleanup.policy", value: "delete" },
                // Brokers delete by time unless told: a history that was loaded today would be gone tomorrow.
                { name: "retention.ms", value: String(wanted.retentionMs) },
                { name: "retention.bytes", value: String(wanted.retentionBytes) },
                // One record holds all that a commit changed, another a dead letter of a megabyte and its headers.
                { name: "max.message.bytes", value: String(transactionBytesMax) },
                // Record times are event times: any are right, also those a broker thinks too early or too late.
                { name: "message.timestamp.type", value: "CreateTime" },
                { name: "message.timestamp.before.max.ms", value: anyTimeMs },
                { name: "message.timestamp.after.max.ms", value: anyTimeMs },
              ],
            },
          ],
        });
      } catch (error) {
        if (!alreadyThere(error)) throw error;
      }
    });
    const created = await this.#whenLed(name, wanted.partitions);
    checkSamePartitions(created, wanted);
  }

  async #whenLed(name: string, partitions: number): Promise<Topic> {
    const endMs = this.#clock.monotonic() + createdWithinMs;
    for (;;) {
      try {
        const topic = await this.topic(name);
        if (topic !== undefined) {
          // Metadata names a leader before that broker knows that it is one.
          for (let p = 0; p < Math.min(partitions, topic.partitions); p++) await this.endOffset(name, p);
          return topic;
        }
      } catch (error) {
        const refused = error instanceof KappaError && error.code === "KAPPA_LOG_REFUSED";
        if (refused || this.#clock.monotonic() > endMs) throw error;
      }
      if (this.#clock.monotonic() > endMs)
        throw new KappaError(
          "KAPPA_LOG_UNAVAILABLE",
          `topic ${name} was created and has no leader after ${createdWithinMs} ms`,
        );
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async topic(name: string): Promise<Topic | undefined> {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    const partitions = await this.#client.partitionsOf(name);
    if (partitions === 0) return undefined;
    const [topic] = await this.#describe([{ name, partitions }]);
    if (topic !== undefined) this.#topics.set(name, topic);
    return topic;
  }

  async identify(name: string): Promise<TopicIdentity | undefined> {
    this.#checkOpen();
    try {
      return await this.#client.identityOf(name);
    } catch (error) {
      throw kafkaError(error, `cannot look at topic ${name}`, { topic: name });
    }
  }

  /** Every topic of the cluster but its own. */
  async topics(): Promise<readonly Topic[]> {
    const { topics } = await this.#administer("cannot list topics", "Describe on the topics", (admin) =>
      admin.fetchTopicMetadata(),
    );
    const own = topics.filter(({ name }) => !name.startsWith("__"));
    return await this.#describe(own.map(({ name, partitions }) => ({ name, partitions: partitions.length })));
  }

  async #describe(topics: readonly { readonly name: string; readonly partitions: number }[]): Promise<Topic[]> {
    if (topics.length === 0) return [];
    const configNames = ["retention.ms", "retention.bytes"];
    const names = topics.length === 1 ? `topic ${topics[0]?.name}` : "the topics";
    const doing = `cannot read the configuration of ${names}`;
    const { resources } = await this.#administer(doing, `DescribeConfigs on ${names}`, (admin) =>
      admin.describeConfigs({
        includeSynonyms: false,
        resources: topics.map(({ name }) => ({ type: topicResource, name, configNames })),
      }),
    );
    const configs = new Map(resources.map((each) => [each.resourceName, each.configEntries]));
    return topics.map(({ name, partitions }) => {
      const numberOf = (option: string): number =>
        Number(configs.get(name)?.find(({ configName }) => configName === option)?.configValue ?? -1);
      return { name, partitions, retentionMs: numberOf("retention.ms"), retentionBytes: numberOf("retention.bytes") };
    });
  }

  async openWriter(id: string): Promise<Writer> {
    this.#checkOpen();
    const writer = await KafkaWriter.open(id, this.#options, this.#clock);
    for (const each of this.#writers) if (each.closed) this.#writers.delete(each);
    this.#writers.add(writer);
    return writer;
  }

  async openCursor(topic: string, partition: number, from: bigint, _visibility: Visibility): Promise<Cursor> {
    this.#checkOpen();
    const [leader, end] = [await this.#client.leaderOf(topic, partition), await this.endOffset(topic, partition)];
    if (from > end) throw outOfRange(topic, partition, from, await this.startOffset(topic, partition), end);
    const cursor = new KafkaCursor(topic, partition, Number(from), this.#fetcher);
    this.#fetcher.add(cursor, leader);
    return cursor;
  }

  startOffset(topic: string, partition: number): Promise<bigint> {
    return this.#offset(topic, partition, partitionEnds.earliest);
  }

  endOffset(topic: string, partition: number, _visibility: Visibility = "durable"): Promise<bigint> {
    return this.#offset(topic, partition, partitionEnds.latest);
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<bigint> {
    const found = await this.#offset(topic, partition, timeMs);
    if (found < 0n) return await this.endOffset(topic, partition);
    // The broker counts markers of transactions too, whose time is the clock's: the record may stand further on.
    const cursor = await this.openCursor(topic, partition, found, "durable");
    try {
      return await offsetForTime(cursor, timeMs);
    } finally {
      cursor.close();
    }
  }

  async #offset(topic: string, partition: number, timestamp: number): Promise<bigint> {
    this.#checkOpen();
    try {
      return await this.#client.offsetOf(topic, partition, timestamp);
    } catch (error) {
      if (kafkaError(error, "").code !== "KAPPA_LOG_UNAVAILABLE") throw this.#unreadable(error, topic, partition);
    }
    // Leaders move, and connections end.
    await this.#client.refresh();
    try {
      return await this.#client.offsetOf(topic, partition, timestamp);
    } catch (error) {
      throw this.#unreadable(error, topic, partition);
    }
  }

  #unreadable(error: unknown, topic: string, partition: number): KappaError {
    const right = `Describe on topic ${topic}`;
    return kafkaError(error, `cannot read ${topic}[${partition}]`, { topic, partition, right });
  }

  async trimTo(topic: string, partition: number, offset: bigint): Promise<void> {
    const name = `${topic} ${partition}`;
    const nowMs = this.#clock.monotonic();
    if (nowMs - (this.#trimmedMs.get(name) ?? Number.NEGATIVE_INFINITY) < trimEveryMs) return;
    this.#trimmedMs.set(name, nowMs);
    if (offset <= (await this.startOffset(topic, partition))) return;
    try {
      const broker = await this.#client.leader(topic, partition);
      await broker.deleteRecords({ topics: [{ topic, partitions: [{ partition, offset: String(offset) }] }] });
    } catch (error) {
      const right = `Delete on topic ${topic}`;
      const doing = `cannot delete records of ${topic}[${partition}] before ${offset}`;
      throw kafkaError(error, doing, { topic, partition, right });
    }
  }

  changed(timeoutMs: number): Promise<void> {
    return this.#signal.wait(timeoutMs);
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new KappaError("KAPPA_LOG_CLOSED", "the connection to Kafka is closed");
  }

  /** Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled([...this.#writers].map((writer) => writer.close()));
    await this.#fetcher.close();
    const admin = await this.#admin?.catch(() => undefined);
    await admin?.disconnect().catch(() => {});
  }
}

/** kafkajs wraps the errors of several topics. */
function alreadyThere(error: unknown): boolean {
  if (typeOf(error) === "TOPIC_ALREADY_EXISTS") return true;
  return error instanceof AggregateError || (error instanceof Error && "errors" in error && Array.isArray(error.errors))
    ? (error as AggregateError).errors.every((each) => typeOf(each) === "TOPIC_ALREADY_EXISTS")
    : false;
}

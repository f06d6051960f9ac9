import { connect, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import Cluster, { type Broker } from "kafkajs/src/cluster/index.js";
import loggers from "kafkajs/src/loggers/index.js";
import RequestQueue from "kafkajs/src/network/requestQueue/index.js";
import errors from "kafkajs/src/protocol/error.js";
import { systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { kafkaError, kafkaErrors, typeOf } from "./kafka-error.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { identityExchange, metadataKey, metadataVersion } from "./kafka-topic-identity.ts";
import type { TopicIdentity } from "./log.ts";
import { unknownTopic } from "./topic.ts";

/** Who coordinates what, as FindCoordinator numbers it. */
const coordinatorTypes = { group: 0, transaction: 1 } as const;

const coordinatorAttempts = 3;

const readCommitted = 1;
/** Times that `offsetOf` takes for the two ends of a partition. */
export const partitionEnds = { latest: -1, earliest: -2 } as const;
const connectionTimeoutMs = 3000;
const keepAliveMs = 60_000;

/** kafkajs logs what it also throws. */
const silent = loggers.createLogger({ level: 0, logCreator: () => () => {} });

/**
 * After every answer kafkajs looks at its queue again a millisecond later, for ever: a thousand timers a second for each
 * connection, and a warning of Node about their negative times. Only a queue that holds something needs the look.
 */
const scheduleCheck = RequestQueue.prototype.scheduleCheckPendingRequests;
RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
  if (this.pending.length > 0 || this.throttledUntil > systemClock.now()) scheduleCheck.call(this);
};

/**
 * Connections of its own to the brokers of a cluster, and what is known of it: leaders and coordinators. kafkajs does the
 * connecting, the authentication and the framing of requests.
 */
export class KafkaClient {
  readonly #cluster: Cluster;
  readonly #servers: string;
  #connecting: Promise<void> | undefined;
  /** The last look at topics; the next one begins behind it. */
  #learning: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: KafkaOptions) {
    const { bootstrapServers, clientId, tls, sasl, requestTimeoutMs = 10_000 } = options;
    this.#servers = bootstrapServers.join(", ");
    this.#cluster = new Cluster({
      logger: silent,
      socketFactory: ({ host, port, onConnect }) => {
        // Requests of several writers share a connection: Nagle's algorithm would hold the second one back.
        const named = isIP(host) === 0 ? { servername: host } : {};
        const socket =
          tls === undefined
            ? connect({ host, port }, onConnect)
            : connectTls({ ...named, ...tls, host, port }, onConnect);
        socket.setNoDelay(true);
        socket.setKeepAlive(true, keepAliveMs);
        // kafkajs keeps a socket that is dead and unrefs it with every disconnect; Node then listens for its connecting
        // once more each time, which never comes.
        const unref = socket.unref.bind(socket);
        socket.unref = () => (socket.destroyed ? socket : unref());
        return socket;
      },
      brokers: bootstrapServers,
      ssl: tls,
      // A copy: kafkajs puts a function into it, and the options travel to threads.
      sasl: sasl && { ...sasl },
      clientId,
      connectionTimeout: connectionTimeoutMs,
      authenticationTimeout: connectionTimeoutMs,
      reauthenticationThreshold: connectionTimeoutMs,
      requestTimeout: requestTimeoutMs,
      enforceRequestTimeout: true,
      metadataMaxAge: 300_000,
      retry: { initialRetryTime: 10, maxRetryTime: 200, retries: 2 },
      allowAutoTopicCreation: false,
      isolationLevel: readCommitted,
    });
  }

  /** Safe to call again. @throws KAPPA_LOG_UNAVAILABLE, KAPPA_LOG_REFUSED; KAPPA_LOG_CLOSED after `close` */
  async connect(): Promise<void> {
    if (this.#closed) throw new KappaError("KAPPA_LOG_CLOSED", `the connection to ${this.#servers} is closed`);
    this.#connecting ??= this.#cluster.connect();
    try {
      await this.#connecting;
    } catch (error) {
      this.#connecting = undefined;
      throw kafkaError(error, `cannot reach Kafka at ${this.#servers}`);
    }
  }

  /** Asks for something: a listener that wants a user lets a connection without one come this far. */
  async greet(): Promise<void> {
    await this.connect();
    try {
      await this.#cluster.refreshMetadata();
    } catch (error) {
      throw kafkaError(error, `cannot reach Kafka at ${this.#servers}`);
    }
  }

  /** The node that leads a partition. @throws KAPPA_TOPIC_UNKNOWN, KAPPA_LOG_UNAVAILABLE */
  async leaderOf(topic: string, partition: number): Promise<number> {
    const known = this.#leader(topic, partition);
    if (known >= 0) return known;
    await this.#learn(topic, partition);
    const leader = this.#leader(topic, partition);
    if (leader >= 0) return leader;
    const partitions = this.#cluster.findTopicPartitionMetadata(topic).length;
    if (partition < 0 || partition >= partitions) {
      const topicKnown = { name: topic, partitions, retentionMs: -1, retentionBytes: -1 };
      throw unknownTopic(topic, partition, topicKnown);
    }
    throw new KappaError("KAPPA_LOG_UNAVAILABLE", `${topic}[${partition}] has no leader at present`, {
      topic,
      partition,
    });
  }

  #leader(topic: string, partition: number): number {
    if (!this.#cluster.targetTopics.has(topic)) return -1;
    const found = this.#cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition);
    return found?.leader ?? -1;
  }

  /** Partitions of a topic, or 0 when there is no such topic. @throws KAPPA_LOG_UNAVAILABLE */
  async partitionsOf(topic: string): Promise<number> {
    try {
      await this.#learn(topic);
    } catch (error) {
      if (
        error instanceof KappaError &&
        (error.code === "KAPPA_TOPIC_UNKNOWN" || error.code === "KAPPA_CONFIG_INVALID")
      )
        return 0;
      throw error;
    }
    return this.#cluster.findTopicPartitionMetadata(topic).length;
  }

  /**
   * One at a time: kafkajs answers a look that begins during another with the answer to that one, in which the topic may
   * be missing.
   */
  #learn(topic: string, partition = -1): Promise<void> {
    const learned = this.#learning.then(async () => {
      if (partition < 0 || this.#leader(topic, partition) < 0) await this.#look(topic);
    });
    this.#learning = learned.catch(() => {});
    return learned;
  }

  async #look(topic: string): Promise<void> {
    await this.connect();
    const { targetTopics } = this.#cluster;
    try {
      if (targetTopics.has(topic)) await this.#cluster.refreshMetadata();
      else await this.#cluster.addTargetTopic(topic);
      // While a look at other topics is under way kafkajs gives its answer to this one too, which says nothing of it.
      if (this.#cluster.findTopicPartitionMetadata(topic).length === 0) await this.#cluster.refreshMetadata();
    } catch (error) {
      // One topic that was deleted would make every look at the others fail.
      if (typeOf(error) === "UNKNOWN_TOPIC_OR_PARTITION") {
        this.#cluster.targetTopics = new Set();
        throw unknownTopic(topic, 0, undefined);
      }
      throw kafkaError(error, `cannot look at topic ${topic}`, { topic, right: `Describe on topic ${topic}` });
    }
  }

  /** What is known of leaders may be old: asks again. */
  async refresh(): Promise<void> {
    if (this.#closed) return;
    try {
      const refreshed = this.#learning.then(async () => {
        await this.connect();
        await this.#cluster.refreshMetadata();
      });
      this.#learning = refreshed.catch(() => {});
      await refreshed;
    } catch {
      // Whoever asked tries again, and then learns what is wrong.
      this.#cluster.targetTopics = new Set();
    }
  }

  async broker(nodeId: number): Promise<Broker> {
    await this.connect();
    return await this.#cluster.findBroker({ nodeId });
  }

  async leader(topic: string, partition: number): Promise<Broker> {
    return await this.broker(await this.leaderOf(topic, partition));
  }

  /** The offset that a partition has for a time, as read-committed readers see it; -1 for none. */
  async offsetOf(topic: string, partition: number, timestamp: number): Promise<bigint> {
    const broker = await this.leader(topic, partition);
    const { responses } = await broker.listOffsets({
      replicaId: -1,
      isolationLevel: readCommitted,
      topics: [{ topic, partitions: [{ partition, timestamp }] }],
    });
    return BigInt(responses[0]?.partitions[0]?.offset ?? -1);
  }

  /** What stands behind the name of a topic now; undefined when nothing does, or the broker is older than 3.0. */
  async identityOf(topic: string): Promise<TopicIdentity | undefined> {
    await this.connect();
    const broker = await this.#cluster.brokerPool.findConnectedBroker();
    if ((broker.versions?.[metadataKey]?.maxVersion ?? 0) < metadataVersion) return undefined;
    const { error, identity } = await broker.connectionPool.send(identityExchange(topic));
    if (error === kafkaErrors.unknownTopicOrPartition) return undefined;
    if (error !== kafkaErrors.none) throw errors.createErrorFromCode(error);
    return identity;
  }

  /**
   * The broker that coordinates a group or a transactional id. kafkajs' own search says that there is none, whatever the
   * brokers have answered: that the topic of transactions is just being made, or that the user has no right.
   */
  async coordinator(kind: keyof typeof coordinatorTypes, id: string): Promise<Broker> {
    const question = { groupId: id, coordinatorType: coordinatorTypes[kind] };
    for (let attempt = 1; ; attempt++) {
      await this.connect();
      try {
        const broker = await this.#cluster.brokerPool.findConnectedBroker();
        const { coordinator } = await broker.findGroupCoordinator(question);
        return await this.#cluster.findBroker(coordinator);
      } catch (error) {
        // An answer is an answer; a connection that has ended, or a broker that is new, says nothing.
        if (typeOf(error) !== "" || attempt === coordinatorAttempts) throw error;
        await this.refresh();
      }
    }
  }

  /** Ends the connections, once the requests under way are answered or have timed out; none is made after. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#cluster.disconnect().catch(() => {});
  }
}

import type { Admin } from "kafkajs";
import { connectAdmin } from "./kafka-admin.ts";
import { kafkaError } from "./kafka-error.ts";
import type { KafkaOptions } from "./kafka-options.ts";

/** Numbers of kafkajs' for what describeConfigs is asked about. */
const resources = { topic: 2, broker: 4 } as const;

/** Values by option name, as text; an option that the brokers do not tell is absent. */
export type KafkaConfig = ReadonlyMap<string, string>;

/** How the copies of a topic are. */
export interface TopicReplicas {
  readonly name: string;
  readonly partitions: number;
  /** Copies of the partition that has the fewest. */
  readonly replicas: number;
  /** Copies that are up to date, of the partition that has the fewest. */
  readonly inSync: number;
}

/** A group as its coordinator sees it. */
export interface GroupDescription {
  /** `Stable`, `Empty`, `PreparingRebalance`, ...; `Dead` when there is none. */
  readonly state: string;
  /** `consumer` for groups that share topics. */
  readonly protocolType: string;
  /** How the members share out tasks; "" without members. */
  readonly protocol: string;
  readonly members: readonly { readonly clientId: string; readonly host: string }[];
}

/** A cluster itself: its brokers and how they are set, its groups. The records of its topics are `KafkaLog`'s. */
export class KafkaCluster {
  readonly #admin: Admin;

  private constructor(admin: Admin) {
    this.#admin = admin;
  }

  /** @throws KAPPA_LOG_UNAVAILABLE, KAPPA_LOG_REFUSED */
  static async connect(options: KafkaOptions): Promise<KafkaCluster> {
    try {
      return new KafkaCluster(await connectAdmin(options));
    } catch (error) {
      throw kafkaError(error, `cannot reach Kafka at ${options.bootstrapServers.join(", ")}`);
    }
  }

  async #ask<Answer>(doing: string, right: string, question: Promise<Answer>): Promise<Answer> {
    try {
      return await question;
    } catch (error) {
      throw kafkaError(error, doing, { right });
    }
  }

  /** What tells the cluster from any other, and its brokers. */
  async describe(): Promise<{ readonly id: string; readonly brokers: readonly number[] }> {
    const { clusterId, brokers } = await this.#ask(
      "cannot describe the cluster",
      "Describe on the cluster",
      this.#admin.describeCluster(),
    );
    return { id: clusterId, brokers: brokers.map(({ nodeId }) => nodeId) };
  }

  /** How a topic is kept. @throws KAPPA_LOG_REFUSED, KAPPA_TOPIC_UNKNOWN */
  topicConfig(name: string, optionNames: readonly string[]): Promise<KafkaConfig> {
    return this.#config(`topic ${name}`, resources.topic, name, optionNames);
  }

  /** How a broker is set. */
  brokerConfig(node: number, optionNames: readonly string[]): Promise<KafkaConfig> {
    return this.#config(`broker ${node}`, resources.broker, String(node), optionNames);
  }

  async #config(what: string, type: number, name: string, optionNames: readonly string[]): Promise<KafkaConfig> {
    const question = this.#admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type, name, configNames: [...optionNames] }],
    });
    const right = `DescribeConfigs on ${what}`;
    const answer = await this.#ask(`cannot read the configuration of ${what}`, right, question);
    const entries = answer.resources[0]?.configEntries ?? [];
    return new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
  }

  /** How the copies of topics are; topics that do not exist are refused. @throws KAPPA_TOPIC_UNKNOWN */
  async replicas(names: readonly string[]): Promise<readonly TopicReplicas[]> {
    const question = this.#admin.fetchTopicMetadata({ topics: [...names] });
    const { topics } = await this.#ask(`cannot look at ${names.join(", ")}`, "Describe on the topics", question);
    return topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.length,
      replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
      inSync: Math.min(...partitions.map(({ isr }) => isr.length)),
    }));
  }

  /** @throws KAPPA_LOG_REFUSED */
  async group(groupId: string): Promise<GroupDescription> {
    const right = `Describe on group ${groupId}`;
    const question = this.#admin.describeGroups([groupId]);
    const { groups } = await this.#ask(`cannot look at group ${groupId}`, right, question);
    const [found] = groups;
    return {
      state: found?.state ?? "Dead",
      protocolType: found?.protocolType ?? "",
      protocol: found?.protocol ?? "",
      members: (found?.members ?? []).map(({ clientId, clientHost }) => ({ clientId, host: clientHost })),
    };
  }

  async close(): Promise<void> {
    await this.#admin.disconnect();
  }
}

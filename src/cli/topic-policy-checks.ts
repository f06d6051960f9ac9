import { messageOf } from "../core/errors.ts";
import type { KafkaCluster, KafkaConfig, TopicReplicas } from "../log/kafka-cluster.ts";
import { replicasWanted } from "./broker-checks.ts";
import { bad, type CheckResult, good, worth } from "./health-check.ts";
import { kafkaFix } from "./kafka-refusal.ts";

/**
 * What an application does with a topic. `stream` and `table`: reads it, and somebody else has made it. `frames`: writes
 * and reads it for itself. `output`: writes it for others.
 */
export type TopicRole = "stream" | "table" | "frames" | "output";

export interface TopicPolicyOptions {
  readonly cluster: Pick<KafkaCluster, "replicas" | "topicConfig">;
  /** By name, those that exist. */
  readonly topics: ReadonlyMap<string, TopicRole>;
  readonly brokers: number;
  /** `host:port` with commas between, for commands to type. */
  readonly servers: string;
}

const topicOptions = [
  "cleanup.policy",
  "retention.ms",
  "retention.bytes",
  "message.timestamp.type",
  "message.timestamp.after.max.ms",
  "message.timestamp.before.max.ms",
  "max.message.bytes",
  "min.insync.replicas",
  "unclean.leader.election.enable",
] as const;

/** Bytes of the largest batch that is written; see `KafkaRecordEncoder`. */
const batchBytesMax = 1024 * 1024;
/** Bounds on times beyond this, in ms, are none: three hundred years. */
const anyTimeMs = 300 * 365 * 86_400_000;

/** How topics of Kafka are kept: whether a policy of the brokers deletes, refuses or loses what the application needs. */
export async function checkTopicPolicies(options: TopicPolicyOptions): Promise<CheckResult[]> {
  const { cluster, topics } = options;
  if (topics.size === 0) return [];
  const checks: CheckResult[] = [];
  const replicas = new Map((await cluster.replicas([...topics.keys()])).map((each) => [each.name, each]));
  for (const [name, role] of topics) {
    let config: KafkaConfig;
    try {
      config = await cluster.topicConfig(name, topicOptions);
    } catch (error) {
      checks.push(bad(`topic ${name}`, messageOf(error), kafkaFix(error)));
      continue;
    }
    const policy = new TopicPolicy(name, role, config, options);
    checks.push(...policy.kept(), ...policy.times(), ...policy.sizes(), ...policy.copies(replicas.get(name)));
  }
  if (checks.length > 0) return checks;
  return [good("topic policies", `${topics.size} topics are kept, dated and copied as they should be`)];
}

class TopicPolicy {
  readonly #name: string;
  readonly #role: TopicRole;
  readonly #config: KafkaConfig;
  readonly #options: TopicPolicyOptions;

  constructor(name: string, role: TopicRole, config: KafkaConfig, options: TopicPolicyOptions) {
    this.#name = name;
    this.#role = role;
    this.#config = config;
    this.#options = options;
  }

  get #written(): boolean {
    return this.#role === "frames" || this.#role === "output";
  }

  #number(option: string, otherwise: number): number {
    return Number(this.#config.get(option) ?? otherwise);
  }

  /** The command that sets an option of the topic. */
  #set(option: string, value: string | number): string {
    const topic = `--entity-type topics --entity-name ${this.#name}`;
    return `kafka-configs.sh --bootstrap-server ${this.#options.servers} ${topic} --alter --add-config ${option}=${value}`;
  }

  /** What is deleted, and when. Retention goes by the time of the event: old events are deleted as soon as they come. */
  kept(): CheckResult[] {
    const checks: CheckResult[] = [];
    const name = `retention of ${this.#name}`;
    const say = this.#role === "frames" ? bad : worth;
    const retentionMs = this.#number("retention.ms", -1);
    if (retentionMs !== -1) {
      const lost =
        this.#role === "frames" ? "the state could not be restored" : "history that is loaded now is gone at once";
      const detail = `records go ${lengthOf(retentionMs)} after the time of their event: ${lost}`;
      checks.push(say(name, detail, this.#set("retention.ms", -1)));
    }
    const retentionBytes = this.#number("retention.bytes", -1);
    if (retentionBytes !== -1) {
      const detail = `${retentionBytes} bytes of each partition are kept, the oldest records go`;
      checks.push(say(name, detail, this.#set("retention.bytes", -1)));
    }
    const compacted = (this.#config.get("cleanup.policy") ?? "delete").includes("compact");
    if (compacted && this.#role !== "table") {
      const detail = "is compacted: of each key the newest record alone is kept";
      checks.push(say(name, detail, this.#set("cleanup.policy", "delete")));
    }
    return checks;
  }

  /** Times of records are event times: brokers must neither replace them nor find them too early or too late. */
  times(): CheckResult[] {
    const checks: CheckResult[] = [];
    const name = `times of ${this.#name}`;
    const say = this.#written ? bad : worth;
    if (this.#config.get("message.timestamp.type") === "LogAppendTime") {
      const detail = "the brokers replace the time of the event by that of its arrival";
      checks.push(worth(name, detail, this.#set("message.timestamp.type", "CreateTime")));
    }
    for (const [option, side] of [
      ["message.timestamp.after.max.ms", "after"],
      ["message.timestamp.before.max.ms", "before"],
    ] as const) {
      const boundMs = this.#number(option, anyTimeMs);
      if (boundMs >= anyTimeMs) continue;
      const detail = `the brokers refuse records more than ${lengthOf(boundMs)} ${side} their clock`;
      checks.push(say(name, detail, this.#set(option, "9223372036854775807")));
    }
    return checks;
  }

  sizes(): CheckResult[] {
    const bytes = this.#number("max.message.bytes", batchBytesMax);
    if (!this.#written || bytes >= batchBytesMax) return [];
    const detail = `batches of ${bytes} bytes at most are taken, those written have up to ${batchBytesMax}`;
    return [bad(`sizes of ${this.#name}`, detail, this.#set("max.message.bytes", batchBytesMax + 12))];
  }

  /** Whether what was acknowledged outlives a broker, and whether anything can be written with one gone. */
  copies(topic: TopicReplicas | undefined): CheckResult[] {
    const { brokers } = this.#options;
    if (topic === undefined || brokers === 1) return [];
    const { replicas, inSync } = topic;
    const name = `copies of ${this.#name}`;
    const min = this.#number("min.insync.replicas", 1);
    const reassign = "kafka-reassign-partitions.sh --help, and set KAFKA_REPLICATION_FACTOR for topics to come";
    if (min > replicas) {
      const detail = `min.insync.replicas is ${min}, there are ${replicas} copies: nothing can be written`;
      return [bad(name, detail, this.#set("min.insync.replicas", replicas))];
    }
    const checks: CheckResult[] = [];
    const wanted = Math.min(replicasWanted, brokers);
    if (replicas < wanted) checks.push(worth(name, `${replicas}, on ${brokers} brokers`, reassign));
    else if (min < 2) {
      const detail = "min.insync.replicas is 1: what one broker has acknowledged alone can be lost";
      checks.push(worth(name, detail, this.#set("min.insync.replicas", 2)));
    }
    if (inSync < replicas) {
      checks.push(worth(name, `${inSync} of ${replicas} are up to date`, "look for a broker that is down or behind"));
    }
    if (this.#config.get("unclean.leader.election.enable") === "true") {
      const detail = "a copy that is behind may become the leader, and what it lacks is lost";
      checks.push(worth(name, detail, this.#set("unclean.leader.election.enable", "false")));
    }
    return checks;
  }
}

function lengthOf(ms: number): string {
  if (ms >= 86_400_000) return `${Math.round(ms / 86_400_000)} d`;
  return ms >= 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 1000)} s`;
}

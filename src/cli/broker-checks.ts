import { KappaError, messageOf } from "../core/errors.ts";
import type { KafkaCluster, KafkaConfig } from "../log/kafka-cluster.ts";
import { typeOf } from "../log/kafka-error.ts";
import type { Config } from "./config.ts";
import { bad, type CheckResult, good, worth } from "./health-check.ts";
import { grantRights, kafkaFix } from "./kafka-refusal.ts";

/** Options of brokers that bound what this process asks of them. */
const brokerOptions = [
  "transaction.max.timeout.ms",
  "group.min.session.timeout.ms",
  "group.max.session.timeout.ms",
  "transaction.state.log.replication.factor",
  "offsets.topic.replication.factor",
] as const;

/** Copies that a topic should have where there are brokers enough: one may be away for work, another one fail. */
export const replicasWanted = 3;

/** The brokers: how many, and whether their limits allow what is configured. */
export async function checkBrokers(
  cluster: Pick<KafkaCluster, "describe" | "brokerConfig">,
  config: Config,
  where: string,
): Promise<CheckResult[]> {
  const { id, brokers } = await cluster.describe();
  const alone = brokers.length === 1 ? "; a single one, so what it loses is lost" : "";
  const checks = [good("kafka", `${where}: cluster ${id}, ${brokers.length} brokers${alone}`)];
  const [first] = brokers;
  if (first === undefined) return checks;
  let broker: KafkaConfig;
  try {
    broker = await cluster.brokerConfig(first, brokerOptions);
  } catch (error) {
    if (!(error instanceof KappaError) || error.code !== "KAPPA_LOG_REFUSED") throw error;
    return [...checks, good("broker limits", "this user may not look at them, and a run has no need to")];
  }
  return [
    ...checks,
    transactionTimeout(broker, config),
    sessionTimeout(broker, config),
    ...ownTopics(broker, brokers.length),
  ];
}

function transactionTimeout(broker: KafkaConfig, { transactionTimeoutMs }: Config): CheckResult {
  const max = Number(broker.get("transaction.max.timeout.ms") ?? Number.POSITIVE_INFINITY);
  if (transactionTimeoutMs <= max) return good("transaction timeout", `${transactionTimeoutMs} ms`);
  return bad(
    "transaction timeout",
    `${transactionTimeoutMs} ms, the brokers allow ${max}`,
    `set KAFKA_TRANSACTION_TIMEOUT_MS=${max}, or raise transaction.max.timeout.ms`,
  );
}

function sessionTimeout(broker: KafkaConfig, { sessionTimeoutMs }: Config): CheckResult {
  const min = Number(broker.get("group.min.session.timeout.ms") ?? 0);
  const max = Number(broker.get("group.max.session.timeout.ms") ?? Number.POSITIVE_INFINITY);
  if (sessionTimeoutMs >= min && sessionTimeoutMs <= max) return good("session timeout", `${sessionTimeoutMs} ms`);
  const nearest = Math.min(max, Math.max(min, sessionTimeoutMs));
  return bad(
    "session timeout",
    `${sessionTimeoutMs} ms, the brokers allow ${min} to ${max}`,
    `set KAFKA_SESSION_TIMEOUT_MS=${nearest}, or change group.min.session.timeout.ms and group.max.session.timeout.ms`,
  );
}

/** Kafka's own topics of transactions and groups: without them no task can be opened. */
function ownTopics(broker: KafkaConfig, brokers: number): CheckResult[] {
  const checks: CheckResult[] = [];
  for (const name of ["transaction.state.log.replication.factor", "offsets.topic.replication.factor"]) {
    const replicas = Number(broker.get(name) ?? replicasWanted);
    if (brokers === 1 || replicas >= Math.min(replicasWanted, brokers)) continue;
    const detail = `${replicas} on ${brokers} brokers: with one broker gone, its share of the tasks stands still`;
    checks.push(worth(name, detail, `set ${name}=${replicasWanted} on the brokers, and reassign the topic`));
  }
  return checks;
}

/** How far a group is taken by others than kappa. */
export async function checkGroup(cluster: Pick<KafkaCluster, "group">, groupId: string): Promise<CheckResult> {
  const name = `group ${groupId}`;
  try {
    const { state, members, protocol } = await cluster.group(groupId);
    if (members.length === 0) return good(name, "no process runs now");
    const who = members.map(({ clientId, host }) => `${clientId} at ${host.replace(/^\//, "")}`).join(", ");
    if (protocol === "" || protocol.startsWith("kappa-"))
      return good(name, `${state}, ${members.length} processes: ${who}`);
    return bad(
      name,
      `is taken by consumers that share topics by "${protocol}": ${who}`,
      "end them, or run under another application id: the name in new TopologyBuilder(NAME)",
    );
  } catch (error) {
    if (typeOf(error) !== "") return bad(name, messageOf(error), kafkaFix(error));
    // kafkajs drops why nobody names a coordinator. The brokers have just answered, so it is not that they are away.
    return bad(name, `cannot be looked at; most likely the user lacks Read on group ${groupId}`, grantRights);
  }
}

import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { KafkaCluster } from "../log/kafka-cluster.ts";
import { requireRights } from "../log/kafka-rights.ts";
import type { Log } from "../log/log.ts";
import { allInputs } from "../task/application.ts";
import type { Topology } from "../topology/graph.ts";
import { lateRightsOf, rightsOf } from "./application-rights.ts";
import { checkBrokers, checkGroup } from "./broker-checks.ts";
import type { Config } from "./config.ts";
import { bad, type CheckResult, caught, good } from "./health-check.ts";
import { kafkaFix } from "./kafka-refusal.ts";
import type { KafkaLogAccess } from "./log-access.ts";
import { checkTopicPolicies, type TopicRole } from "./topic-policy-checks.ts";

/** How long a first record may take, in ms, until reading counts as allowed: a right that is missing is told at once. */
const readMs = 1000;

/** Whether Kafka can be reached as configured, and its brokers allow what is configured. */
export async function checkKafka(access: KafkaLogAccess, config: Config): Promise<CheckResult[]> {
  const where = access.kafka.bootstrapServers.join(", ");
  try {
    // Opened as a run opens it, so that what is wrong is said as a run would say it.
    await (await access.read()).close();
    return await withCluster(access, (cluster) => checkBrokers(cluster, config, where));
  } catch (error) {
    return [bad("kafka", messageOf(error), kafkaFix(error))];
  }
}

/** Whether what a topology needs of Kafka is there: how its topics are kept, its group, its rights. */
export async function checkOnKafka(
  access: KafkaLogAccess,
  topology: Topology,
  log: Log,
  clock: Clock,
): Promise<CheckResult[]> {
  const topics = new Map<string, TopicRole>();
  const unseen: CheckResult[] = [];
  const read = new Set(allInputs(topology).map(topicOf));
  for (const [name, role] of rolesOf(topology)) {
    try {
      if ((await log.topic(name)) !== undefined) topics.set(name, role);
    } catch (error) {
      // Of topics that are read it has been said.
      if (!read.has(name)) unseen.push(bad(`topic ${name}`, messageOf(error), kafkaFix(error)));
    }
  }
  const found = await caught("topic policies", kafkaFix, () =>
    withCluster(access, async (cluster) => {
      const { brokers } = await cluster.describe();
      const servers = access.kafka.bootstrapServers.join(",");
      const policies = { cluster, topics, brokers: brokers.length, servers };
      return [
        ...(await caught("topic policies", kafkaFix, () => checkTopicPolicies(policies))),
        await checkGroup(cluster, topology.applicationId),
      ];
    }),
  );
  return [...unseen, ...found, await checkRights(access, topology, topics, log, clock)];
}

const topicOf = ({ topic }: { readonly topic: string }): string => topic;

function rolesOf(topology: Topology): Map<string, TopicRole> {
  const roles = new Map<string, TopicRole>();
  for (const { resourceType, resourceName, operations } of rightsOf(topology)) {
    if (resourceType === "TOPIC") roles.set(resourceName, operations.includes("DELETE") ? "frames" : "output");
  }
  for (const { topic, kind } of allInputs(topology)) {
    roles.set(topic, kind === "table" ? "table" : "stream");
  }
  return roles;
}

async function checkRights(
  access: KafkaLogAccess,
  topology: Topology,
  topics: ReadonlyMap<string, TopicRole>,
  log: Log,
  clock: Clock,
): Promise<CheckResult> {
  const held = (names: readonly string[]): string[] => names.filter((name) => topics.has(name));
  const { writer, writes, trims } = lateRightsOf(topology);
  try {
    for (const [name, role] of topics) if (role === "stream" || role === "table") await read(log, name);
    await requireRights(access.kafka, { writer, writes: held(writes), trims: held(trims) }, clock);
    const absent = writes.filter((name) => !topics.has(name));
    const rest = absent.length === 0 ? "" : `; ${absent.length} that are not there yet could not be tried`;
    return good("rights", `${topics.size} topics may be read and written as needed${rest}`);
  } catch (error) {
    return bad("rights", messageOf(error), kafkaFix(error));
  }
}

/** @throws KAPPA_LOG_REFUSED when the topic may not be read */
async function read(log: Log, topic: string): Promise<void> {
  const cursor = await log.openCursor(topic, 0, await log.startOffset(topic, 0), "durable");
  try {
    if (cursor.caughtUp()) return;
    await cursor.arrival(readMs);
    cursor.next();
  } finally {
    cursor.close();
  }
}

async function withCluster<Answer>(
  { kafka }: KafkaLogAccess,
  use: (cluster: KafkaCluster) => Promise<Answer>,
): Promise<Answer> {
  const cluster = await KafkaCluster.connect(kafka);
  try {
    return await use(cluster);
  } finally {
    await cluster.close();
  }
}

import { checkCompatible, parseSchema } from "../codec/schema-compatibility.ts";
import { type SchemaRegistry, valueSubject } from "../codec/schema-registry.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import type { Log } from "../log/log.ts";
import { compileRules } from "../scoring/compiled-rules.ts";
import { allInputs, internalTopics, partitionedInputs } from "../task/application.ts";
import { loadModels } from "../task/models.ts";
import type { Input, RulesNode, SinkNode, Topology } from "../topology/graph.ts";
import { bad, type CheckResult, caught, good, skipped } from "./health-check.ts";
import { registryFix } from "./service-checks.ts";

/** What the checks of a topology may ask. */
export interface TopologySources {
  /** Null: there is none yet. `"away"`: it has failed a check, and nothing is known of its topics. */
  readonly log: Log | null | "away";
  /** What mends an error of the log. */
  readonly logFix: (error: unknown) => string;
  /** The same of the registry and its schemas. */
  readonly registry: SchemaRegistry | null | "away";
  readonly clock: Clock;
}

/** What a topology needs to run: topics, schemas, rules, models. */
export async function checkTopology(
  topology: Topology,
  { log, logFix, registry, clock }: TopologySources,
): Promise<CheckResult[]> {
  const inputs = allInputs(topology);
  const checks = [
    good(
      "topology",
      `${topology.applicationId}: ${topology.nodes.length} nodes in ${topology.subTopologies.length} sub-topologies`,
    ),
  ];
  if (log === "away") checks.push(skipped("topics", "not looked at, since the log cannot be asked"));
  else {
    for (const topic of new Set(inputs.map((input) => input.topic))) {
      checks.push(...(await caught(`topic ${topic}`, logFix, () => inputTopic(topic, log))));
    }
    checks.push(...(await partitionCounts(topology, log)));
  }
  if (registry === "away") checks.push(skipped("schemas", "not looked at, since the schema registry cannot be asked"));
  else checks.push(...(await schemas(topology, inputs, registry)));
  for (const node of topology.nodes) if (node.kind === "rules") checks.push(rulesOf(node, topology));
  if (topology.nodes.some(({ kind }) => kind === "score")) checks.push(await models(topology, clock));
  return checks;
}

async function inputTopic(name: string, log: Log | null): Promise<CheckResult> {
  const topic = await log?.topic(name);
  if (topic === undefined) return bad(`topic ${name}`, "is missing", `kappa topics create ${name} --partitions 8`);
  if (topic.retentionMs !== -1 || topic.retentionBytes !== -1) {
    const kept = topic.retentionMs !== -1 ? `${topic.retentionMs / 86_400_000} days` : `${topic.retentionBytes} bytes`;
    return good(`topic ${name}`, `${topic.partitions} partitions; keeps ${kept}: a replay sees no more than that`);
  }
  return good(`topic ${name}`, `${topic.partitions} partitions`);
}

/**
 * Inputs that meet in tasks need one count, which is that of the tasks, and so of the application's own topics. Global
 * tables are read whole and may have any.
 */
async function partitionCounts(topology: Topology, log: Log | null): Promise<CheckResult[]> {
  const inputs = await countsOf(new Set(partitionedInputs(topology).map(({ topic }) => topic)), log);
  const counts = new Set(inputs.values());
  if (counts.size > 1) {
    const fix = "produce one of them into a new topic with the count of the others";
    return [bad("partitions", `inputs differ: ${listOf(inputs)}`, fix)];
  }
  const [tasks] = counts;
  if (tasks === undefined) return [];
  const own = await countsOf(internalTopics(topology), log);
  const others = new Map([...own].filter(([, count]) => count !== tasks));
  if (others.size === 0) return [];
  const fix = "run under a new application id: the name in new TopologyBuilder(NAME)";
  return [
    bad("partitions", `inputs have ${tasks}, the application was begun with another count: ${listOf(others)}`, fix),
  ];
}

/** Partitions of the topics that there are. */
async function countsOf(topics: ReadonlySet<string>, log: Log | null): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const topic of topics) {
    // Of one that cannot be looked at it is said elsewhere.
    const known = await log?.topic(topic).catch(() => undefined);
    if (known !== undefined) counts.set(topic, known.partitions);
  }
  return counts;
}

const listOf = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([topic, count]) => `${topic} has ${count}`).join(", ");

async function schemas(
  { nodes }: Topology,
  inputs: readonly Input[],
  registry: SchemaRegistry | null,
): Promise<CheckResult[]> {
  const checks: CheckResult[] = [];
  const check = async (topic: string, look: () => Promise<CheckResult>): Promise<void> => {
    checks.push(...(await caught(`schema ${valueSubject(topic)}`, registryFix, look)));
  };
  for (const input of inputs) {
    if (input.format === "avro") await check(input.topic, () => inputSchema(input, registry));
  }
  for (const node of nodes) {
    if (node.kind === "sink" && node.format === "avro") await check(node.topic, () => outputSchema(node, registry));
  }
  return checks;
}

async function inputSchema({ topic, schema }: Input, registry: SchemaRegistry | null): Promise<CheckResult> {
  const subject = valueSubject(topic);
  const latest = await registry?.latest(subject);
  const name = `schema ${subject}`;
  if (latest === undefined) return bad(name, "is not registered", `kappa schemas register ${subject} FILE.avsc`);
  const { problems } = schema.readerOf(parseSchema(latest.schema).type);
  if (problems.length === 0) return good(name, `version ${latest.version} can be read`);
  return bad(
    name,
    `version ${latest.version} cannot be read: ${problems.join("; ")}`,
    "bring the topology's schema and the producer's together",
  );
}

async function outputSchema({ topic, schema }: SinkNode, registry: SchemaRegistry | null): Promise<CheckResult> {
  const subject = valueSubject(topic);
  const versions = (await registry?.versions(subject)) ?? [];
  const latest = versions.at(-1);
  const name = `schema ${subject}`;
  if (registry === null || latest === undefined) return good(name, "will be registered");
  try {
    checkCompatible(subject, parseSchema(schema.definition), versions, await registry.compatibility(subject));
    return good(name, `compatible with version ${latest.version}`);
  } catch (error) {
    return bad(name, messageOf(error), "give new fields a default, or write to a new topic");
  }
}

function rulesOf(node: RulesNode, topology: Topology): CheckResult {
  const { name, rules } = node;
  const columns = topology.nodes.find(({ id }) => id === node.parents[0])?.columns ?? [];
  try {
    compileRules(rules, columns, noMeter);
    return good(`rules ${name}`, `version ${rules.version}, ${rules.rules.length} rules`);
  } catch (error) {
    return bad(`rules ${name}`, messageOf(error), `kappa rules lint ${rules.file} --topology FILE`);
  }
}

async function models(topology: Topology, clock: Clock): Promise<CheckResult> {
  try {
    const scorers = new Set((await loadModels(topology, clock, noMeter)).values());
    const names = [...scorers].map(({ model }) => `${model.name}@${model.version}`).join(", ");
    for (const scorer of scorers) await scorer.close();
    return good("models", `${names} loaded, inputs agree`);
  } catch (error) {
    return bad(
      "models",
      messageOf(error),
      "train it anew, or put model.onnx and model.json of one training run together",
    );
  }
}

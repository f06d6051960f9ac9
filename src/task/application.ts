import { AvroSerde } from "../codec/avro-serde.ts";
import { JsonSerde } from "../codec/json-serde.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import type { Log } from "../log/log.ts";
import {
  choicesTopic,
  commitsTopic,
  deadLettersTopic,
  type GraphNode,
  lateTopic,
  repartitionTopic,
  type SinkNode,
  type StreamSourceNode,
  type TableSourceNode,
  type Topology,
  type Value,
} from "../topology/graph.ts";

/** Ids of the schemas that an application writes with, by topic. */
export type SchemaIds = Readonly<Record<string, number>>;

/** Inputs of a topology whose partitions are its tasks; global tables are read whole and may have any count. */
export function partitionedInputs(topology: Topology): (StreamSourceNode | TableSourceNode)[] {
  return topology.subTopologies.flatMap((sub) => sub.inputs);
}

/** Every input of a topology: the partitioned ones, then the global tables. */
export function allInputs(topology: Topology): (StreamSourceNode | TableSourceNode)[] {
  return [...partitionedInputs(topology), ...topology.nodes.filter(isGlobalTable)];
}

/**
 * How many tasks the application has: the partition count that its input topics share.
 *
 * @throws KAPPA_TOPIC_UNKNOWN when one is missing, KAPPA_TOPIC_MISMATCH naming two that differ
 */
export async function partitionCount(topology: Topology, log: Log): Promise<number> {
  let first: { readonly name: string; readonly partitions: number } | undefined;
  for (const input of partitionedInputs(topology)) {
    const topic = await log.topic(input.topic);
    if (topic === undefined) {
      throw new KappaError(
        "KAPPA_TOPIC_UNKNOWN",
        `topic "${input.topic}" does not exist; type: kappa topics create ${input.topic} --partitions 8, or for all inputs: kappa topics create --topology FILE`,
        { topic: input.topic },
      );
    }
    first ??= topic;
    if (topic.partitions !== first.partitions) {
      throw new KappaError(
        "KAPPA_TOPIC_MISMATCH",
        `topic "${topic.name}" has ${topic.partitions} partitions, "${first.name}" has ${first.partitions}; inputs that meet need equal counts`,
        { topic: topic.name, other: first.name },
      );
    }
  }
  return first?.partitions ?? 1;
}

/** Creates the topics an application writes: outputs and internal ones, each with the partition count of its tasks. */
export async function createTopics(topology: Topology, log: Log, partitions: number): Promise<void> {
  for (const name of internalTopics(topology)) await log.createTopic(name, { partitions });
  for (const node of topology.nodes) {
    if (node.kind !== "sink") continue;
    if ((await log.topic(node.topic)) === undefined) await log.createTopic(node.topic, { partitions });
  }
}

/** Topics that only the application writes. Each has as many partitions as there are tasks. */
export function internalTopics({ applicationId, nodes }: Topology): Set<string> {
  const names = [commitsTopic, choicesTopic, deadLettersTopic, lateTopic].map((name) => name(applicationId));
  for (const node of nodes) if (node.kind === "repartition") names.push(repartitionTopic(applicationId, node.keySpace));
  return new Set(names);
}

/**
 * Looks at every topic that the tasks will read or write, so that a log over a network knows them when the tasks open. A
 * failure is no matter: what is not known then is asked then.
 */
export async function lookUpTopics(topology: Topology, log: Log): Promise<void> {
  const names = internalTopics(topology);
  for (const { topic } of partitionedInputs(topology)) names.add(topic);
  for (const node of topology.nodes) if (node.kind === "sink") names.add(node.topic);
  await Promise.allSettled([...names].map((name) => log.topic(name)));
}

/**
 * Registers the schemas of what the application writes, under `<topic>-value`.
 *
 * @throws KAPPA_SCHEMA_INCOMPATIBLE when the subject's compatibility rule forbids it
 */
export async function registerSchemas(topology: Topology, registry: SchemaRegistry): Promise<SchemaIds> {
  const ids: Record<string, number> = {};
  for (const node of topology.nodes) {
    if (node.kind === "sink" && node.format === "avro")
      ids[node.topic] = await registry.register(`${node.topic}-value`, node.schema.definition);
  }
  return ids;
}

/** Values of an input topic. */
export function inputSerde(node: StreamSourceNode | TableSourceNode, registry: SchemaRegistry): Serde<Value> {
  return node.format === "json" ? new JsonSerde<Value>(node.schema) : new AvroSerde<Value>(node.schema, -1, registry);
}

/** Values of an output topic. */
export function outputSerde(node: SinkNode, registry: SchemaRegistry, ids: SchemaIds): Serde<Value> {
  if (node.format === "json") return new JsonSerde<Value>(node.schema);
  const id = ids[node.topic];
  if (id === undefined)
    throw new KappaError("KAPPA_SCHEMA_UNKNOWN", `the schema of topic "${node.topic}" is not registered`, {
      topic: node.topic,
    });
  return new AvroSerde<Value>(node.schema, id, registry);
}

export const isGlobalTable = (node: GraphNode): node is TableSourceNode => node.kind === "table" && node.global;

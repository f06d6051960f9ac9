import type { LateRights } from "../log/kafka-rights.ts";
import { allInputs } from "../task/application.ts";
import {
  choicesTopic,
  commitsTopic,
  deadLettersTopic,
  lateTopic,
  repartitionTopic,
  type Topology,
} from "../topology/graph.ts";

/** Operations as Kafka's authorizer names them. READ, WRITE and DELETE contain DESCRIBE. */
export type KafkaOperation = "READ" | "WRITE" | "CREATE" | "DELETE" | "DESCRIBE_CONFIGS";

/** What a run does with one topic, with its group, or as the writers of its tasks. */
export interface KafkaRight {
  readonly resourceType: "TOPIC" | "GROUP" | "TRANSACTIONAL_ID";
  readonly resourceName: string;
  /** PREFIXED: all whose name begins so. */
  readonly patternType: "LITERAL" | "PREFIXED";
  readonly operations: readonly KafkaOperation[];
}

const read: readonly KafkaOperation[] = ["READ", "DESCRIBE_CONFIGS"];
const write: readonly KafkaOperation[] = ["WRITE", "CREATE", "DESCRIBE_CONFIGS"];
/** Frames that tasks write, read and delete. */
const keep: readonly KafkaOperation[] = ["READ", "WRITE", "CREATE", "DELETE", "DESCRIBE_CONFIGS"];

/** Exactly the rights that a run of a topology makes use of. No right to the cluster is among them. */
export function rightsOf(topology: Topology): readonly KafkaRight[] {
  const { applicationId } = topology;
  const topics = new Map<string, Set<KafkaOperation>>();
  const add = (name: string, operations: readonly KafkaOperation[]): void => {
    topics.set(name, new Set([...(topics.get(name) ?? []), ...operations]));
  };
  for (const { topic } of allInputs(topology)) add(topic, read);
  for (const node of topology.nodes) {
    // What the online store keeps is read from the topic itself.
    if (node.kind === "sink") add(node.topic, node.served.length > 0 ? [...write, "READ"] : write);
  }
  for (const name of [choicesTopic, deadLettersTopic, lateTopic]) add(name(applicationId), write);
  for (const name of framesTopics(topology)) add(name, keep);
  return [
    ...[...topics].map(([resourceName, operations]) => topicRight(resourceName, [...operations])),
    { resourceType: "GROUP", resourceName: applicationId, patternType: "LITERAL", operations: ["READ"] },
    {
      resourceType: "TRANSACTIONAL_ID",
      resourceName: `${applicationId}-`,
      patternType: "PREFIXED",
      operations: ["WRITE"],
    },
  ];
}

function topicRight(resourceName: string, operations: readonly KafkaOperation[]): KafkaRight {
  return { resourceType: "TOPIC", resourceName, patternType: "LITERAL", operations };
}

/** Topics that hold frames of several rows a record: commits, and what goes from stage to stage. */
function framesTopics(topology: Topology): string[] {
  const { applicationId, nodes } = topology;
  const repartitions = nodes.flatMap((node) =>
    node.kind === "repartition" ? [repartitionTopic(applicationId, node.keySpace)] : [],
  );
  return [commitsTopic(applicationId), ...new Set(repartitions)];
}

/** Of these rights, those that a run only makes use of later. */
export function lateRightsOf(topology: Topology): LateRights {
  const topicsWith = (operation: KafkaOperation): string[] =>
    rightsOf(topology)
      .filter(({ resourceType, operations }) => resourceType === "TOPIC" && operations.includes(operation))
      .map(({ resourceName }) => resourceName);
  return {
    writer: `${topology.applicationId}-rights`,
    writes: topicsWith("WRITE"),
    trims: topicsWith("DELETE"),
  };
}

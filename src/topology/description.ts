import type { Column } from "../codec/column.ts";
import { type GraphNode, type NodeKind, repartitionTopic, type SubTopology, type Topology } from "./graph.ts";
import { besideParents } from "./sub-topology.ts";

/** A topology in words, for people and tools: names instead of ids, and every topic that lies on the way. */
export interface TopologyDescription {
  /** Grows when a field changes its meaning or goes; new fields do not change it. */
  readonly version: 1;
  readonly applicationId: string;
  /** In the order of their ids; global tables last. */
  readonly subTopologies: readonly DescribedSubTopology[];
}

export interface DescribedSubTopology {
  readonly id: number;
  /** Whether it is a table that every task reads whole, and so belongs to no task. */
  readonly global: boolean;
  /** What comes first in the way of the rows stands first. */
  readonly nodes: readonly DescribedNode[];
}

export interface DescribedNode {
  /** Unique among all nodes, topics and stores of the topology, so that tools may draw them in one graph. */
  readonly name: string;
  readonly kind: "source" | "processor" | "sink";
  /** What the DSL calls it; a repartition shows twice, as a sink and as a source. */
  readonly operator: NodeKind;
  /** Topic that a source reads or a sink writes; null for processors. */
  readonly topic: string | null;
  /** Stores that it reads or changes, as `Engine.read` knows them. */
  readonly stores: readonly string[];
  /** Fields of the values that leave it; of a sink, those of its records. */
  readonly columns: readonly Column[];
  /** Names of the nodes its rows go to, in the same sub-topology. */
  readonly next: readonly string[];
  /** Names of the nodes its rows come from. */
  readonly previous: readonly string[];
  /** Tables of the online store that are kept from the topic of a sink. */
  readonly serves: readonly DescribedTable[];
}

export interface DescribedTable {
  readonly name: string;
  /** Field whose value is the entity. */
  readonly key: string;
  readonly columns: readonly string[];
  readonly ttlMs: number;
}

/** Describes a topology. The same topology gives the same description, whatever else ran before. */
export function descriptionOf(topology: Topology): TopologyDescription {
  const names = new UniqueNames(topology);
  const boxes = topology.nodes.map((node) => boxesOf(node, topology, names));
  for (const node of topology.nodes) {
    const beside = node.kind === "features" ? besideParents(node) : [];
    for (const parent of [...node.parents, ...beside]) link(boxes[parent]?.leave, boxes[node.id]?.enter);
  }
  const subTopologies: DescribedSubTopology[] = topology.subTopologies.map((sub) => ({
    id: sub.index,
    global: false,
    nodes: boxesIn(sub, topology, boxes),
  }));
  for (const node of topology.nodes) {
    if (node.kind !== "table" || !node.global) continue;
    subTopologies.push({ id: subTopologies.length, global: true, nodes: boxes[node.id]?.here ?? [] });
  }
  return { version: 1, applicationId: topology.applicationId, subTopologies };
}

interface Box extends DescribedNode {
  readonly next: string[];
  readonly previous: string[];
}

/** What a node of the graph shows as. */
interface Boxes {
  /** In the node's own sub-topology. */
  readonly here: readonly Box[];
  /** In the sub-topology that reads its key space: the source of a repartition. */
  readonly downstream: readonly Box[];
  /** Takes the rows of the node's parents. */
  readonly enter: Box | undefined;
  /** Gives rows to the node's children. */
  readonly leave: Box | undefined;
}

function boxesOf(node: GraphNode, topology: Topology, names: UniqueNames): Boxes {
  const none = { topic: null, stores: [], columns: node.columns, operator: node.kind, serves: [] };
  switch (node.kind) {
    case "source": {
      const source = box({ ...none, kind: "source", name: names.take(node.topic, "source"), topic: node.topic });
      return { here: [source], downstream: [], enter: undefined, leave: source };
    }
    case "table": {
      const source = box({ ...none, kind: "source", name: names.take(node.topic, "source"), topic: node.topic });
      const table = box({ ...none, kind: "processor", name: names.take(node.name, "table"), stores: [node.name] });
      link(source, table);
      return { here: [source, table], downstream: [], enter: undefined, leave: undefined };
    }
    case "repartition": {
      const topic = repartitionTopic(topology.applicationId, node.keySpace);
      const sink = box({ ...none, kind: "sink", name: names.take(`${node.name}-repartition-sink`, "sink"), topic });
      const source = box({
        ...none,
        kind: "source",
        name: names.take(`${node.name}-repartition-source`, "source"),
        topic,
      });
      return { here: [sink], downstream: [source], enter: sink, leave: source };
    }
    case "sink": {
      const { topic, schema, key } = node;
      const serves = node.served.map((table) => ({ ...table, key: table.key ?? key }));
      const name = names.take(topic, "sink");
      const sink = box({ ...none, kind: "sink", name, topic, columns: schema.columns, serves });
      return { here: [sink], downstream: [], enter: sink, leave: undefined };
    }
    default: {
      const name = names.take(node.name, node.kind);
      const processor = box({ ...none, kind: "processor", name, stores: storesOf(node, topology) });
      return { here: [processor], downstream: [], enter: processor, leave: processor };
    }
  }
}

function box(parts: Omit<DescribedNode, "next" | "previous">): Box {
  const { name, kind, operator, topic, stores, columns, serves } = parts;
  return { name, kind, operator, topic, stores, columns, next: [], previous: [], serves };
}

function storesOf(node: GraphNode, topology: Topology): string[] {
  switch (node.kind) {
    case "features":
    case "window":
    case "dedup":
      return [node.name];
    case "join":
      return [(topology.nodes[node.table] as GraphNode).name];
    default:
      return [];
  }
}

function link(from: Box | undefined, to: Box | undefined): void {
  if (from === undefined || to === undefined || from.next.includes(to.name)) return;
  from.next.push(to.name);
  to.previous.push(from.name);
}

function boxesIn(sub: SubTopology, topology: Topology, boxes: readonly Boxes[]): Box[] {
  const received = topology.nodes.filter((node) => node.kind === "repartition" && node.keySpace === sub.keySpace);
  return [
    ...received.flatMap((node) => boxes[node.id]?.downstream ?? []),
    ...sub.nodes.flatMap((node) => boxes[node.id]?.here ?? []),
  ];
}

/**
 * Names for nodes. Tools such as kafka-streams-viz draw nodes, topics and stores in one name space, while here a store
 * has the name of its node and a source that of its topic: the node then gives way, `velocity` to `velocity-features`.
 */
class UniqueNames {
  readonly #taken = new Set<string>();

  constructor(topology: Topology) {
    for (const node of topology.nodes) {
      if (node.kind === "source" || node.kind === "table" || node.kind === "sink") this.#taken.add(node.topic);
      if (node.kind === "repartition") this.#taken.add(repartitionTopic(topology.applicationId, node.keySpace));
      for (const store of storesOf(node, topology)) this.#taken.add(store);
    }
  }

  /** The name itself if it is free, else with the suffix, else with a number behind it as well. */
  take(name: string, suffix: string): string {
    let free = name;
    for (let n = 1; this.#taken.has(free); n++) free = n === 1 ? `${name}-${suffix}` : `${name}-${suffix}-${n}`;
    this.#taken.add(free);
    return free;
  }
}

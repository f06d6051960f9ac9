import type { FeaturesNode, GraphNode, StreamSourceNode, SubTopology, TableSourceNode } from "./graph.ts";

/**
 * Splits the graph where it re-keys. Nodes are in one sub-topology when rows pass between them without a repartition
 * topic, and so are inputs that feed the same key space from the same depth: one task reads them in one order, so that
 * a label and the event it judges leave it in the order they came.
 */
export function splitIntoSubTopologies(nodes: readonly GraphNode[]): SubTopology[] {
  const groups = new Groups(nodes.length);
  for (const node of nodes) {
    for (const parent of parentsInside(node, nodes)) groups.join(node.id, parent);
  }
  // A repartition node belongs to where its rows are sent from; what reads its key space meets in one group.
  const readers = new Map<string, number>();
  for (const node of nodes) {
    for (const parent of allParents(node)) {
      const from = nodes[parent] as GraphNode;
      if (from.kind !== "repartition") continue;
      const reader = readers.get(from.keySpace);
      if (reader === undefined) readers.set(from.keySpace, node.id);
      else groups.join(node.id, reader);
    }
  }
  joinFeedersOfOneDepth(nodes, groups, readers);
  return collect(nodes, groups, readers);
}

/** Everything a node reads from, tables and marking streams included. */
export function allParents(node: GraphNode): readonly number[] {
  if (node.kind === "join") return [...node.parents, node.table];
  if (node.kind === "features") return [...node.parents, ...besideParents(node)];
  return node.parents;
}

/** Streams that a features node takes in without handing them on: the events it holds for others, and marks. */
export function besideParents(node: FeaturesNode): readonly number[] {
  const marks = node.marks.map((mark) => mark.parent);
  return node.of === null ? marks : [node.of.parent, ...marks];
}

/** Parents whose rows reach the node without a topic in between; a global table belongs to no sub-topology. */
function parentsInside(node: GraphNode, nodes: readonly GraphNode[]): number[] {
  return allParents(node).filter((id) => {
    const parent = nodes[id] as GraphNode;
    return parent.kind !== "repartition" && !(parent.kind === "table" && parent.global);
  });
}

function joinFeedersOfOneDepth(
  nodes: readonly GraphNode[],
  groups: Groups,
  readers: ReadonlyMap<string, number>,
): void {
  const depthOf = (group: number, visiting: Set<number>): number => {
    if (visiting.has(group)) return 0;
    visiting.add(group);
    let depth = 0;
    for (const [keySpace, reader] of readers) {
      if (groups.of(reader) !== group) continue;
      for (const node of nodes) {
        if (node.kind === "repartition" && node.keySpace === keySpace) {
          depth = Math.max(depth, 1 + depthOf(groups.of(node.id), visiting));
        }
      }
    }
    visiting.delete(group);
    return depth;
  };
  const feeders = new Map<string, number>();
  for (const node of nodes) {
    if (node.kind !== "repartition") continue;
    const place = `${node.keySpace} ${depthOf(groups.of(node.id), new Set())}`;
    const first = feeders.get(place);
    if (first === undefined) feeders.set(place, node.id);
    else groups.join(node.id, first);
  }
}

function collect(nodes: readonly GraphNode[], groups: Groups, readers: ReadonlyMap<string, number>): SubTopology[] {
  const members = new Map<number, GraphNode[]>();
  for (const node of nodes) {
    if (node.kind === "table" && node.global) continue;
    const group = groups.of(node.id);
    const list = members.get(group);
    if (list === undefined) members.set(group, [node]);
    else list.push(node);
  }
  return [...members].map(([group, list], index) => ({
    index,
    nodes: list,
    inputs: list.filter(
      (node): node is StreamSourceNode | TableSourceNode => node.kind === "source" || node.kind === "table",
    ),
    keySpace: [...readers].find(([, reader]) => groups.of(reader) === group)?.[0] ?? null,
  }));
}

/** Disjoint sets of node ids; the smallest id stands for its set. */
class Groups {
  readonly #parent: number[];

  constructor(size: number) {
    this.#parent = Array.from({ length: size }, (_, id) => id);
  }

  of(id: number): number {
    let root = id;
    while (this.#parent[root] !== root) root = this.#parent[root] as number;
    return root;
  }

  join(a: number, b: number): void {
    const [low, high] = [this.of(a), this.of(b)].sort((x, y) => x - y) as [number, number];
    this.#parent[high] = low;
  }
}

import type { GraphNode, SubTopology } from "./graph.ts";
import { allParents, splitIntoSubTopologies } from "./sub-topology.ts";

/** Refuses a node. */
export type Fail = (node: GraphNode, message: string) => never;

/**
 * Checks the places where rows of several streams meet: that they are partitioned alike, that they come from one key
 * space, and that the order in which they meet is the order of events, whatever the size of a commit.
 */
export function checkMeetingPlaces(nodes: readonly GraphNode[], fail: Fail): void {
  for (const node of nodes) checkMerge(node, nodes, fail);
  const subTopologies = splitIntoSubTopologies(nodes);
  for (const sub of subTopologies) checkKeySpaces(sub, nodes, fail);
  refuseLoops(subTopologies, fail);
  checkScorePaths(nodes, subTopologies, fail);
}

/** The source or repartition that a node's rows come from. */
export function originOf(id: number, nodes: readonly GraphNode[]): GraphNode {
  let node = nodes[id] as GraphNode;
  while (node.kind !== "repartition" && node.parents[0] !== undefined) node = nodes[node.parents[0]] as GraphNode;
  return node;
}

/** Merged rows pass for one stream: the same partitioning, and the same type of each field. */
function checkMerge(node: GraphNode, nodes: readonly GraphNode[], fail: Fail): void {
  const [first, ...others] = node.parents.map((id) => nodes[id] as GraphNode);
  if (node.kind !== "merge" || first === undefined) return;
  const key = keyOf(originOf(first.id, nodes));
  for (const other of others) {
    const otherKey = keyOf(originOf(other.id, nodes));
    if (otherKey !== key) {
      fail(
        node,
        `"${first.name}" is partitioned by "${key}", "${other.name}" by "${otherKey}"; repartition one as the other`,
      );
    }
    for (const { name, type } of node.columns) {
      const given = other.columns.find((column) => column.name === name)?.type ?? "nothing";
      if (given !== type) {
        fail(
          node,
          `"${first.name}" gives ${name} as ${type}, "${other.name}" as ${given}; bring one into the other's form with mapValues`,
        );
      }
    }
  }
}

const keyOf = (origin: GraphNode): string | null =>
  origin.kind === "source" || origin.kind === "repartition" ? origin.key : null;

/** A sub-topology of a task reads one repartition topic at most. */
function checkKeySpaces(sub: SubTopology, nodes: readonly GraphNode[], fail: Fail): void {
  for (const node of sub.nodes) {
    for (const id of allParents(node)) {
      const parent = nodes[id] as GraphNode;
      if (parent.kind !== "repartition" || parent.keySpace === sub.keySpace) continue;
      fail(
        node,
        `its rows come over key space "${parent.keySpace}" and meet rows of "${sub.keySpace}"; repartition both under one name`,
      );
    }
  }
}

/** A sub-topology waits for the frontier of those that feed it; one that fed itself would wait for ever. */
function refuseLoops(subTopologies: readonly SubTopology[], fail: Fail): void {
  for (const start of subTopologies) {
    const reached = new Set<SubTopology>();
    const open = [start];
    for (let sub = open.pop(); sub !== undefined; sub = open.pop()) {
      for (const node of sub.nodes) {
        if (node.kind !== "repartition") continue;
        const reader = subTopologies.find(({ keySpace }) => keySpace === node.keySpace);
        if (reader === start) {
          fail(
            node,
            `its key space "${node.keySpace}" is read by what feeds it, so each would wait for the other; give it a name of its own`,
          );
        }
        if (reader === undefined || reached.has(reader)) continue;
        reached.add(reader);
        open.push(reader);
      }
    }
  }
}

/**
 * Rows wait in a score node until the commit ends, so that the model sees many of them at once; rows beside them do not.
 * Where both met, their order would depend on where commits were cut, which is not a function of the log. So all ways
 * into such a place pass the same score nodes:
 *
 *     a --------.                 a --.
 *                merge   refused       merge -- score   fine
 *     b -- score'                 b --'
 *
 * Places are nodes with several parents, and the repartition nodes that send one sub-topology's rows to one key space,
 * since they share a counter. What depends on time behind a score node is told of it in order with the rows that wait.
 */
function checkScorePaths(nodes: readonly GraphNode[], subTopologies: readonly SubTopology[], fail: Fail): void {
  const passed = scoresPassed(nodes);
  const pathOf = (id: number): string => passed.get(id) ?? "";
  for (const node of nodes) {
    const [first, ...others] = waysInto(node, nodes);
    if (first === undefined) continue;
    for (const other of others) {
      if (pathOf(other.id) !== pathOf(first.id)) fail(node, unevenMessage(node, first, other, pathOf));
    }
  }
  for (const sub of subTopologies) {
    const senders = new Map<string, GraphNode>();
    for (const node of sub.nodes) {
      if (node.kind !== "repartition") continue;
      const parent = nodes[node.parents[0] as number] as GraphNode;
      const first = senders.get(node.keySpace);
      if (first === undefined) senders.set(node.keySpace, parent);
      else if (pathOf(first.id) !== pathOf(parent.id)) fail(node, unevenMessage(node, first, parent, pathOf));
    }
  }
}

/** Score nodes that rows have passed since they entered their sub-topology, in order, as `"name"` each. */
function scoresPassed(nodes: readonly GraphNode[]): Map<number, string> {
  const passed = new Map<number, string>();
  for (const node of nodes) {
    // A repartition ends the way: what leaves it enters another sub-topology.
    const before =
      node.parents[0] === undefined || node.kind === "repartition" ? "" : (passed.get(node.parents[0]) ?? "");
    const own = node.kind === "score" ? `"${node.name}"` : "";
    passed.set(node.id, [before, own].filter((part) => part !== "").join(", "));
  }
  return passed;
}

/** The nodes whose rows a node takes in; a global table has no place in the order. */
function waysInto(node: GraphNode, nodes: readonly GraphNode[]): GraphNode[] {
  return allParents(node)
    .map((id) => nodes[id] as GraphNode)
    .filter((parent) => !(parent.kind === "table" && parent.global));
}

function unevenMessage(node: GraphNode, a: GraphNode, b: GraphNode, pathOf: (id: number) => string): string {
  const passed = ({ id, name }: GraphNode): string =>
    `"${name}" has passed ${pathOf(id) === "" ? "no model" : pathOf(id)}`;
  const why = "scored rows wait for the end of a commit, so their order would depend on its size";
  return `${passed(a)}, ${passed(b)}; ${why}: score after the ${node.kind}, or on neither side`;
}

import type { StoreDescription } from "../observability/http-sources.ts";
import type { GraphNode, Topology } from "../topology/graph.ts";

/** The stores that a topology keeps in its tasks; global tables are no stores of tasks. */
export function storeDescriptions(topology: Topology, partitions: number): StoreDescription[] {
  return topology.nodes.flatMap((node) => {
    const column = keyColumn(node);
    if (column === null) return [];
    const type = [...node.columns, ...heldColumns(node)].find(({ name }) => name === column)?.type;
    return [
      {
        name: node.name,
        kind: node.kind,
        key: type === "integer" || type === "number" ? "number" : "text",
        partitions,
      },
    ];
  });
}

/** The column a store is keyed by; null for a node without store. */
function keyColumn(node: GraphNode): string | null {
  switch (node.kind) {
    case "features":
    case "window":
      return node.key;
    case "table":
      return node.global ? null : node.key;
    case "dedup":
      return node.idColumn;
    default:
      return null;
  }
}

function heldColumns(node: GraphNode): GraphNode["columns"] {
  return node.kind === "features" || node.kind === "window" ? node.held : [];
}

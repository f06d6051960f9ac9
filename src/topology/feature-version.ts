import { createHash } from "node:crypto";
import type { FeaturesNode, GraphNode } from "./graph.ts";
import { allParents } from "./sub-topology.ts";

/** Numbers and words that formulas use, by name. */
export type FormulaConstants = Readonly<Record<string, number | string | boolean>>;

/**
 * A version of the features that a node gives: the first 12 hex digits of a SHA-256 over its own definition, the
 * versions of the nodes it reads, and `constants`. It depends on data alone (topics, keys, windows, aggregates, marks,
 * joins, declared columns), so every run of one definition has the same version. The text of functions is no part of
 * it, as compilers change it: what a formula computes with belongs into `constants`. Nor are names of nodes or the
 * application, which change no value.
 */
export function featureVersion(nodeOf: (id: number) => GraphNode, id: number, constants: FormulaConstants): string {
  const known = new Map<number, string>();
  const hashOf = (id: number): string => {
    const found = known.get(id);
    if (found !== undefined) return found;
    const node = nodeOf(id);
    const hash = digest([node.kind, definitionOf(node), allParents(node).map(hashOf)]);
    known.set(id, hash);
    return hash;
  };
  return digest([hashOf(id), constants]).slice(0, 12);
}

/** What decides about the values of a node, parents apart. */
function definitionOf(node: GraphNode): unknown {
  switch (node.kind) {
    case "source":
    case "table":
      return [node.topic, node.key, node.time];
    case "filter":
    case "peek":
    case "merge":
      return [];
    case "branch":
      return [node.arms];
    case "map":
      return [node.extend, node.added];
    case "repartition":
      return [node.key];
    case "dedup":
      return [node.idColumn, node.ttlMs];
    case "features":
      return [node.key, node.graceMs, node.late, featuresOf(node), ...(node.of === null ? [] : [node.of.key])];
    case "join":
      return [node.key, node.inner, node.added];
    case "window":
      return [node.key, node.window, node.aggregates, node.emit, node.idleMs, node.late];
    case "rules":
      return [node.rules.version];
    case "score":
      return [node.into, node.unless, node.reasons];
    case "sink":
      return [node.topic, node.key];
    default:
      return node satisfies never;
  }
}

function featuresOf(node: FeaturesNode): unknown {
  return [
    node.features.map(({ name, window, aggregate }) => [name, node.windows[window], aggregate]),
    node.marks.map(({ mark, key, idColumn, timeColumn, orphanMs }) => [mark, key, idColumn, timeColumn, orphanMs]),
    node.idColumn,
  ];
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value, sorted)).digest("hex");
}

/** The order in which an object's properties were written says nothing. */
function sorted(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

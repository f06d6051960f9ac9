import { type DescribedNode, descriptionOf, type TopologyDescription } from "./description.ts";
import type { Topology } from "./graph.ts";

/** What a description is written as. */
export type DescriptionFormat = "text" | "mermaid" | "json";

/**
 * Describes a topology.
 *
 * - `text`: what `TopologyDescription.toString` of Kafka Streams writes, so that tools for it read it; a repartition is
 *   a sink upstream and a source downstream, and nodes stand in the order of the data's way
 * - `mermaid`: a flowchart; sub-topologies are boxes, topics lie between them, stores are cylinders
 * - `json`: a `TopologyDescription`
 *
 * Each ends with a line feed.
 */
export function describeTopology(topology: Topology, format: DescriptionFormat): string {
  const description = descriptionOf(topology);
  switch (format) {
    case "text":
      return text(description);
    case "mermaid":
      return mermaid(description);
    case "json":
      return `${JSON.stringify(description, null, 2)}\n`;
    default:
      return format satisfies never;
  }
}

// The indents are those of Kafka Streams, whose first sub-topology stands one further in than the others and whose
// global stores end without an empty line.
function text({ subTopologies }: TopologyDescription): string {
  let written = "Topologies:\n ";
  for (const { id, global, nodes } of subTopologies) {
    written += `  Sub-topology: ${id}${global ? " for global store (will not generate tasks)" : ""}\n`;
    for (const node of nodes) written += `    ${nodeText(node)}\n`;
    if (!global) written += "\n";
  }
  return written;
}

function nodeText({ name, kind, topic, stores, next, previous, serves }: DescribedNode): string {
  const to = `\n      --> ${listed(next)}`;
  const from = `\n      <-- ${listed(previous)}`;
  // Kafka Streams has no word for it; tools pass over lines with other arrows.
  const served = serves.map((table) => `\n      ==> ${table.name} (online, by ${table.key}, ttl ${table.ttlMs} ms)`);
  switch (kind) {
    case "source":
      return `Source: ${name} (topics: [${topic}])${to}`;
    case "processor":
      return `Processor: ${name} (stores: [${stores.join(", ")}])${to}${from}`;
    case "sink":
      return `Sink: ${name} (topic: ${topic})${from}${served.join("")}`;
    default:
      return kind satisfies never;
  }
}

const listed = (names: readonly string[]): string => (names.length === 0 ? "none" : names.join(", "));

/** Ids are numbered, so that no name can be a word of Mermaid's own; the names are labels. */
function mermaid(description: TopologyDescription): string {
  const chart = new Flowchart();
  for (const { nodes } of description.subTopologies) {
    for (const { topic } of nodes) if (topic !== null) chart.declare("t", topic, (id) => `${id}(["${topic}"])`);
    for (const { name } of nodes.flatMap(({ serves }) => serves)) {
      chart.declare("o", name, (id) => `${id}[("${name}")]`);
    }
  }
  const outside = chart.takeLines();
  const boxes: string[] = [];
  for (const { id, global, nodes } of description.subTopologies) {
    for (const { name, kind } of nodes) if (kind === "processor") chart.declare("n", name, (id) => `${id}["${name}"]`);
    for (const { operator, stores } of nodes) {
      if (operator === "join") continue; // the table it reads owns the store
      for (const store of stores) chart.declare("s", store, (id) => `${id}[("${store}")]`);
    }
    const inside = chart.takeLines();
    if (inside.length === 0) continue;
    const title = global ? `Global table ${id}` : `Sub-topology ${id}`;
    boxes.push(`subgraph sub${id} ["${title}"]`, ...inside.map((line) => `  ${line}`), "end");
  }
  for (const { nodes } of description.subTopologies) drawEdges(nodes, chart);
  return ["flowchart TB", ...[...outside, ...boxes, ...chart.takeLines()].map((line) => `  ${line}`), ""].join("\n");
}

/** Sources and sinks are not drawn: their topics stand for them. */
function drawEdges(nodes: readonly DescribedNode[], chart: Flowchart): void {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const idOf = ({ name, topic }: DescribedNode): string =>
    topic === null ? chart.id("n", name) : chart.id("t", topic);
  for (const node of nodes) {
    for (const previous of node.previous) {
      const from = byName.get(previous);
      if (from !== undefined) chart.edge(`${idOf(from)} --> ${idOf(node)}`);
    }
    for (const store of node.stores) chart.edge(`${idOf(node)} --- ${chart.id("s", store)}`);
    for (const table of node.serves) {
      chart.edge(`${idOf(node)} -. "online, by ${table.key}" .-> ${chart.id("o", table.name)}`);
    }
  }
}

class Flowchart {
  readonly #ids = new Map<string, string>();
  readonly #edges = new Set<string>();
  #lines: string[] = [];

  /** Gives a thing of a kind an id and a line, once. */
  declare(kind: string, name: string, line: (id: string) => string): void {
    const key = `${kind} ${name}`;
    if (this.#ids.has(key)) return;
    const id = `${kind}${this.#ids.size}`;
    this.#ids.set(key, id);
    this.#lines.push(line(id));
  }

  id(kind: string, name: string): string {
    return this.#ids.get(`${kind} ${name}`) ?? name;
  }

  edge(line: string): void {
    if (this.#edges.has(line)) return;
    this.#edges.add(line);
    this.#lines.push(line);
  }

  takeLines(): string[] {
    const taken = this.#lines;
    this.#lines = [];
    return taken;
  }
}

import type { Column } from "../codec/column.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import { KappaError } from "../core/errors.ts";
import { type DurationMs, days } from "../core/time.ts";
import type { KeyField, TimeField } from "./columns.ts";
import type { GraphNode, Topology, Value } from "./graph.ts";
import { Stream } from "./stream.ts";
import { splitIntoSubTopologies } from "./sub-topology.ts";
import { Table } from "./table.ts";
import { validateTopology } from "./validate.ts";

/** How a topic is read. */
export interface InputOptions<Record extends object> {
  /** Reader schema: records written with older or newer ones are resolved to it. */
  readonly schema: RecordSchema<Record>;
  /** Field that the record key is made of. */
  readonly key: KeyField<Record>;
  /** Field that holds the event time, epoch ms. Default: the record's timestamp. */
  readonly time?: TimeField<Record>;
  /** Default `avro`, in the Confluent wire format. */
  readonly format?: "avro" | "json";
}

export interface StreamOptions<Record extends object> extends InputOptions<Record> {
  /**
   * `labels` come before `events` of the same instant, as a label that becomes known at an instant is known to an
   * event of that instant. Default `events`.
   */
  readonly role?: "events" | "labels";
}

export interface TableOptions<Record extends object> extends InputOptions<Record> {
  /** How long a version is kept for events older than its successor. Default 1 day. */
  readonly graceMs?: DurationMs;
}

const identifier = /^[a-z0-9](?:[a-z0-9._-]{0,100}[a-z0-9])?$/;

/**
 * Declares a topology: `stream` and `table` give the sources, methods of what they return give the rest, `build` checks
 * it all and returns the graph. Names are given, never generated, where they become stores or topics: adding a node
 * never renames another's state.
 */
export class TopologyBuilder {
  readonly #applicationId: string;
  readonly #nodes: GraphNode[] = [];

  /**
   * @param applicationId also the prefix of internal topics and the folder of the state; lowercase letters, digits,
   *   `.`, `_` and `-`
   */
  constructor(applicationId: string) {
    if (!identifier.test(applicationId)) {
      throw new KappaError(
        "KAPPA_TOPOLOGY_INVALID",
        `application id "${applicationId}" is not usable; use lowercase letters, digits, ".", "_" and "-"`,
      );
    }
    this.#applicationId = applicationId;
  }

  /** Reads a topic as a stream of events. Kafka Streams: `StreamsBuilder.stream`. */
  stream<Record extends object>(topic: string, options: StreamOptions<Record>): Stream<Record> {
    const id = this.add((id) => ({
      kind: "source",
      id,
      name: topic,
      parents: [],
      columns: options.schema.columns,
      topic,
      schema: options.schema as unknown as RecordSchema<Value>,
      key: options.key,
      time: options.time ?? null,
      format: options.format ?? "avro",
      rank: options.role === "labels" ? 1 : 2,
    }));
    return new Stream<Record>(this, id, options.key);
  }

  /**
   * Reads a topic as a table: the newest value of a key as of an event's time. Must be partitioned as the streams that
   * join it. A null value deletes. Kafka Streams: `StreamsBuilder.table`.
   */
  table<Record extends object>(topic: string, options: TableOptions<Record>): Table<Record> {
    return this.#table(topic, options, false);
  }

  /** As `table`, but every task holds it whole, and it may be joined by any field. For lists, rules and catalogues. */
  globalTable<Record extends object>(topic: string, options: TableOptions<Record>): Table<Record> {
    return this.#table(topic, options, true);
  }

  #table<Record extends object>(topic: string, options: TableOptions<Record>, global: boolean): Table<Record> {
    const id = this.add((id) => ({
      kind: "table",
      id,
      name: topic,
      parents: [],
      columns: options.schema.columns,
      topic,
      schema: options.schema as unknown as RecordSchema<Value>,
      key: options.key,
      time: options.time ?? null,
      format: options.format ?? "avro",
      global,
      graceMs: options.graceMs ?? days(1),
    }));
    return new Table<Record>(id, global);
  }

  /** Adds a node; for the DSL's own classes. @returns its id */
  add(node: (id: number) => GraphNode): number {
    const id = this.#nodes.length;
    this.#nodes.push(node(id));
    return id;
  }

  /** The node of an id; for the DSL's own classes. */
  node(id: number): GraphNode {
    const node = this.#nodes[id];
    if (node === undefined) throw new KappaError("KAPPA_TOPOLOGY_INVALID", `node ${id} is of another topology`);
    return node;
  }

  columnsOf(id: number): readonly Column[] {
    return this.node(id).columns;
  }

  /** How many streams were repartitioned into a key space so far. */
  portsOf(keySpace: string): number {
    return this.#nodes.filter((node) => node.kind === "repartition" && node.keySpace === keySpace).length;
  }

  /** @throws KAPPA_TOPOLOGY_INVALID naming the node and the mend */
  build(): Topology {
    const nodes = [...this.#nodes];
    validateTopology(this.#applicationId, nodes);
    return { applicationId: this.#applicationId, nodes, subTopologies: splitIntoSubTopologies(nodes) };
  }
}

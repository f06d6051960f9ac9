import type { Column } from "../codec/column.ts";
import { RecordSchema } from "../codec/record-schema.ts";
import type { ServedTable, SinkNode, Topology } from "../topology/graph.ts";
import type { OnlineOrder } from "./online-store.ts";

/** A table of the online store as a thread without the topology knows it: data alone, so that it can travel. */
export interface OnlineTable {
  readonly name: string;
  /** Topic that it is kept from. */
  readonly topic: string;
  /** Schema of the topic's records, as JSON text. */
  readonly schema: string;
  readonly format: "avro" | "json";
  /** Column whose value is the entity; null: the key of the records. */
  readonly key: string | null;
  readonly columns: readonly string[];
  readonly ttlMs: number;
}

/** The tables that a topology asks for. */
export function onlineTables(topology: Topology): OnlineTable[] {
  return topology.nodes.flatMap((node) =>
    node.kind === "sink" ? node.served.map((table) => onlineTable(node, table)) : [],
  );
}

function onlineTable({ topic, schema, format }: SinkNode, { name, key, columns, ttlMs }: ServedTable): OnlineTable {
  return { name, topic, schema: schema.definition, format, key, columns, ttlMs };
}

/** Records of one key lie in one partition, in order; records of one value of another column do not. */
export function orderOf({ key }: OnlineTable): OnlineOrder {
  return key === null ? "offset" : "time";
}

export function schemaOf({ schema }: OnlineTable): RecordSchema<object> {
  return new RecordSchema<object>(JSON.parse(schema));
}

/** The columns that are kept, in the order of the table. */
export function keptColumns({ columns }: OnlineTable, schema: RecordSchema<object>): Column[] {
  return columns.flatMap((name) => schema.columns.filter((column) => column.name === name));
}

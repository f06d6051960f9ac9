import type { DurationMs } from "../core/time.ts";
import type { KeyField } from "./columns.ts";
import type { GraphNode, ServedTable, SinkNode } from "./graph.ts";
import type { Fail } from "./meeting-places.ts";

/**
 * Keeps the newest record of each entity in the online store, where readers outside the stream look it up by key
 * (docs/online-store.md).
 */
export interface ServeOptions<Record extends object> {
  /** What readers call the table. Default: the topic. */
  readonly name?: string;
  /**
   * Field whose value is the entity. Default: the key of the topic, and the newest record is the last one. By another
   * field the records of an entity lie in several partitions, and the newest is the one with the newest event time.
   */
  readonly key?: KeyField<Record>;
  /** Fields that readers see. Default: all. */
  readonly columns?: readonly (keyof Record & string)[];
  /** How long an entity stays after it was last written, by the wall clock of the store. Bounds what the store holds. */
  readonly ttlMs: DurationMs;
}

/** The tables that a sink is asked for. */
export function servedTables<Record extends object>(
  serve: ServeOptions<Record> | readonly ServeOptions<Record>[],
  sink: { readonly topic: string; readonly key: string; readonly columns: readonly string[] },
): ServedTable[] {
  const each = Array.isArray(serve) ? (serve as readonly ServeOptions<Record>[]) : [serve as ServeOptions<Record>];
  return each.map(({ name = sink.topic, key = sink.key, columns = sink.columns, ttlMs }) => ({
    name,
    key: key === sink.key ? null : key,
    columns,
    ttlMs,
  }));
}

/** A colon separates the parts of a key in the store, so no name has one. */
const tableName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?$/;

/** Columns are checked by the compiler as well; names and times only here. */
export function checkServedTables(nodes: readonly GraphNode[], fail: Fail): void {
  const topicOf = new Map<string, string>();
  for (const node of nodes) {
    if (node.kind !== "sink") continue;
    for (const table of node.served) {
      const refuse = (message: string): never => fail(node, `serves "${table.name}": ${message}`);
      if (!tableName.test(table.name)) refuse('a name has letters, digits, ".", "_" and "-" only');
      const other = topicOf.get(table.name);
      if (other !== undefined) refuse(`a table of this name is kept from "${other}"; give it another name`);
      topicOf.set(table.name, node.topic);
      checkServedColumns(table, node, refuse);
      if (!Number.isSafeInteger(table.ttlMs) || table.ttlMs < 1) {
        refuse(`ttlMs is ${table.ttlMs} ms; give a whole number from 1 on`);
      }
    }
  }
}

function checkServedColumns(table: ServedTable, node: SinkNode, refuse: (message: string) => never): void {
  const { columns } = node.schema;
  if (table.columns.length === 0) refuse("it has no columns; leave columns out for all");
  for (const name of table.columns) {
    if (columns.some((column) => column.name === name)) continue;
    refuse(`its schema has no field "${name}"; it has ${columns.map((column) => column.name).join(", ")}`);
  }
  if (table.key === null) return;
  const key = columns.find((column) => column.name === table.key);
  if (key === undefined) refuse(`its schema has no field "${table.key}" for the key`);
  else if (key.nullable || key.type === "boolean" || key.type === "json") {
    refuse(`a key is text or a number and never null, "${key.name}" is ${key.type}${key.nullable ? " or null" : ""}`);
  }
}

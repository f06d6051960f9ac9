import type { ColumnType } from "../codec/column.ts";
import { KappaError } from "../core/errors.ts";
import type { FeaturesNode, GraphNode, JoinNode } from "./graph.ts";
import { checkMeetingPlaces, type Fail, originOf } from "./meeting-places.ts";
import { checkServedTables } from "./serve-options.ts";
import { allParents } from "./sub-topology.ts";

const storeName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?$/;

/**
 * Refuses a graph that cannot run or could not be run again with the same result. Every message names the operator and
 * what to change.
 *
 * @throws KAPPA_TOPOLOGY_INVALID
 */
export function validateTopology(applicationId: string, nodes: readonly GraphNode[]): void {
  const fail = (node: GraphNode, message: string): never => {
    throw new KappaError("KAPPA_TOPOLOGY_INVALID", `${node.kind} "${node.name}" in "${applicationId}": ${message}`, {
      node: node.name,
    });
  };
  if (!nodes.some((node) => node.kind === "source")) {
    throw new KappaError(
      "KAPPA_TOPOLOGY_INVALID",
      `topology "${applicationId}" reads nothing; begin with stream(topic, ...)`,
    );
  }
  refuseDoubleNames(nodes, fail);
  checkServedTables(nodes, fail);
  for (const node of nodes) {
    if (!storeName.test(node.name)) fail(node, 'a name has letters, digits, ".", "_" and "-" only');
    checkColumns(node, nodes, fail);
    checkTimes(node, fail);
    checkPlace(node, nodes, fail);
  }
  checkMeetingPlaces(nodes, fail);
}

function refuseDoubleNames(nodes: readonly GraphNode[], fail: Fail): void {
  const seen = new Map<string, GraphNode>();
  for (const node of nodes) {
    if (node.kind === "sink") continue;
    const other = seen.get(node.name);
    if (other !== undefined)
      fail(node, `a ${other.kind} has this name already; names become stores and topics, give another`);
    seen.set(node.name, node);
  }
}

/** Columns are checked by the compiler; this is for topologies built from JavaScript or with casts. */
function checkColumns(node: GraphNode, nodes: readonly GraphNode[], fail: Fail): void {
  const parent = node.parents[0] === undefined ? undefined : nodes[node.parents[0]];
  const has = (name: string): boolean => parent?.columns.some((column) => column.name === name) ?? false;
  const want = (name: string): void => {
    if (!has(name))
      fail(
        node,
        `reads column "${name}", but "${parent?.name}" gives ${parent?.columns.map((c) => c.name).join(", ")}`,
      );
  };
  switch (node.kind) {
    case "source":
    case "table":
      if (!node.columns.some((column) => column.name === node.key))
        fail(node, `its schema has no field "${node.key}" for the key`);
      if (node.time !== null && !node.columns.some((column) => column.name === node.time)) {
        fail(node, `its schema has no field "${node.time}" for the event time`);
      }
      break;
    case "repartition":
    case "features":
    case "window":
    case "join":
    case "sink":
      want(node.key);
      break;
    case "dedup":
      want(node.idColumn);
      break;
    case "score":
      if (node.unless !== null) want(node.unless);
      if (node.model.kind === "bare") for (const name of node.model.columns) want(name);
      if (node.model.kind === "bare" && node.reasons !== null) {
        fail(
          node,
          "a bare model has no medians, so no reasons; give a model folder with model.json or leave reasons out",
        );
      }
      break;
    default:
  }
  if (node.kind === "sink") {
    for (const column of node.schema.columns) {
      if (!column.nullable && !has(column.name))
        fail(node, `its schema wants "${column.name}", which "${parent?.name}" does not give`);
    }
  }
}

function checkTimes(node: GraphNode, fail: Fail): void {
  const whole = (name: string, value: number, least: number): void => {
    if (!Number.isSafeInteger(value) || value < least)
      fail(node, `${name} is ${value} ms; give a whole number from ${least} on`);
  };
  if (node.kind === "features") {
    whole("graceMs", node.graceMs, 0);
    for (const mark of node.marks) whole("orphanMs", mark.orphanMs, 0);
  }
  if (node.kind === "dedup") whole("ttlMs", node.ttlMs, 1);
  if (node.kind === "table") whole("graceMs", node.graceMs, 0);
  if (node.kind !== "window") return;
  const { window } = node;
  whole("graceMs", window.graceMs, 0);
  if (window.kind === "session") whole("gapMs", window.gapMs, 1);
  else whole("sizeMs", window.sizeMs, 1);
  if (window.kind === "hopping") {
    whole("advanceMs", window.advanceMs, 1);
    if (window.advanceMs >= window.sizeMs || window.sizeMs % window.advanceMs !== 0) {
      fail(node, `advanceMs ${window.advanceMs} must divide sizeMs ${window.sizeMs} and be less`);
    }
  }
  if (node.idleMs !== null) whole("idleMs", node.idleMs, 1);
}

/** Stateful nodes must lie on streams that are partitioned by their key; marks must meet their events. */
function checkPlace(node: GraphNode, nodes: readonly GraphNode[], fail: Fail): void {
  for (const id of allParents(node)) {
    if (nodes[id] === undefined) fail(node, "it reads a stream of another topology");
  }
  if (node.kind === "features") {
    checkMarks(node, nodes, fail);
    checkEvents(node, nodes, fail);
  }
  if (node.kind === "join") checkJoin(node, nodes, fail);
}

function checkJoin(node: JoinNode, nodes: readonly GraphNode[], fail: Fail): void {
  const table = nodes[node.table] as GraphNode;
  if (table.kind !== "table") {
    fail(node, `"${table.name}" is not a table`);
    return;
  }
  const key = { name: `"${node.key}"`, type: typeInto(node, node.key, nodes) };
  requireOneType(node, key, { name: `the key of "${table.name}"`, type: columnType(table, table.key) }, fail);
  if (table.global) return;
  const own = originOf(node.parents[0] as number, nodes);
  const partitionedBy = own.kind === "source" || own.kind === "repartition" ? own.key : null;
  if (partitionedBy === node.key) return;
  const message = `joins by "${node.key}" a stream that is partitioned by "${partitionedBy}"`;
  fail(node, `${message}; repartition it by "${node.key}" or use globalTable`);
}

/** Events that another stream asks for are found under its key: both have it, and as one type. */
function checkEvents(node: FeaturesNode, nodes: readonly GraphNode[], fail: Fail): void {
  if (node.of === null) return;
  const { parent, key } = node.of;
  const source = nodes[parent] as GraphNode;
  const type = columnType(source, key);
  if (type === undefined) fail(node, `its events come from "${source.name}", which no longer gives their key "${key}"`);
  const asking = { name: `"${node.key}"`, type: typeInto(node, node.key, nodes) };
  requireOneType(node, asking, { name: `"${key}" of "${source.name}"`, type }, fail);
}

/** Marks reach the events they name: over the same key space, by keys and ids of the same type. */
function checkMarks(node: FeaturesNode, nodes: readonly GraphNode[], fail: Fail): void {
  const own = originOf(node.parents[0] as number, nodes);
  for (const { mark, parent, key, idColumn, timeColumn } of node.marks) {
    const origin = originOf(parent, nodes);
    const bothSent = origin.kind === "repartition" && own.kind === "repartition";
    const together = bothSent ? origin.keySpace === own.keySpace : origin.kind === own.kind;
    if (!together) {
      const message = `mark "${mark}" comes from "${origin.name}", its events from "${own.name}"`;
      fail(node, `${message}; repartition both under one key space`);
    }
    const source = nodes[parent] as GraphNode;
    for (const name of [key, idColumn, timeColumn]) {
      if (columnType(source, name) !== undefined) continue;
      fail(node, `mark "${mark}" reads column "${name}", which "${source.name}" does not give`);
    }
    for (const [name, ofMark] of [
      [node.key, key],
      [node.idColumn, idColumn],
    ] as const) {
      if (name === null) continue;
      const ofEvent = { name: `"${name}"`, type: typeInto(node, name, nodes) };
      requireOneType(node, ofEvent, { name: `"${ofMark}" of mark "${mark}"`, type: columnType(source, ofMark) }, fail);
    }
  }
}

interface TypedName {
  readonly name: string;
  /** Undefined where the column is missing, which other checks tell. */
  readonly type: ColumnType | undefined;
}

/** A number never equals a text that looks like it. */
function requireOneType(node: GraphNode, a: TypedName, b: TypedName, fail: Fail): void {
  if (a.type === undefined || b.type === undefined || (a.type === "text") === (b.type === "text")) return;
  fail(
    node,
    `${a.name} is ${a.type}, ${b.name} is ${b.type}, so they are never equal; bring one to the other's type with extend`,
  );
}

function columnType(node: GraphNode, name: string): ColumnType | undefined {
  return node.columns.find((column) => column.name === name)?.type;
}

/** Type of a column of the values that a node is given. */
function typeInto(node: GraphNode, name: string, nodes: readonly GraphNode[]): ColumnType | undefined {
  const parent = nodes[node.parents[0] as number];
  return parent === undefined ? undefined : columnType(parent, name);
}

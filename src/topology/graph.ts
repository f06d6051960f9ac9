import type { Column } from "../codec/column.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import type { DurationMs } from "../core/time.ts";
import type { ModelReference } from "../scoring/model-reference.ts";
import type { RuleSet } from "../scoring/rules.ts";
import type { Aggregate } from "../state/aggregate.ts";
import type { EventWindow, KeyWindow } from "../state/window.ts";
import type { ColumnMap } from "./columns.ts";

/**
 * The graph a topology is: nodes as data, in the order they were declared, which is a topological order. It runs
 * nothing; `task/` makes processors of it.
 */
export type GraphNode =
  | StreamSourceNode
  | TableSourceNode
  | FilterNode
  | MapNode
  | PeekNode
  | BranchNode
  | MergeNode
  | RepartitionNode
  | DedupNode
  | FeaturesNode
  | JoinNode
  | WindowNode
  | RulesNode
  | ScoreNode
  | SinkNode;

export type NodeKind = GraphNode["kind"];

/** A value as processors see it. Its columns are known from the node; user code sees the typed view. */
// biome-ignore lint/complexity/noBannedTypes: a value is an object of any shape here
export type Value = {};

/** What is known of the event behind a value. */
export interface EventFacts {
  /** Event time, epoch ms. */
  readonly timeMs: number;
  /** Whether the event came after its grace: its features are as of its time, and later ones do not count it. */
  readonly late: boolean;
}

interface NodeBase {
  readonly id: number;
  /** Unique in the topology; becomes the name of its store or internal topic where it has one. */
  readonly name: string;
  /** Ids of the nodes it reads from. */
  readonly parents: readonly number[];
  /** What its output values hold; empty for nodes without output. */
  readonly columns: readonly Column[];
}

/** How the records of an input topic become values. */
export interface Input {
  readonly topic: string;
  readonly schema: RecordSchema<Value>;
  /** Column that the record key is made of. */
  readonly key: string;
  /** Column that holds the event time in epoch ms; null takes the record's timestamp. */
  readonly time: string | null;
  readonly format: "avro" | "json";
}

export interface StreamSourceNode extends NodeBase, Input {
  readonly kind: "source";
  /** Order among rows of one instant: tables and labels (1) before streams (2). */
  readonly rank: 1 | 2;
}

export interface TableSourceNode extends NodeBase, Input {
  readonly kind: "table";
  /** Whether every task reads it whole. */
  readonly global: boolean;
  /** How long versions are kept for rows that are older than the newest one. */
  readonly graceMs: DurationMs;
}

export interface FilterNode extends NodeBase {
  readonly kind: "filter";
  readonly predicate: (value: Value) => boolean;
}

export interface MapNode extends NodeBase {
  readonly kind: "map";
  /** The columns that `map` gives; with `extend` they come on top of the columns of the value. */
  readonly added: readonly Column[];
  readonly extend: boolean;
  readonly map: (value: Value, event: EventFacts) => Value;
}

export interface PeekNode extends NodeBase {
  readonly kind: "peek";
  readonly action: (value: Value) => void;
}

export interface BranchNode extends NodeBase {
  readonly kind: "branch";
  /** The value goes to the first of these that holds; parents list one node, children are told apart by `BranchArm`. */
  readonly predicates: readonly ((value: Value) => boolean)[];
  readonly arms: readonly string[];
}

export interface MergeNode extends NodeBase {
  readonly kind: "merge";
}

export interface RepartitionNode extends NodeBase {
  readonly kind: "repartition";
  /** Name of the key space; streams repartitioned under one name meet in one sub-topology. */
  readonly keySpace: string;
  readonly key: string;
  /** Number of this stream among those of its key space. */
  readonly port: number;
}

export interface DedupNode extends NodeBase {
  readonly kind: "dedup";
  readonly idColumn: string;
  readonly ttlMs: DurationMs;
}

/** A value computed over a window of the events of a key. */
export interface FeatureSpec {
  readonly name: string;
  /** Index into the windows of its node. */
  readonly window: number;
  readonly aggregate: Aggregate;
}

/** A stream whose rows mark events that a features node holds. */
export interface MarkSource {
  /** Name of the mark column. */
  readonly mark: string;
  readonly parent: number;
  readonly key: string;
  readonly idColumn: string;
  readonly timeColumn: string;
  /** How long, in event time, a mark waits for its event before it becomes a dead letter. */
  readonly orphanMs: DurationMs;
}

/** The stream whose events the windows of a features node hold, where it is not the one that gets the features. */
export interface EventsSource {
  readonly parent: number;
  /** Column whose value is the entity. */
  readonly key: string;
}

export interface FeaturesNode extends NodeBase {
  readonly kind: "features";
  /** Column whose value is the entity. */
  readonly key: string;
  /** Null: the windows hold the node's own rows. */
  readonly of: EventsSource | null;
  /** Columns of the event that its reservoir holds. */
  readonly held: readonly Column[];
  readonly windows: readonly EventWindow[];
  readonly features: readonly FeatureSpec[];
  readonly marks: readonly MarkSource[];
  /** Column by which marks name an event; null without marks. */
  readonly idColumn: string | null;
  readonly graceMs: DurationMs;
  readonly late: LatePolicy;
}

/** What becomes of an event older than the grace: given features and flagged, sent aside, or dropped. Always counted. */
export type LatePolicy = "include" | "aside" | "drop";

export interface JoinNode extends NodeBase {
  readonly kind: "join";
  /** Node id of the table. */
  readonly table: number;
  /** Column of the stream that holds the table's key. */
  readonly key: string;
  readonly inner: boolean;
  readonly added: readonly Column[];
  readonly joiner: (value: Value, row: Value | null) => Value;
}

export interface WindowNode extends NodeBase {
  readonly kind: "window";
  readonly key: string;
  readonly window: KeyWindow;
  readonly held: readonly Column[];
  readonly aggregates: readonly { readonly name: string; readonly aggregate: Aggregate }[];
  readonly emit: "onClose" | "onUpdate";
  /** Wall-clock silence after which a caught-up stream's time moves on; null waits for the next event. */
  readonly idleMs: DurationMs | null;
  readonly late: LatePolicy;
}

export interface RulesNode extends NodeBase {
  readonly kind: "rules";
  readonly rules: RuleSet;
}

export interface ScoreNode extends NodeBase {
  readonly kind: "score";
  readonly model: ModelReference;
  /** Column that receives the score; null where the model was not called. */
  readonly into: string;
  /** A value with a non-null value in this column is not scored; null scores every value. */
  readonly unless: string | null;
  /** Where reasons are wanted: the json column that gets them, from which score on, and how many. */
  readonly reasons: { readonly into: string; readonly atLeast: number; readonly size: number } | null;
}

export interface SinkNode extends NodeBase {
  readonly kind: "sink";
  readonly topic: string;
  readonly schema: RecordSchema<Value>;
  readonly key: string;
  readonly format: "avro" | "json";
  /** Tables of the online store that are kept from the topic. */
  readonly served: readonly ServedTable[];
}

/** A table of the online store: the newest record of each entity. */
export interface ServedTable {
  /** Unique in the topology. */
  readonly name: string;
  /** Column whose value is the entity; null: the key of the topic's records. */
  readonly key: string | null;
  /** Columns that are kept, of the sink's schema. */
  readonly columns: readonly string[];
  /** How long an entity stays after it was last written. */
  readonly ttlMs: DurationMs;
}

/** Nodes that one order of events runs through; what a repartition splits off is another. */
export interface SubTopology {
  readonly index: number;
  readonly nodes: readonly GraphNode[];
  /** Inputs read by this sub-topology; global tables are not among them. */
  readonly inputs: readonly (StreamSourceNode | TableSourceNode)[];
  /** Key space whose repartition topic feeds it; null when only input topics do. */
  readonly keySpace: string | null;
}

export interface Topology {
  readonly applicationId: string;
  readonly nodes: readonly GraphNode[];
  readonly subTopologies: readonly SubTopology[];
}

/** The columns a `ColumnMap` stands for. */
export function columnsOf(map: ColumnMap): Column[] {
  return Object.entries(map).map(([name, spec]) => {
    const nullable = spec.endsWith("?");
    return { name, type: (nullable ? spec.slice(0, -1) : spec) as Column["type"], nullable };
  });
}

/** Name of the internal topic of a key space. */
export function repartitionTopic(applicationId: string, keySpace: string): string {
  return `${applicationId}-${keySpace}-repartition`;
}

export const commitsTopic = (applicationId: string): string => `${applicationId}-commits`;
export const choicesTopic = (applicationId: string): string => `${applicationId}-choices`;
export const deadLettersTopic = (applicationId: string): string => `${applicationId}-dead-letters`;
export const lateTopic = (applicationId: string): string => `${applicationId}-late`;

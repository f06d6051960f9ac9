import type { Column } from "../codec/column.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import { KappaError } from "../core/errors.ts";
import { type DurationMs, days } from "../core/time.ts";
import type { ModelReference } from "../scoring/model-reference.ts";
import type { RuleSet } from "../scoring/rules.ts";
import type { EventWindow, KeyWindow } from "../state/window.ts";
import type { TopologyBuilder } from "./builder.ts";
import type { ColumnMap, Computed, KeyField, RowOf } from "./columns.ts";
import { type FeatureMap, type FeatureValues, Over } from "./feature.ts";
import type { FeaturesOfOptions, FeaturesOptions, MarkOptions } from "./feature-options.ts";
import { type FormulaConstants, featureVersion } from "./feature-version.ts";
import {
  columnsOf,
  type EventFacts,
  type FeatureSpec,
  type FeaturesNode,
  type MapNode,
  type MarkSource,
  type Value,
} from "./graph.ts";
import { type ServeOptions, servedTables } from "./serve-options.ts";
import type { Table } from "./table.ts";
import { columnOfAggregate, heldColumns, WindowedStream } from "./windowed-stream.ts";

/** What a features node is made with besides its features. */
interface FeaturesOrigin extends Pick<FeaturesNode, "of" | "marks" | "idColumn" | "graceMs" | "late"> {
  readonly eventColumns: readonly Column[];
}

export interface ScoreOptions<Value, Into extends string, Reasons extends string> {
  readonly model: ModelReference;
  /** Name of the field that receives the score, float32; null where the model was not called. */
  readonly into: Into;
  /** The model is not called for values that already hold something in this field. */
  readonly unless?: keyof Value & string;
  /** Adds the features that moved the score most, for scores from `atLeast` on. Needs a model with medians. */
  readonly reasons?: { readonly into: Reasons; readonly atLeast: number; readonly size: number };
}

/** Why a score is what it is: its change when one feature is set to its training median. */
export interface Reason {
  readonly feature: string;
  readonly value: number | null;
  readonly change: number;
}

/** The fields that a sink's schema wants and the stream does not have, as a readable compile error. */
export type Provides<Value, Record> = Value extends Record
  ? unknown
  : {
      readonly "the stream lacks or mistypes": {
        [Name in keyof Record as Name extends keyof Value
          ? Value[Name] extends Record[Name]
            ? never
            : Name
          : Name]: Record[Name];
      };
    };

/**
 * A stream of values of one type. Every method returns a new stream and leaves this one as it is. Functions given to
 * it must be pure: same value, same answer, no clock, no randomness, no input or output.
 */
export class Stream<V extends object> {
  readonly #builder: TopologyBuilder;
  readonly nodeId: number;
  /** Field by which the stream is partitioned. */
  readonly key: string;

  constructor(builder: TopologyBuilder, nodeId: number, key: string) {
    this.#builder = builder;
    this.nodeId = nodeId;
    this.key = key;
  }

  get #columns(): readonly Column[] {
    return this.#builder.columnsOf(this.nodeId);
  }

  /** Keeps the values for which `predicate` holds. */
  filter(name: string, predicate: (value: V) => boolean): Stream<V> {
    const id = this.#builder.add((id) => ({
      kind: "filter",
      id,
      name,
      parents: [this.nodeId],
      columns: this.#columns,
      predicate: predicate as (value: Value) => boolean,
    }));
    return new Stream(this.#builder, id, this.key);
  }

  /** Replaces each value by what `map` returns. The key field must still be there if keyed operators follow. */
  mapValues<Columns extends ColumnMap, Returned extends RowOf<Columns>>(
    name: string,
    columns: Columns,
    map: (value: V, event: EventFacts) => Returned,
  ): Stream<Computed<Columns, Returned>> {
    return this.#map(name, columns, false, map as unknown as MapNode["map"]);
  }

  /** Adds fields to each value: what `compute` returns comes on top of what the value has. */
  extend<Columns extends ColumnMap, Returned extends RowOf<Columns>>(
    name: string,
    columns: Columns,
    compute: (value: V, event: EventFacts) => Returned,
  ): Stream<Omit<V, keyof Columns> & Computed<Columns, Returned>> {
    return this.#map(name, columns, true, compute as unknown as MapNode["map"]);
  }

  #map<Out extends object>(name: string, columns: ColumnMap, extend: boolean, map: MapNode["map"]): Stream<Out> {
    const added = columnsOf(columns);
    const id = this.#builder.add((id) => ({
      kind: "map",
      id,
      name,
      parents: [this.nodeId],
      columns: extend ? withColumns(this.#columns, added) : added,
      added,
      extend,
      map,
    }));
    return new Stream<Out>(this.#builder, id, this.key);
  }

  /** Calls `action` with each value; for looking, not for effects: after a crash it is called again. */
  peek(name: string, action: (value: V) => void): Stream<V> {
    const id = this.#builder.add((id) => ({
      kind: "peek",
      id,
      name,
      parents: [this.nodeId],
      columns: this.#columns,
      action: action as (value: Value) => void,
    }));
    return new Stream(this.#builder, id, this.key);
  }

  /** Sends each value to the first arm whose predicate holds; a value that fits none is left out. */
  branch<Arm extends string>(
    name: string,
    arms: { readonly [Name in Arm]: (value: V) => boolean },
  ): { readonly [Name in Arm]: Stream<V> } {
    const entries = Object.entries<(value: V) => boolean>(arms);
    const branch = this.#builder.add((id) => ({
      kind: "branch",
      id,
      name,
      parents: [this.nodeId],
      columns: this.#columns,
      predicates: entries.map(([, predicate]) => predicate as (value: Value) => boolean),
      arms: entries.map(([arm]) => arm),
    }));
    const streams = entries.map(([arm]) => {
      const id = this.#builder.add((id) => ({
        kind: "merge",
        id,
        name: `${name}-${arm}`,
        parents: [branch],
        columns: this.#columns,
      }));
      return [arm, new Stream<V>(this.#builder, id, this.key)] as const;
    });
    return Object.fromEntries(streams) as { [Name in Arm]: Stream<V> };
  }

  /** Joins two streams of one type and one partitioning into one, in the order of events. */
  merge(name: string, other: Stream<V>): Stream<V> {
    const id = this.#builder.add((id) => ({
      kind: "merge",
      id,
      name,
      parents: [this.nodeId, other.nodeId],
      columns: this.#columns,
    }));
    return new Stream(this.#builder, id, this.key);
  }

  /**
   * Re-keys the stream through an internal topic `<application id>-<keySpace>-repartition`. Streams that shall meet
   * (an event and its labels) are repartitioned under one key space. Kafka Streams: `selectKey` + `repartition`.
   */
  repartition(keySpace: string, options: { readonly key: KeyField<V> }): Stream<V> {
    const port = this.#builder.portsOf(keySpace);
    const id = this.#builder.add((id) => ({
      kind: "repartition",
      id,
      name: port === 0 ? keySpace : `${keySpace}-${port}`,
      parents: [this.nodeId],
      columns: this.#columns,
      keySpace,
      key: options.key,
      port,
    }));
    return new Stream(this.#builder, id, options.key);
  }

  /** Drops values whose id was seen within `ttlMs` of event time. Place it before any window. */
  dedup(name: string, options: { readonly id: KeyField<V>; readonly ttlMs: DurationMs }): Stream<V> {
    const id = this.#builder.add((id) => ({
      kind: "dedup",
      id,
      name,
      parents: [this.nodeId],
      columns: this.#columns,
      idColumn: options.id,
      ttlMs: options.ttlMs,
    }));
    return new Stream(this.#builder, id, this.key);
  }

  /**
   * Adds features over windows of the events of this stream's key: exact, on the event itself, at once.
   *
   * @example
   * payments.features("card-velocity", { graceMs: minutes(5) }, (over) => ({
   *   count_1h: over.sliding(hours(1)).count(),
   *   sum_24h: over.sliding(hours(24)).sum("amount"),
   * }))
   */
  features<Features extends FeatureMap, Mark extends string = never>(
    name: string,
    options: FeaturesOptions<V, Mark>,
    define: (over: Over<V, Mark>) => Features,
  ): Stream<Omit<V, keyof Features> & FeatureValues<Features>> {
    const markEntries = Object.entries<Omit<MarkSource, "mark">>(options.marks ?? {});
    if (markEntries.length > 0 && options.id === undefined) {
      throw new KappaError(
        "KAPPA_TOPOLOGY_INVALID",
        `features "${name}" have marks but no id; name the field that labels refer to as "id"`,
      );
    }
    return this.#features(name, define(new Over<V, Mark>()), {
      of: null,
      eventColumns: this.#columns,
      marks: markEntries.map(([mark, source]) => ({ mark, ...source })),
      idColumn: options.id ?? null,
      graceMs: options.graceMs,
      late: options.late ?? "include",
    });
  }

  /**
   * Adds features over windows of the events of another stream of the same key: what is known, as of this event's time,
   * of the logins of its customer, of the labels of its terminal. The other stream's events are held; this one's only
   * ask, and are counted by none, so `excludeCurrent` leaves out nothing. Both are partitioned by that key. Kafka
   * Streams: an aggregate of the one, joined as a table by the other, but as of the event's time.
   *
   * @example
   * payments.featuresOf("logins", logins, { graceMs: minutes(5) }, (over) => ({
   *   failed_logins_1h: over.sliding(hours(1)).sum("failed"),
   * }))
   */
  featuresOf<Event extends object, Features extends FeatureMap>(
    name: string,
    events: Stream<Event>,
    options: FeaturesOfOptions,
    define: (over: Over<Event, never>) => Features,
  ): Stream<Omit<V, keyof Features> & FeatureValues<Features>> {
    return this.#features(name, define(new Over<Event, never>()), {
      of: { parent: events.nodeId, key: events.key },
      eventColumns: events.#columns,
      marks: [],
      idColumn: null,
      graceMs: options.graceMs,
      late: options.late ?? "include",
    });
  }

  #features<Features extends FeatureMap>(
    name: string,
    defined: Features,
    { eventColumns, ...options }: FeaturesOrigin,
  ): Stream<Omit<V, keyof Features> & FeatureValues<Features>> {
    const windows: EventWindow[] = [];
    const features: FeatureSpec[] = Object.entries(defined).map(([feature, { window, aggregate }]) => {
      let index = windows.findIndex((known) => sameWindow(known, window));
      if (index < 0) index = windows.push(window) - 1;
      return { name: feature, window: index, aggregate };
    });
    const added = features.map((feature) => columnOfAggregate(feature.name, feature.aggregate, eventColumns));
    const aggregates = features.map((feature) => feature.aggregate);
    const markNames = new Set(options.marks.map(({ mark }) => mark));
    const id = this.#builder.add((id) => ({
      kind: "features",
      id,
      name,
      parents: [this.nodeId],
      columns: withColumns(this.#columns, added),
      key: this.key,
      held: heldColumns(eventColumns, aggregates, markNames, options.idColumn ?? undefined),
      windows,
      features,
      ...options,
    }));
    return new Stream<Omit<V, keyof Features> & FeatureValues<Features>>(this.#builder, id, this.key);
  }

  /** This stream as marks on the events of another: fraud labels on transactions. For the `marks` of `features`. */
  marking(options: MarkOptions<V>): Omit<MarkSource, "mark"> {
    const { id, time, orphanMs = days(1) } = options;
    return { parent: this.nodeId, key: this.key, idColumn: id, timeColumn: time, orphanMs };
  }

  /** Adds fields from the table's version as of the event's time; values without a version are dropped. */
  join<Record extends object, Columns extends ColumnMap, Returned extends RowOf<Columns>>(
    name: string,
    table: Table<Record>,
    options: { readonly key: KeyField<V>; readonly columns: Columns },
    joiner: (value: V, row: Record) => Returned,
  ): Stream<Omit<V, keyof Columns> & Computed<Columns, Returned>> {
    return this.#join(name, table, options, true, joiner as unknown as (value: Value, row: Value | null) => Value);
  }

  /** As `join`; the joiner gets null where the table has no version. */
  leftJoin<Record extends object, Columns extends ColumnMap, Returned extends RowOf<Columns>>(
    name: string,
    table: Table<Record>,
    options: { readonly key: KeyField<V>; readonly columns: Columns },
    joiner: (value: V, row: Record | null) => Returned,
  ): Stream<Omit<V, keyof Columns> & Computed<Columns, Returned>> {
    return this.#join(name, table, options, false, joiner as unknown as (value: Value, row: Value | null) => Value);
  }

  #join<Record extends object, Out extends object>(
    name: string,
    table: Table<Record>,
    options: { readonly key: string; readonly columns: ColumnMap },
    inner: boolean,
    joiner: (value: Value, row: Value | null) => Value,
  ): Stream<Out> {
    const added = columnsOf(options.columns);
    const id = this.#builder.add((id) => ({
      kind: "join",
      id,
      name,
      parents: [this.nodeId],
      columns: withColumns(this.#columns, added),
      table: table.nodeId,
      key: options.key,
      inner,
      added,
      joiner,
    }));
    return new Stream<Out>(this.#builder, id, this.key);
  }

  /**
   * Groups the events of a key into windows of their own. Kafka Streams: `groupByKey().windowedBy(...)`.
   *
   * @param key the field the stream is partitioned by; another one needs a `repartition` first
   */
  windowedBy<Key extends KeyField<V>>(key: Key, window: KeyWindow): WindowedStream<V, Key> {
    if (key !== this.key) {
      throw new KappaError(
        "KAPPA_TOPOLOGY_INVALID",
        `windows by "${key}" on a stream partitioned by "${this.key}"; repartition by "${key}" first`,
      );
    }
    return new WindowedStream<V, Key>(
      this.#builder,
      this.nodeId,
      key,
      window,
      (id) => new Stream(this.#builder, id, key),
    );
  }

  /**
   * Evaluates a rule set, before a model is asked. Adds `rule`, the id of the first rule that holds, and
   * `rule_decision`, what it decides; both null where none holds or the rule leaves it to the model.
   */
  rules(name: string, rules: RuleSet): Stream<V & { rule: string | null; rule_decision: string | null }> {
    const id = this.#builder.add((id) => ({
      kind: "rules",
      id,
      name,
      parents: [this.nodeId],
      columns: withColumns(this.#columns, [
        { name: "rule", type: "text", nullable: true },
        { name: "rule_decision", type: "text", nullable: true },
      ]),
      rules,
    }));
    return new Stream<V & { rule: string | null; rule_decision: string | null }>(this.#builder, id, this.key);
  }

  /** Scores values with an ONNX model, many in one call. Each value gets the score it would get alone, bit for bit. */
  score<Into extends string, Reasons extends string = never>(
    name: string,
    options: ScoreOptions<V, Into, Reasons>,
  ): Stream<V & { [Name in Into]: number | null } & { [Name in Reasons]: Reason[] | null }> {
    const reasons = options.reasons ?? null;
    const added: Column[] = [{ name: options.into, type: "number", nullable: true }];
    if (reasons !== null) added.push({ name: reasons.into, type: "json", nullable: true });
    const id = this.#builder.add((id) => ({
      kind: "score",
      id,
      name,
      parents: [this.nodeId],
      columns: withColumns(this.#columns, added),
      model: options.model,
      into: options.into,
      unless: options.unless ?? null,
      reasons,
    }));
    return new Stream<V & { [Name in Into]: number | null } & { [Name in Reasons]: Reason[] | null }>(
      this.#builder,
      id,
      this.key,
    );
  }

  /**
   * Version of the features that this stream carries, for decisions to name: 12 hex digits that change when a window,
   * an aggregate, a key or a join on the way here changes, or one of `constants`. The text of functions is not looked
   * at: give what formulas compute with as `constants`, and raise a number there when a formula itself changes.
   */
  featureVersion(constants: FormulaConstants = {}): string {
    return featureVersion((id) => this.#builder.node(id), this.nodeId, constants);
  }

  /**
   * Writes each value to a topic, keyed by a field. What the schema does not have is left out; what it has and the
   * stream lacks does not compile.
   *
   * @example
   * .to("customer-features", { schema: customerFeatures, key: "customer_id", serve: { ttlMs: days(30) } })
   */
  to<Record extends object>(
    topic: string,
    options: {
      readonly schema: RecordSchema<Record> & Provides<V, Record>;
      readonly key: KeyField<V>;
      readonly format?: "avro" | "json";
      /** Tables of the online store to keep from the topic. */
      readonly serve?: ServeOptions<NoInfer<Record>> | readonly ServeOptions<NoInfer<Record>>[];
    },
  ): void {
    const columns = options.schema.columns.map(({ name }) => name);
    this.#builder.add((id) => ({
      kind: "sink",
      id,
      name: topic,
      parents: [this.nodeId],
      columns: [],
      topic,
      schema: options.schema as unknown as RecordSchema<Value>,
      key: options.key,
      format: options.format ?? "avro",
      served: servedTables<Record>(options.serve ?? [], { topic, key: options.key, columns }),
    }));
  }
}

/** Columns with more behind them; a name that comes again replaces the older column. */
function withColumns(columns: readonly Column[], added: readonly Column[]): Column[] {
  const names = new Set(added.map((column) => column.name));
  return [...columns.filter((column) => !names.has(column.name)), ...added];
}

function sameWindow(a: EventWindow, b: EventWindow): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

import type { Column } from "../codec/column.ts";
import { type Extender, RowShape } from "../codec/row-shape.ts";
import type { Serde } from "../codec/serde.ts";
import { assert } from "../core/assert.ts";
import type { Meter } from "../core/meter.ts";
import { compileRules } from "../scoring/compiled-rules.ts";
import type { Scorer } from "../scoring/scorer.ts";
import {
  type EventsSource,
  type FeaturesNode,
  type GraphNode,
  type JoinNode,
  lateTopic,
  type ScoreNode,
  type SinkNode,
  type SubTopology,
  type Topology,
  type Value,
  type WindowNode,
} from "../topology/graph.ts";
import type { GlobalTable } from "./global-table.ts";
import { LateRecords } from "./late-records.ts";
import type { Outputs } from "./outputs.ts";
import { DedupProcessor } from "./processors/dedup.ts";
import { type EventAccess, FeaturesProcessor } from "./processors/features.ts";
import { FeaturesOfProcessor, HeldEventsProcessor } from "./processors/features-of.ts";
import { GlobalJoinProcessor, JoinProcessor } from "./processors/join.ts";
import { MarkProcessor } from "./processors/marks.ts";
import { OrphanMarks } from "./processors/orphans.ts";
import { type Deferred, PassProcessor, type Processor } from "./processors/processor.ts";
import { RepartitionProcessor, type RepartitionSender } from "./processors/repartition.ts";
import { RulesProcessor } from "./processors/rules.ts";
import { ScoreProcessor } from "./processors/score.ts";
import { SinkProcessor } from "./processors/sink.ts";
import {
  BranchProcessor,
  ExtendProcessor,
  FilterProcessor,
  MapProcessor,
  PeekProcessor,
} from "./processors/stateless.ts";
import { TableProcessor } from "./processors/table.ts";
import type { IdleDriven, TimeDriven } from "./processors/time-driven.ts";
import { WindowProcessor } from "./processors/window.ts";
import type { Row } from "./row.ts";
import type { TaskStores } from "./task-stores.ts";

/** What the processors of a task are given to work with. */
export interface ProcessorSurroundings {
  readonly topology: Topology;
  readonly partition: number;
  readonly outputs: Outputs;
  readonly stores: TaskStores;
  readonly meter: Meter;
  readonly senders: ReadonlyMap<string, RepartitionSender>;
  readonly globalTables: ReadonlyMap<number, GlobalTable>;
  readonly scorers: ReadonlyMap<number, Scorer>;
  serde(node: SinkNode): Serde<Value>;
  partitionsOf(topic: string): number;
  /** What to do with a row that cannot go on, where throwing would stop others too. */
  bury(row: Row, error: unknown): void;
}

/** The processors of one sub-topology. */
export interface BuiltProcessors {
  /** Where rows enter, by the id of the node they come from. */
  readonly entries: readonly (Processor | undefined)[];
  readonly deferred: readonly Deferred[];
  readonly timeDriven: readonly TimeDriven[];
  readonly idle: readonly IdleDriven[];
  readonly sinks: readonly SinkProcessor[];
}

/** Makes the processors of a sub-topology and ties them together as the graph says. */
export function buildProcessors(subTopology: SubTopology, around: ProcessorSurroundings): BuiltProcessors {
  return new ProcessorBuilder(subTopology, around).build();
}

class ProcessorBuilder {
  readonly #sub: SubTopology;
  readonly #around: ProcessorSurroundings;
  readonly #processors = new Map<number, Processor>();
  readonly #entries: (Processor | undefined)[] = [];
  readonly #deferred: Deferred[] = [];
  readonly #timeDriven: TimeDriven[] = [];
  readonly #idle: IdleDriven[] = [];
  readonly #sinks: SinkProcessor[] = [];

  constructor(subTopology: SubTopology, around: ProcessorSurroundings) {
    this.#sub = subTopology;
    this.#around = around;
  }

  build(): BuiltProcessors {
    this.#addReceivers();
    for (const node of this.#sub.nodes) {
      const processor = this.#processor(node);
      this.#processors.set(node.id, processor);
      if (node.kind === "source" || node.kind === "table") this.#entries[node.id] = processor;
      for (const parent of node.parents) this.#outputOf(parent).addNext(processor);
    }
    return {
      entries: this.#entries,
      deferred: this.#deferred,
      timeDriven: this.#timeDriven,
      idle: this.#idle,
      sinks: this.#sinks,
    };
  }

  /** Rows that come over a repartition topic enter as if from the repartition node, which itself belongs upstream. */
  #addReceivers(): void {
    for (const node of this.#around.topology.nodes) {
      if (node.kind === "repartition" && node.keySpace === this.#sub.keySpace)
        this.#entries[node.id] = new PassProcessor();
    }
  }

  /** The processor that forwards the rows of a node to nodes of this sub-topology. */
  #outputOf(id: number): Processor {
    const node = this.#node(id);
    const processor = node.kind === "repartition" ? this.#entries[id] : this.#processors.get(id);
    assert(processor !== undefined, () => `${node.kind} "${node.name}" comes after what reads it`);
    return processor;
  }

  #node(id: number): GraphNode {
    return this.#around.topology.nodes[id] as GraphNode;
  }

  /** Columns of the values that a node is given. */
  #shapeInto(node: GraphNode): RowShape {
    return new RowShape(this.#node(node.parents[0] as number).columns);
  }

  /** Puts `added` on top of the values that a node is given; a column that comes again is replaced. */
  #extender(node: GraphNode, added: readonly Column[]): Extender {
    const names = new Set(added.map(({ name }) => name));
    const kept = this.#node(node.parents[0] as number).columns.filter(({ name }) => !names.has(name));
    return new RowShape(kept).extender(added);
  }

  #processor(node: GraphNode): Processor {
    const { stores, meter, senders } = this.#around;
    switch (node.kind) {
      case "source":
      case "merge":
        return new PassProcessor();
      case "table":
        return new TableProcessor(stores.table(node), node.schema.shape.keyReader(node.key));
      case "filter":
        return new FilterProcessor(node.predicate);
      case "peek":
        return new PeekProcessor(node.action);
      case "branch":
        return new BranchProcessor(node.predicates);
      case "map": {
        const added = new RowShape(node.added);
        if (!node.extend) return new MapProcessor(node.map, (value) => added.project(value));
        return new ExtendProcessor(
          node.map,
          this.#extender(node, node.added),
          node.added.map(({ name }) => name),
        );
      }
      case "repartition": {
        const sender = senders.get(node.keySpace);
        assert(sender !== undefined, () => `key space "${node.keySpace}" has no sender`);
        sender.addPort(node.port, node.columns);
        return new RepartitionProcessor(sender, node.port, this.#shapeInto(node).keyReader(node.key));
      }
      case "dedup":
        return new DedupProcessor(
          stores.dedup(node),
          this.#shapeInto(node).keyReader(node.idColumn),
          meter.counter("kappa_records_dropped_total", this.#around.topology.applicationId, node.name, "duplicate"),
        );
      case "features":
        return this.#features(node);
      case "join":
        return this.#join(node);
      case "window":
        return this.#window(node);
      case "rules":
        return new RulesProcessor(
          compileRules(node.rules, this.#node(node.parents[0] as number).columns, meter),
          this.#extender(
            node,
            node.columns.filter(({ name }) => name === "rule" || name === "rule_decision"),
          ),
        );
      case "score":
        return this.#score(node);
      case "sink":
        return this.#sink(node);
      default:
        return node satisfies never;
    }
  }

  #features(node: FeaturesNode): Processor {
    if (node.of !== null) return this.#featuresOf(node, node.of);
    const { stores } = this.#around;
    const shape = this.#shapeInto(node);
    const reservoir = stores.reservoir(node);
    const orphans = node.marks.length === 0 ? null : this.#orphans(node);
    for (const mark of node.marks) {
      const from = new RowShape(this.#node(mark.parent).columns);
      const processor = new MarkProcessor({
        reservoir,
        source: mark,
        keyOf: from.keyReader(mark.key),
        idOf: from.keyReader(mark.idColumn),
        timeOf: from.keyReader(mark.timeColumn),
        orphans: orphans as OrphanMarks,
      });
      this.#outputOf(mark.parent).addNext(processor);
    }
    return new FeaturesProcessor({
      reservoir,
      access: eventAccess(shape, node.key, node.held),
      extender: this.#featureExtender(node),
      featureCount: node.features.length,
      graceMs: node.graceMs,
      policy: node.late,
      late: this.#late(node.name, node.key),
      orphans,
      idOf: node.idColumn === null ? null : shape.keyReader(node.idColumn),
    });
  }

  /** Two processors over one reservoir: one takes the events in, the other stands where the node does and asks. */
  #featuresOf(node: FeaturesNode, of: EventsSource): Processor {
    const shared = {
      reservoir: this.#around.stores.reservoir(node),
      graceMs: node.graceMs,
      policy: node.late,
    };
    const events = new RowShape(this.#node(of.parent).columns);
    this.#outputOf(of.parent).addNext(
      new HeldEventsProcessor(
        { ...shared, late: this.#late(node.name, of.key) },
        eventAccess(events, of.key, node.held),
      ),
    );
    return new FeaturesOfProcessor(
      { ...shared, late: this.#late(node.name, node.key) },
      this.#shapeInto(node).keyReader(node.key),
      this.#featureExtender(node),
      node.features.length,
    );
  }

  #featureExtender(node: FeaturesNode): Extender {
    const names = new Set(node.features.map(({ name }) => name));
    return this.#extender(
      node,
      node.columns.filter(({ name }) => names.has(name)),
    );
  }

  #orphans(node: FeaturesNode): OrphanMarks {
    const { stores, topology, bury } = this.#around;
    const reaches = node.windows.map((window) =>
      window.kind === "sliding" ? window.sizeMs + window.delayMs : Number.POSITIVE_INFINITY,
    );
    const orphans = new OrphanMarks({
      store: stores.orphans(node),
      reservoir: stores.reservoir(node),
      nodes: topology.nodes,
      countsMs: node.graceMs + Math.max(...reaches),
      bury,
    });
    this.#tellTime(node, orphans);
    return orphans;
  }

  #late(node: string, keyColumn: string): LateRecords {
    const { topology, partition, outputs, meter } = this.#around;
    const counter = meter.counter("kappa_records_late_total", topology.applicationId, node);
    return new LateRecords({ topic: lateTopic(topology.applicationId), partition, outputs, counter, node, keyColumn });
  }

  #join(node: JoinNode): Processor {
    const shape = this.#shapeInto(node);
    const names = node.added.map(({ name }) => name);
    const access = {
      keyOf: shape.keyReader(node.key),
      extender: this.#extender(node, node.added),
      names,
      joiner: node.joiner,
      inner: node.inner,
    };
    const table = this.#node(node.table);
    assert(table.kind === "table", () => `"${table.name}" is not a table`);
    if (!table.global) return new JoinProcessor(this.#around.stores.table(table), access);
    const global = this.#around.globalTables.get(table.id);
    assert(global !== undefined, () => `global table "${table.name}" was not opened`);
    return new GlobalJoinProcessor(global, access);
  }

  #window(node: WindowNode): Processor {
    const shape = this.#shapeInto(node);
    const processor = new WindowProcessor({
      store: this.#around.stores.windows(node),
      access: eventAccess(shape, node.key, node.held),
      node,
      project: new RowShape(node.columns),
      late: this.#late(node.name, node.key),
      bury: this.#around.bury,
    });
    this.#tellTime(node, processor);
    if (processor.idle !== null) this.#idle.push(processor.idle);
    return processor;
  }

  /** What depends on time behind a model is told of it by the model's processor, in order with the rows held there. */
  #tellTime(node: GraphNode, processor: TimeDriven): void {
    const model = this.#modelBefore(node);
    if (model === null) this.#timeDriven.push(processor);
    else model.addTimeDriven(processor);
  }

  #modelBefore(node: GraphNode): ScoreProcessor | null {
    for (const parent of node.parents) {
      const processor = this.#processors.get(parent);
      if (processor instanceof ScoreProcessor) return processor;
      const before = processor === undefined ? null : this.#modelBefore(this.#node(parent));
      if (before !== null) return before;
    }
    return null;
  }

  #score(node: ScoreNode): Processor {
    const scorer = this.#around.scorers.get(node.id);
    assert(scorer !== undefined, () => `the model of "${node.name}" was not loaded`);
    const shape = this.#shapeInto(node);
    const added = node.columns.filter(({ name }) => name === node.into || name === node.reasons?.into);
    const processor = new ScoreProcessor(
      scorer,
      {
        vectorOf: shape.vectorReader(scorer.model.features.map(({ name }) => name)),
        extender: this.#extender(node, added),
        decidedBy: node.unless === null ? null : shape.keyReader(node.unless),
      },
      node.reasons,
      (row, error) => this.#around.bury(row, error),
      this.#around.meter.histogram("kappa_score", scorer.model.name, scorer.model.version),
    );
    this.#deferred.push(processor);
    this.#tellTime(node, processor);
    return processor;
  }

  #sink(node: SinkNode): Processor {
    const { outputs, meter, partitionsOf } = this.#around;
    const sink = new SinkProcessor({
      topic: node.topic,
      partitions: partitionsOf(node.topic),
      keyOf: this.#shapeInto(node).keyReader(node.key),
      serde: this.#around.serde(node),
      outputs,
      produced: meter.counter("kappa_records_produced_total", node.topic),
    });
    this.#sinks.push(sink);
    return sink;
  }
}

/** How what a store holds of an event is read off it. */
function eventAccess(shape: RowShape, key: string, held: readonly Column[]): EventAccess {
  const numbers = held.filter(({ type }) => type !== "text").map(({ name }) => name);
  const texts = held.filter(({ type }) => type === "text").map(({ name }) => name);
  return {
    keyOf: shape.keyReader(key),
    numbersOf: shape.numberReader(numbers),
    textsOf: shape.textReader(texts),
    numberCount: numbers.length,
    textCount: texts.length,
  };
}

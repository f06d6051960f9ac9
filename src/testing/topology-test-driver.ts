import { AvroSerde } from "../codec/avro-serde.ts";
import { JsonSerde } from "../codec/json-serde.ts";
import { MemorySchemaRegistry } from "../codec/memory-schema-registry.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import { valueSubject } from "../codec/schema-registry.ts";
import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import { MemoryLog } from "../log/memory-log.ts";
import { partitionOf } from "../log/partitioner.ts";
import { RecordBatchWriter } from "../log/record-batch.ts";
import type { Scorer } from "../scoring/scorer.ts";
import { MemoryBackend } from "../state/memory-backend.ts";
import { StateDatabase } from "../state/state-database.ts";
import {
  allInputs,
  createTopics,
  inputSerde,
  isGlobalTable,
  partitionedInputs,
  registerSchemas,
} from "../task/application.ts";
import { GlobalTable } from "../task/global-table.ts";
import { loadModels } from "../task/models.ts";
import { defaultSettings, type TaskSettings } from "../task/settings.ts";
import type { Task } from "../task/task.ts";
import { openTask } from "../task/task-opener.ts";
import type { StreamSourceNode, TableSourceNode, Topology, Value } from "../topology/graph.ts";
import { FollowedTopics, type ReadRecord } from "./followed-topics.ts";
import { ManualClock } from "./manual-clock.ts";

export interface DriverOptions {
  /** Partitions of every topic, and so tasks. Default 1. */
  readonly partitions?: number;
  /** Wall-clock time at the start, epoch ms. Default 0. */
  readonly nowMs?: number;
  readonly settings?: Partial<TaskSettings>;
  /** Models by the name of their score node, instead of those that the topology names. */
  readonly scorers?: Readonly<Record<string, Scorer>>;
}

/**
 * Runs a topology in memory, through the same tasks as a live run: no broker, no files, no configuration, no waiting.
 *
 * @example
 * const driver = await TopologyTestDriver.open(topology);
 * await driver.input("payments").pipe({ card_id: "c1", ts: 0, amount: 100 });
 * await driver.settle();
 * const decisions = driver.output("decisions", decisionSchema).readAll();
 * await driver.close();
 */
export class TopologyTestDriver {
  readonly topology: Topology;
  readonly log: MemoryLog;
  readonly clock: ManualClock;
  readonly #options: DriverOptions;
  readonly #partitions: number;
  readonly #registry = new MemorySchemaRegistry();
  readonly #followed: FollowedTopics;
  #backends: MemoryBackend[];
  #schemaIds: Readonly<Record<string, number>> = {};
  #scorers = new Map<number, Scorer>();
  #globalTables: GlobalTable[] = [];
  #tasks: Task[] = [];
  #generation = 0;

  private constructor(topology: Topology, options: DriverOptions) {
    this.topology = topology;
    this.#options = options;
    this.#partitions = options.partitions ?? 1;
    this.clock = new ManualClock(options.nowMs ?? 0);
    this.log = new MemoryLog();
    this.#followed = new FollowedTopics(this.log);
    this.#backends = Array.from({ length: this.#partitions }, () => new MemoryBackend());
  }

  /** Creates the topics of the topology, loads its models and starts its tasks. */
  static async open(topology: Topology, options: DriverOptions = {}): Promise<TopologyTestDriver> {
    const driver = new TopologyTestDriver(topology, options);
    const inputs = allInputs(topology);
    for (const { topic } of inputs) await driver.log.createTopic(topic, { partitions: driver.#partitions });
    await createTopics(topology, driver.log, driver.#partitions);
    driver.#schemaIds = await registerSchemas(topology, driver.#registry);
    for (const node of inputs) await driver.#registry.register(valueSubject(node.topic), node.schema.definition);
    driver.#scorers = await driver.#loadScorers();
    await driver.#start();
    return driver;
  }

  async #loadScorers(): Promise<Map<number, Scorer>> {
    const given = this.#options.scorers ?? {};
    const wanted = this.topology.nodes.filter((node) => node.kind === "score" && given[node.name] === undefined);
    const scorers = await loadModels({ ...this.topology, nodes: wanted }, this.clock, noMeter);
    for (const node of this.topology.nodes) {
      const scorer = given[node.name];
      if (node.kind === "score" && scorer !== undefined) scorers.set(node.id, scorer);
    }
    return scorers;
  }

  async #start(): Promise<void> {
    const settings: TaskSettings = { ...defaultSettings, commitIntervalMs: 0, ...this.#options.settings };
    const { timeBounds } = settings;
    this.#globalTables = [];
    for (const node of this.topology.nodes.filter(isGlobalTable)) {
      const serde = inputSerde(node, this.#registry);
      this.#globalTables.push(await GlobalTable.open({ node, log: this.log, serde, timeBounds, keepFaults: true }));
    }
    const ends = await this.#ends();
    this.#generation++;
    this.#tasks = [];
    for (let partition = 0; partition < this.#partitions; partition++) {
      const task = await openTask(partition, {
        topology: this.topology,
        partitions: this.#partitions,
        log: this.log,
        registry: this.#registry,
        schemaIds: this.#schemaIds,
        settings,
        clock: this.clock,
        meter: noMeter,
        globalTables: new Map(this.#globalTables.map((table) => [table.node.id, table])),
        scorers: this.#scorers,
        generation: this.#generation,
        ends,
        openDatabase: (p, discard) => this.#openDatabase(p, discard),
        tap: () => {},
      });
      this.#tasks.push(task);
    }
    await this.#followed.follow();
  }

  async #ends(): Promise<Record<string, number[]>> {
    const ends: Record<string, number[]> = {};
    for (const { topic } of partitionedInputs(this.topology)) {
      const each: number[] = [];
      for (let p = 0; p < this.#partitions; p++) each.push(Number(await this.log.endOffset(topic, p, "written")));
      ends[topic] = each;
    }
    return ends;
  }

  #openDatabase(partition: number, discard: boolean): Promise<StateDatabase> {
    if (discard) this.#backends[partition] = new MemoryBackend();
    const cacheBytes = Math.floor(
      (this.#options.settings?.cacheBytes ?? defaultSettings.cacheBytes) / this.#partitions,
    );
    return StateDatabase.open({ backend: this.#backends[partition] as MemoryBackend, cacheBytes });
  }

  /** An input topic of the topology. @throws KAPPA_TOPIC_UNKNOWN */
  input(topic: string): TestInput {
    const node = allInputs(this.topology).find((input) => input.topic === topic);
    if (node === undefined)
      throw new KappaError("KAPPA_TOPIC_UNKNOWN", `the topology does not read "${topic}"`, { topic });
    const { earliestMs } = this.#options.settings?.timeBounds ?? defaultSettings.timeBounds;
    return new TestInput(node, this.log, this.#partitions, this.#registry, earliestMs);
  }

  /** A topic as decoded records; with a schema that the topology does not write, as JSON. */
  output<Out>(topic: string, schema: RecordSchema<Out>, format: "avro" | "json" = "avro"): TestOutput<Out> {
    const serde: Serde<Out> = format === "json" ? new JsonSerde(schema) : new AvroSerde(schema, -1, this.#registry);
    return new TestOutput(topic, this.#followed, serde);
  }

  /** Every record of a topic, undecoded: dead letters, late records. */
  records(topic: string): ReadRecord<Buffer>[] {
    return this.#followed.read(topic, (buffer, start, end) => Buffer.from(buffer.subarray(start, end)));
  }

  /** What a store holds for a key, as of a time or of now. */
  read(store: string, key: string | number, asOfMs?: number): Readonly<Record<string, unknown>> | null {
    const task = this.#tasks[partitionOf(key, this.#partitions)] as Task;
    return task.stores.read(store, key, asOfMs ?? Math.min(task.stores.orderTimeMs(store), task.orderTimeMs));
  }

  /** Runs cycles until nothing is left to do; sources that are waited for are waited for on the driver's own clock. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      let worked = false;
      for (let partition = 0; partition < this.#partitions; partition++) if (await this.cycle(partition)) worked = true;
      if (worked) idle = 0;
      else {
        idle++;
        this.clock.advance(10);
      }
    }
  }

  /**
   * Runs one cycle of one task and lets what it wrote become durable: for tests that choose the order in which tasks
   * work. @returns whether it did anything
   */
  async cycle(partition: number): Promise<boolean> {
    for (const table of this.#globalTables) table.refresh();
    const worked = await (this.#tasks[partition] as Task).cycle();
    await new Promise((resolve) => setImmediate(resolve));
    await this.#followed.follow();
    return worked;
  }

  /** Moves the wall clock and runs what becomes due. */
  async advanceWallClock(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.settle();
  }

  /**
   * Stops the tasks and starts them again.
   * @param state `kept`: from the local state; `lost`: restored from the log alone
   */
  async restart(state: "kept" | "lost"): Promise<void> {
    for (const task of this.#tasks) await task.close();
    if (state === "lost") this.#backends = this.#backends.map(() => new MemoryBackend());
    await this.#start();
  }

  async close(): Promise<void> {
    for (const task of this.#tasks) await task.close();
    for (const scorer of new Set(this.#scorers.values())) await scorer.close();
    await this.log.close();
  }
}

/** Writes values into an input topic. */
export class TestInput {
  readonly #node: StreamSourceNode | TableSourceNode;
  readonly #log: MemoryLog;
  readonly #partitions: number;
  readonly #registry: MemorySchemaRegistry;
  readonly #earliestMs: number;
  #serde: Serde<Value> | null = null;

  constructor(
    node: StreamSourceNode | TableSourceNode,
    log: MemoryLog,
    partitions: number,
    registry: MemorySchemaRegistry,
    earliestMs: number,
  ) {
    this.#node = node;
    this.#log = log;
    this.#partitions = partitions;
    this.#registry = registry;
    this.#earliestMs = earliestMs;
  }

  /**
   * Appends one value, keyed and timed by its own fields. Where the topology names no time field, the record is of the
   * earliest time that is allowed: a table's row is there before every event.
   */
  async pipe(value: object): Promise<void> {
    await this.pipeAll([value]);
  }

  /** Appends values in one transaction. */
  async pipeAll(values: readonly object[]): Promise<void> {
    const serde = await this.#openSerde();
    const writers = Array.from({ length: this.#partitions }, () => new RecordBatchWriter());
    for (const value of values) {
      const fields = value as Readonly<Record<string, unknown>>;
      const key = fields[this.#node.key] as string | number;
      const timeMs = this.#node.time === null ? this.#earliestMs : (fields[this.#node.time] as number);
      const buffer = Buffer.alloc(1 << 16);
      const end = serde.encode(value, buffer, 0);
      (writers[partitionOf(key, this.#partitions)] as RecordBatchWriter).append(
        timeMs,
        Buffer.from(String(key)),
        buffer.subarray(0, end),
      );
    }
    await this.#write(writers);
  }

  /** Appends a record as it is: for malformed ones, null values and foreign timestamps. */
  async pipeBytes(key: Buffer | null, value: Buffer | null, timeMs: number, partition = 0): Promise<void> {
    const writers = Array.from({ length: this.#partitions }, () => new RecordBatchWriter());
    (writers[partition] as RecordBatchWriter).append(timeMs, key, value);
    await this.#write(writers);
  }

  async #openSerde(): Promise<Serde<Value>> {
    if (this.#serde !== null) return this.#serde;
    const { schema, topic, format } = this.#node;
    const id = await this.#registry.register(valueSubject(topic), schema.definition);
    this.#serde = format === "json" ? new JsonSerde<Value>(schema) : new AvroSerde<Value>(schema, id, this.#registry);
    return this.#serde;
  }

  async #write(writers: readonly RecordBatchWriter[]): Promise<void> {
    const sections = writers.flatMap((writer, partition) => {
      if (writer.count === 0) return [];
      const { count, minTimeMs, maxTimeMs } = writer;
      return [{ topic: this.#node.topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() }];
    });
    const writer = await this.#log.openWriter("test-input");
    await writer.append(sections);
    await writer.close();
  }
}

/** Reads an output topic. */
export class TestOutput<Out> {
  readonly #topic: string;
  readonly #followed: FollowedTopics;
  readonly #serde: Serde<Out>;

  constructor(topic: string, followed: FollowedTopics, serde: Serde<Out>) {
    this.#topic = topic;
    this.#followed = followed;
    this.#serde = serde;
  }

  /** Every record since the start, partition after partition, in offset order. */
  readAll(): ReadRecord<Out>[] {
    return this.#followed.read(this.#topic, (buffer, start, end) => this.#serde.decode(buffer, start, end));
  }

  /** The values alone, null ones left out. */
  values(): Out[] {
    return this.readAll().flatMap(({ value }) => (value === null ? [] : [value]));
  }
}

import {
  type Aggregate,
  days,
  type KeyWindow,
  partitionOf,
  RecordSchema,
  type Stream,
  type Topology,
  TopologyBuilder,
} from "../../src/index.ts";
import type { ReadRecord } from "../../src/testing/followed-topics.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import type { SourceRow } from "./oracle.ts";
import { labelTimeOf, type Scenario, type Step, type WantedEvent, type WantedFeature } from "./scenario.ts";

/** An event as it is written to the input. */
export interface InputEvent {
  readonly id: number;
  readonly key: string;
  readonly other: number;
  readonly ts: number;
  readonly whole: number | null;
  readonly double: number | null;
  readonly text: string | null;
  readonly flag: boolean | null;
}

interface InputLabel {
  readonly id: number;
  readonly key: string;
  readonly other: number;
  readonly ts: number;
  readonly event_ts: number;
}

export const record = (name: string, fields: readonly object[]): object => ({ type: "record", name, fields });
export const field = (name: string, type: unknown): object => ({ name, type });

export const eventFields = [
  field("id", "long"),
  field("key", "string"),
  field("other", "long"),
  field("ts", "long"),
  field("whole", ["null", "long"]),
  field("double", ["null", "double"]),
  field("text", ["null", "string"]),
  field("flag", ["null", "boolean"]),
];
export const eventSchema = new RecordSchema<InputEvent>(record("Event", eventFields));
const labelSchema = new RecordSchema<InputLabel>(
  record("Label", [
    field("id", "long"),
    field("key", "string"),
    field("other", "long"),
    field("ts", "long"),
    field("event_ts", "long"),
  ]),
);

const scalarTypes: Readonly<Record<string, string>> = {
  whole: "long",
  double: "double",
  text: "string",
  flag: "boolean",
  fraud: "long",
};

/** Avro type of the column that a feature gives. */
export function avroTypeOf({ aggregate }: WantedFeature): unknown {
  switch (aggregate.kind) {
    case "count":
    case "distinct":
      return "long";
    case "sum":
    case "ratio":
      return "double";
    case "first":
    case "last":
    case "top":
      return { type: "array", items: scalarTypes[aggregate.column] };
    case "latest":
      return ["null", scalarTypes[aggregate.column]];
    default:
      return ["null", "double"];
  }
}

/** The features of each stage: marks are known where the last one is. */
export function featuresOfStages({
  stages,
  features,
}: Pick<Scenario, "stages" | "features">): readonly (readonly WantedFeature[])[] {
  if (stages === 1) return [features];
  return [features.filter(({ aggregate }) => aggregate.column !== "fraud"), features];
}

export const storeName = (stage: number): string => `stage-${stage}`;
export const featureName = (stage: number, index: number): string => `f${stage}_${index}`;

/** What ran in which order: one entry a row that a stage took, in the order it took them. */
export type Trace = readonly { readonly kind: "event" | "label"; readonly id: number }[];

export interface Built {
  readonly topology: Topology;
  readonly schema: RecordSchema<Readonly<Record<string, unknown>>>;
  /** By stage. */
  readonly traces: readonly Trace[];
}

type Wanted = Pick<Scenario, "stages" | "features" | "marked" | "graceMs" | "late">;

export function build(scenario: Wanted): Built {
  const { stages, marked, graceMs, late } = scenario;
  const builder = new TopologyBuilder("property");
  const traces: { kind: "event" | "label"; id: number }[][] = Array.from({ length: stages }, () => []);
  const outFields = [...eventFields];
  let events: Stream<InputEvent> = builder.stream("events", { schema: eventSchema, key: "key", time: "ts" });
  let labels: Stream<InputLabel> | null = marked
    ? builder.stream("labels", { schema: labelSchema, key: "key", time: "ts", role: "labels" })
    : null;
  featuresOfStages(scenario).forEach((wanted, stage) => {
    const trace = traces[stage] as { kind: "event" | "label"; id: number }[];
    if (stage === 1) {
      events = events.repartition("by-other", { key: "other" });
      labels = labels?.repartition("by-other", { key: "other" }) ?? null;
    }
    events = events.peek(`events-${stage}`, ({ id }) => trace.push({ kind: "event", id }));
    labels = labels?.peek(`labels-${stage}`, ({ id }) => trace.push({ kind: "label", id })) ?? null;
    const fraud = labels?.marking({ id: "id", time: "event_ts", orphanMs: days(10_000) });
    const define = (): Record<string, WantedFeature> =>
      Object.fromEntries(wanted.map((feature, i) => [featureName(stage, i), feature]));
    const options = { graceMs, late, id: "id" as const };
    const known = fraud !== undefined && stage === stages - 1;
    const enriched = known
      ? events.features(storeName(stage), { ...options, marks: { fraud } }, define)
      : events.features(storeName(stage), options, define);
    events = enriched as unknown as Stream<InputEvent>;
    outFields.push(...wanted.map((feature, i) => field(featureName(stage, i), avroTypeOf(feature))));
  });
  const schema = new RecordSchema<Readonly<Record<string, unknown>>>(record("Out", outFields));
  events.to("out", { schema: schema as unknown as RecordSchema<InputEvent>, key: stages === 1 ? "key" : "other" });
  return { topology: builder.build(), schema, traces };
}

/** A window over the events of a key, with what is computed in it. */
export interface WantedKeyWindow {
  readonly window: KeyWindow;
  readonly aggregates: readonly Aggregate[];
  readonly emit: "onClose" | "onUpdate";
}

/** The events of a key in windows of their own, in the first stage or behind a repartition. */
export function buildKeyWindow(
  { stages }: Pick<Scenario, "stages">,
  { window, aggregates, emit }: WantedKeyWindow,
): Built {
  const builder = new TopologyBuilder("property");
  const traces: { kind: "event" | "label"; id: number }[][] = Array.from({ length: stages }, () => []);
  let events: Stream<InputEvent> = builder.stream("events", { schema: eventSchema, key: "key", time: "ts" });
  events = events.peek("events-0", ({ id }) => traces[0]?.push({ kind: "event", id }));
  if (stages === 2) {
    events = events.repartition("by-other", { key: "other" });
    events = events.peek("events-1", ({ id }) => traces[1]?.push({ kind: "event", id }));
  }
  const key = stages === 1 ? "key" : "other";
  const wanted = aggregates.map((aggregate) => ({
    window: { kind: "unbounded", excludeCurrent: false } as const,
    aggregate,
  }));
  const define = (): Record<string, WantedFeature> =>
    Object.fromEntries(wanted.map((feature, i) => [`a${i}`, feature]));
  const results = events.windowedBy(key, window).aggregate("windows", define, { emit });
  const fields = wanted.map((feature, i) => field(`a${i}`, avroTypeOf(feature)));
  const keyField = field(key, stages === 1 ? "string" : "long");
  const schema = new RecordSchema<Readonly<Record<string, unknown>>>(
    record("Out", [keyField, field("window_start", "long"), field("window_end", "long"), ...fields]),
  );
  (results as unknown as Stream<InputEvent>).to("out", { schema: schema as unknown as RecordSchema<InputEvent>, key });
  return { topology: builder.build(), schema, traces };
}

export const inputEvent = (id: number, { timeMs, key, other, whole, double, text, flag }: WantedEvent): InputEvent => ({
  id,
  key: `k${key}`,
  other,
  ts: timeMs,
  whole,
  double,
  text,
  flag,
});

/** Something that is written: a value and the topic it goes to. */
export interface Arrival {
  readonly topic: string;
  readonly value: InputEvent | InputLabel;
}

/** Everything that is written, in the order it arrives. */
export function arrivalsOf({ events, marked }: Pick<Scenario, "events" | "marked">): Arrival[] {
  const timed: { readonly atMs: number; readonly arrival: Arrival }[] = [];
  events.forEach((wanted, id) => {
    const value = inputEvent(id, wanted);
    timed.push({ atMs: wanted.timeMs + wanted.delayMs, arrival: { topic: "events", value } });
    const ts = labelTimeOf(wanted);
    if (!marked || ts === null) return;
    const label = { id, key: value.key, other: value.other, ts, event_ts: value.ts };
    timed.push({ atMs: ts, arrival: { topic: "labels", value: label } });
  });
  return timed.sort((a, b) => a.atMs - b.atMs).map(({ arrival }) => arrival);
}

/** The sources of each first-stage task: by partition its events and its labels, as they lie in the log. */
export function sourcesOf(arrivals: readonly Arrival[], partitions: number): SourceRow[][][] {
  const sources: SourceRow[][][] = Array.from({ length: partitions }, () => [[], []]);
  for (const { topic, value } of arrivals) {
    const partition = partitionOf(value.key, partitions);
    const kind = topic === "events" ? "event" : "label";
    sources[partition]?.[kind === "event" ? 0 : 1]?.push({ id: value.id, kind, timeMs: value.ts, partition });
  }
  return sources;
}

export interface Run {
  readonly driver: TopologyTestDriver;
  readonly outputs: readonly ReadRecord<Readonly<Record<string, unknown>>>[];
  readonly traces: readonly Trace[];
  readonly arrivals: readonly Arrival[];
}

/** Runs a scenario to its end and hands what came of it to `check`. */
export async function runScenario(
  scenario: Scenario,
  check: (run: Run) => void | Promise<void>,
  built = build(scenario),
): Promise<void> {
  const { topology, schema, traces } = built;
  const driver = await TopologyTestDriver.open(topology, { partitions: scenario.partitions, settings: scenario.cut });
  try {
    const arrivals = arrivalsOf(scenario);
    await play(driver, scenario, arrivals);
    await check({ driver, outputs: driver.output("out", schema).readAll(), traces, arrivals });
  } finally {
    await driver.close();
  }
}

/** Writes the input, takes the steps, and settles. */
export async function play(
  driver: TopologyTestDriver,
  { partitions, steps, atOnce }: Scenario,
  arrivals: readonly Arrival[],
): Promise<void> {
  if (atOnce) await write(driver, arrivals);
  for (let i = 0; i < steps.length; i++) {
    const from = Math.floor((arrivals.length * i) / steps.length);
    const to = Math.floor((arrivals.length * (i + 1)) / steps.length);
    if (!atOnce) await write(driver, arrivals.slice(from, to));
    await take(driver, partitions, steps[i] as Step);
  }
  await driver.settle();
}

async function write(driver: TopologyTestDriver, arrivals: readonly Arrival[]): Promise<void> {
  for (const topic of new Set(arrivals.map((arrival) => arrival.topic))) {
    const values = arrivals.filter((arrival) => arrival.topic === topic).map(({ value }) => value);
    await driver.input(topic).pipeAll(values);
  }
}

async function take(driver: TopologyTestDriver, partitions: number, step: Step): Promise<void> {
  switch (step.kind) {
    case "settle":
      return driver.settle();
    case "cycle":
      await driver.cycle(step.task % partitions);
      return;
    case "wait":
      driver.clock.advance(step.ms);
      return;
    case "restart":
      return driver.restart(step.state);
    default:
      return step satisfies never;
  }
}

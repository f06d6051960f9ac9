import assert from "node:assert/strict";
import { type Aggregate, partitionOf } from "../../src/index.ts";
import { aggregateOf, eventsForLate, eventsIn, firstStageOrder, type HeldEvent, secondStageOrder } from "./oracle.ts";
import { featureName, featuresOfStages, inputEvent, type Run, sourcesOf, storeName, type Trace } from "./run.ts";
import { labelTimeOf, type Scenario, type WantedFeature } from "./scenario.ts";

export const markNames = ["fraud"];

/** Stands for a value that nothing is promised of. */
const unknown = Symbol("unknown");

interface Event extends HeldEvent {
  readonly marks: Set<string>;
}

/** What a stage must have made of its rows: features by event, and what it holds at the end. */
export interface StageExpectation {
  readonly features: ReadonlyMap<number, readonly unknown[]>;
  readonly late: ReadonlySet<number>;
  readonly held: readonly Event[];
}

/** Larger numbers are absent to features, as null is. */
const magnitudeLimit = 2 ** 450;

export function eventOf(scenario: Pick<Scenario, "events">, id: number): Event {
  const wanted = scenario.events[id];
  assert(wanted !== undefined);
  const { double } = wanted;
  const held = double !== null && Math.abs(double) > magnitudeLimit ? null : double;
  return { id, timeMs: wanted.timeMs, values: { ...inputEvent(id, wanted), double: held }, marks: new Set() };
}

/** The key a stage's events meet under. */
export function keyIn(scenario: Pick<Scenario, "events">, stage: number, id: number): string | number {
  const wanted = scenario.events[id];
  assert(wanted !== undefined);
  return stage === 0 ? `k${wanted.key}` : wanted.other;
}

/** The order time of every row of a first stage, in the order of the trace: the highest its task had seen. */
export function orderTimesOf(scenario: Pick<Scenario, "events" | "partitions">, trace: Trace): number[] {
  const highest = new Map<number, number>();
  return trace.map(({ kind, id }) => {
    const wanted = scenario.events[id];
    assert(wanted !== undefined);
    const task = partitionOf(keyIn(scenario, 0, id), scenario.partitions);
    const timeMs = kind === "label" ? (labelTimeOf(wanted) as number) : wanted.timeMs;
    const orderTimeMs = Math.max(highest.get(task) ?? Number.NEGATIVE_INFINITY, timeMs);
    highest.set(task, orderTimeMs);
    return orderTimeMs;
  });
}

const nameOf = ({ kind, id }: Trace[number]): string => `${kind} ${id}`;

/** Feature by feature, each from all that its key had read before. */
function expect(
  scenario: Scenario,
  stage: number,
  traces: readonly Trace[],
  before: StageExpectation | undefined,
): StageExpectation {
  const first = traces[0] as Trace;
  const trace = traces[stage] as Trace;
  const orderTimes = orderTimesOf(scenario, first);
  // Late once is late for ever; a stage behind finds more where it did not wait for a source.
  const late = new Set(before?.late);
  // A repartitioned row travels at its order time; the stage behind takes it no earlier than those before it.
  const travels = new Map(first.map((row, i) => [nameOf(row), orderTimes[i] as number]));
  const wanted = featuresOfStages(scenario)[stage] as readonly WantedFeature[];
  const held: Event[] = [];
  const marked = new Set<number>();
  const features = new Map<number, readonly unknown[]>();
  const highest = new Map<number, number>();
  const lastStage = stage === scenario.stages - 1;
  for (const row of trace) {
    const { kind, id } = row;
    const event = eventOf(scenario, id);
    const key = keyIn(scenario, stage, id);
    const task = partitionOf(key, scenario.partitions);
    const orderTimeMs = Math.max(highest.get(task) ?? Number.NEGATIVE_INFINITY, travels.get(nameOf(row)) as number);
    highest.set(task, orderTimeMs);
    if (kind === "label") {
      if (!lastStage) continue;
      marked.add(id);
      held.find((each) => each.id === id)?.marks.add("fraud");
      continue;
    }
    const graceFromMs = orderTimeMs - scenario.graceMs;
    if (event.timeMs < graceFromMs) late.add(id);
    if (late.has(id) && scenario.late !== "include") continue;
    const read = [...held.filter((each) => keyIn(scenario, stage, each.id) === key), event];
    const windows = wanted.map(({ window }) => window);
    features.set(
      id,
      wanted.map(({ window, aggregate }) => {
        const events = late.has(id)
          ? eventsForLate(window, windows, read, event, graceFromMs)
          : eventsIn(window, read, event.timeMs, event);
        return events === null ? unknown : aggregateOf(aggregate, events, markNames);
      }),
    );
    // A mark that waited counts from now on: no event sees its own.
    if (marked.has(id)) event.marks.add("fraud");
    if (!late.has(id)) held.push(event);
  }
  return { features, late, held };
}

/** Equal as values: -0 and 0 are one number here; that runs agree on the sign is for the hash of outputs to say. */
export function same(actual: unknown, expected: unknown): boolean {
  if (Array.isArray(actual) && Array.isArray(expected)) {
    return actual.length === expected.length && actual.every((each, i) => same(each, expected[i]));
  }
  return actual === expected;
}

/**
 * A variance rounds its exact numerator and then the quotient; what squares lose below the smallest double is no more
 * than `lost`.
 */
function near(actual: unknown, expected: unknown, lost: number): boolean {
  if (typeof actual !== "number" || typeof expected !== "number") return actual === expected;
  if (actual === expected) return true;
  return Math.abs(actual - expected) <= Math.max(2 ** -52 * Math.abs(expected), lost);
}

function agree(aggregate: Aggregate, actual: unknown, expected: unknown): boolean {
  switch (aggregate.kind) {
    case "variance":
      return near(actual, expected, 2 ** -1000);
    case "sd":
      return near(actual, expected, 2 ** -500);
    default:
      return same(actual, expected);
  }
}

const show = (value: unknown): string => JSON.stringify(value) ?? String(value);

export function checkValue(place: string, aggregate: Aggregate, actual: unknown, expected: unknown): void {
  if (expected === unknown || agree(aggregate, actual, expected)) return;
  assert.fail(`${place}: ${show(aggregate)} is ${show(actual)}, the oracle says ${show(expected)}`);
}

function checkFeature(place: string, { window, aggregate }: WantedFeature, actual: unknown, expected: unknown): void {
  checkValue(`${place}, over ${show(window)}`, aggregate, actual, expected);
}

/** Every output of a run against the oracle, in the order that the stages really took. @returns what is held, by stage */
export function checkOutputs(scenario: Scenario, { outputs, traces }: Run): readonly StageExpectation[] {
  const stages: StageExpectation[] = [];
  for (let stage = 0; stage < traces.length; stage++) {
    stages.push(expect(scenario, stage, traces, stages[stage - 1]));
  }
  const last = stages.at(-1) as StageExpectation;
  const ids = outputs.map(({ value }) => value?.id as number);
  assert.deepEqual(
    [...ids].sort((a, b) => a - b),
    [...last.features.keys()].sort((a, b) => a - b),
    "one output an event",
  );
  for (const { value } of outputs) {
    const id = value?.id as number;
    stages.forEach(({ features }, stage) => {
      const wanted = featuresOfStages(scenario)[stage] as readonly WantedFeature[];
      wanted.forEach((feature, i) => {
        const place = `event ${id} in stage ${stage}`;
        checkFeature(place, feature, value?.[featureName(stage, i)], features.get(id)?.[i]);
      });
    });
  }
  return stages;
}

/** What the stores hold of every key as of `afterMs` past the newest event, and as of the oldest instant within grace. */
export function checkState(
  scenario: Scenario,
  { driver }: Run,
  stages: readonly StageExpectation[],
  afterMs: readonly number[],
): void {
  const newest = Math.max(
    ...scenario.events.map((event) =>
      Math.max(event.timeMs, (scenario.marked ? labelTimeOf(event) : null) ?? event.timeMs),
    ),
  );
  stages.forEach(({ held }, stage) => {
    const wanted = featuresOfStages(scenario)[stage] as readonly WantedFeature[];
    for (const key of new Set(held.map(({ id }) => keyIn(scenario, stage, id)))) {
      const read = held.filter(({ id }) => keyIn(scenario, stage, id) === key);
      for (const after of afterMs) {
        const asOfMs = newest + Math.max(after, -scenario.graceMs);
        const state = driver.read(storeName(stage), key, asOfMs);
        wanted.forEach((feature, i) => {
          const expected = aggregateOf(feature.aggregate, eventsIn(feature.window, read, asOfMs, null), markNames);
          const place = `state of ${key} in stage ${stage} as of ${asOfMs}`;
          checkFeature(place, feature, state?.[featureName(stage, i)], expected);
        });
      }
    }
  });
}

/** Events after which nothing older or equal was read for their key: they have the features of sorted input. */
export function checkAsSorted(scenario: Scenario, run: Run): void {
  const stages = checkOutputs(scenario, run);
  const outputs = new Map(run.outputs.map(({ value }) => [value?.id as number, value]));
  stages.forEach(({ held }, stage) => {
    const wanted = featuresOfStages(scenario)[stage] as readonly WantedFeature[];
    held.forEach((event, at) => {
      const output = outputs.get(event.id);
      if (output === undefined) return; // a stage behind found it late
      const ofKey = (each: Event): boolean => keyIn(scenario, stage, each.id) === keyIn(scenario, stage, event.id);
      if (held.slice(at + 1).some((each) => ofKey(each) && each.timeMs <= event.timeMs)) return;
      const all = held.filter(ofKey).sort((a, b) => a.timeMs - b.timeMs);
      const sorted = all.slice(0, all.indexOf(event) + 1);
      wanted.forEach((feature, i) => {
        const expected = aggregateOf(
          feature.aggregate,
          eventsIn(feature.window, sorted, event.timeMs, event),
          markNames,
        );
        checkFeature(`event ${event.id} in stage ${stage}`, feature, output?.[featureName(stage, i)], expected);
      });
    });
  });
}

/** Each task of each stage took its rows in the one order that their places in the log give. */
export function checkOrder({ partitions, events }: Scenario, { traces, arrivals }: Run): void {
  const first = sourcesOf(arrivals, partitions).map(firstStageOrder);
  const takenBy = (trace: Trace, task: (id: number) => number, of: number): string[] =>
    trace.filter(({ id }) => task(id) === of).map(nameOf);
  const firstTask = (id: number): number => partitionOf(`k${events[id]?.key}`, partitions);
  const secondTask = (id: number): number => partitionOf(events[id]?.other as number, partitions);
  for (let task = 0; task < partitions; task++) {
    assert.deepEqual(
      takenBy(traces[0] as Trace, firstTask, task),
      first[task]?.map(nameOf),
      `task ${task} of the first stage`,
    );
    if (traces[1] === undefined) continue;
    const second = secondStageOrder(first.map((rows) => rows.filter(({ id }) => secondTask(id) === task)));
    assert.deepEqual(takenBy(traces[1], secondTask, task), second.map(nameOf), `task ${task} of the second stage`);
  }
}

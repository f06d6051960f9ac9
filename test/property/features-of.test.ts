import assert from "node:assert/strict";
import { test } from "vitest";
import { partitionOf, RecordSchema, type Stream, TopologyBuilder } from "../../src/index.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import { hold, timeoutMs } from "./hold.ts";
import { checkValue, eventOf } from "./judge.ts";
import { aggregateOf, eventsForLate, eventsIn, type HeldEvent } from "./oracle.ts";
import {
  type Arrival,
  avroTypeOf,
  eventFields,
  eventSchema,
  featureName,
  field,
  type InputEvent,
  inputEvent,
  play,
  record,
} from "./run.ts";
import { type Scenario, scenario, type WantedFeature } from "./scenario.ts";

// Events of a scenario that have a label are held here, the others ask. Both are of one key, `other`: with one stage both
// topics are partitioned by it, with two those that ask are partitioned by `key` and come over a repartition.

const holds = ({ events }: Scenario, id: number): boolean => (events[id]?.labelAfterMs ?? null) !== null;

interface Built {
  readonly driver: TopologyTestDriver;
  readonly schema: RecordSchema<Readonly<Record<string, unknown>>>;
  /** Ids of what the stage took, in the order it took them. */
  readonly taken: readonly number[];
}

/** Features without marks: what is held has none. */
const featuresIn = ({ features }: Scenario): readonly WantedFeature[] =>
  features.filter(({ aggregate }) => aggregate.column !== "fraud");

async function open(each: Scenario): Promise<Built> {
  const wanted = featuresIn(each);
  const taken: number[] = [];
  const take = ({ id }: InputEvent): void => void taken.push(id);
  const builder = new TopologyBuilder("property");
  const held = builder.stream("held", { schema: eventSchema, key: "other", time: "ts" }).peek("held-taken", take);
  const source = builder.stream("asking", {
    schema: eventSchema,
    key: each.stages === 1 ? "other" : "key",
    time: "ts",
  });
  const asking = each.stages === 1 ? source : source.repartition("by-other", { key: "other" });
  const answered = asking
    .peek("asking-taken", take)
    .featuresOf("known", held, { graceMs: each.graceMs, late: each.late }, () =>
      Object.fromEntries(wanted.map((feature, i) => [featureName(0, i), feature])),
    );
  const fields = wanted.map((feature, i) => field(featureName(0, i), avroTypeOf(feature)));
  const schema = new RecordSchema<Readonly<Record<string, unknown>>>(record("Out", [...eventFields, ...fields]));
  (answered as unknown as Stream<InputEvent>).to("out", {
    schema: schema as unknown as RecordSchema<InputEvent>,
    key: "other",
  });
  const driver = await TopologyTestDriver.open(builder.build(), {
    partitions: each.partitions,
    settings: each.cut,
  });
  return { driver, schema, taken };
}

function arrivalsOf(each: Scenario): Arrival[] {
  const { events } = each;
  const arrivalMs = (id: number): number => (events[id]?.timeMs ?? 0) + (events[id]?.delayMs ?? 0);
  const ids = events.map((_, id) => id).sort((a, b) => arrivalMs(a) - arrivalMs(b));
  return ids.map((id) => ({
    topic: holds(each, id) ? "held" : "asking",
    value: inputEvent(id, events[id] as Scenario["events"][number]),
  }));
}

/** The order time of each event as its own source has it: the highest time of its partition up to it. */
function sourceTimesOf(each: Scenario, arrivals: readonly Arrival[]): Map<number, number> {
  const highest = new Map<string, number>();
  const times = new Map<number, number>();
  for (const { topic, value } of arrivals) {
    const key = topic === "held" || each.stages === 1 ? value.other : value.key;
    const source = `${topic} ${partitionOf(key, each.partitions)}`;
    const timeMs = Math.max(highest.get(source) ?? Number.NEGATIVE_INFINITY, value.ts);
    highest.set(source, timeMs);
    times.set(value.id, timeMs);
  }
  return times;
}

/**
 * The one order of every task, from the log alone: by the time of the source, those that are held before those that ask,
 * and these by the task that sent them.
 */
function takenInOrder(each: Scenario): number[] {
  const arrivals = arrivalsOf(each);
  const times = sourceTimesOf(each, arrivals);
  const sourceOf = ({ topic, value }: Arrival): number =>
    topic === "held" ? -1 : each.stages === 1 ? 0 : partitionOf(value.key, each.partitions);
  const timeOf = ({ value }: Arrival): number => times.get(value.id) as number;
  return arrivals.sort((a, b) => timeOf(a) - timeOf(b) || sourceOf(a) - sourceOf(b)).map(({ value }) => value.id);
}

/** What each event that asks must be told, from what was taken before it. Left out: those that are not to go on. */
function answersOf(each: Scenario, taken: readonly number[]): Map<number, readonly unknown[]> {
  const sourceTimes = sourceTimesOf(each, arrivalsOf(each));
  const wanted = featuresIn(each);
  const windows = wanted.map(({ window }) => window);
  const highest = new Map<number, number>();
  const held: HeldEvent[] = [];
  const answers = new Map<number, readonly unknown[]>();
  for (const id of taken) {
    const event = eventOf(each, id);
    const key = each.events[id]?.other as number;
    const task = partitionOf(key, each.partitions);
    const orderTimeMs = Math.max(highest.get(task) ?? Number.NEGATIVE_INFINITY, sourceTimes.get(id) as number);
    highest.set(task, orderTimeMs);
    const graceFromMs = orderTimeMs - each.graceMs;
    const late = event.timeMs < graceFromMs;
    if (holds(each, id)) {
      if (!late) held.push(event);
      continue;
    }
    if (late && each.late !== "include") continue;
    const known = held.filter((other) => each.events[other.id]?.other === key);
    answers.set(
      id,
      wanted.map(({ window, aggregate }) => {
        // Who asks is not among those that are held: left out, as a current event is that leaves itself out.
        const others = { ...window, excludeCurrent: true };
        const events = late
          ? eventsForLate(others, windows, [...known, event], event, graceFromMs)
          : eventsIn(others, known, event.timeMs, null);
        return events === null ? undefined : aggregateOf(aggregate, events, []);
      }),
    );
  }
  return answers;
}

function check(each: Scenario, { driver, schema }: Built, taken: readonly number[]): void {
  const answers = answersOf(each, taken);
  const outputs = driver.output("out", schema).values();
  const sorted = (ids: Iterable<number>): number[] => [...ids].sort((a, b) => a - b);
  assert.deepEqual(sorted(outputs.map(({ id }) => id as number)), sorted(answers.keys()), "one output an ask");
  const wanted = featuresIn(each);
  for (const output of outputs) {
    answers.get(output.id as number)?.forEach((answer, i) => {
      if (answer === undefined) return; // nothing is promised
      const { window, aggregate } = wanted[i] as WantedFeature;
      const place = `event ${output.id} of ${output.other} over ${JSON.stringify(window)}`;
      checkValue(place, aggregate, output[featureName(0, i)], answer);
    });
  }
}

test("a feature over another stream equals the oracle over its events read before, however cut and restarted", {
  timeout: timeoutMs,
}, async () => {
  await hold("features-of", 60, scenario({ beyond: true, atOnce: false, eventsMax: 300 }), async (each) => {
    const built = await open(each);
    try {
      await play(built.driver, each, arrivalsOf(each));
      check(each, built, built.taken);
    } finally {
      await built.driver.close();
    }
  });
});

test("events that wait in the log are told what the order of the log says, whichever task runs first", {
  timeout: timeoutMs,
}, async () => {
  await hold("features-of-at-once", 40, scenario({ beyond: true, atOnce: true, eventsMax: 200 }), async (each) => {
    const built = await open(each);
    try {
      await play(built.driver, each, arrivalsOf(each));
      check(each, built, takenInOrder(each));
      assert.deepEqual(built.driver.records("property-choices"), []);
    } finally {
      await built.driver.close();
    }
  });
});

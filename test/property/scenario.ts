import fc from "fast-check";
import type { Aggregate, EventWindow, KeyWindow, LatePolicy, TaskSettings } from "../../src/index.ts";

/** A feature as a scenario asks for it. */
export interface WantedFeature {
  readonly window: EventWindow;
  readonly aggregate: Aggregate;
}

/** An event of the input; its number is its place in `Scenario.events`. */
export interface WantedEvent {
  readonly timeMs: number;
  /** How much later than its time it arrives, in event time: beyond the grace it may be late. */
  readonly delayMs: number;
  readonly key: number;
  readonly other: number;
  readonly whole: number | null;
  readonly double: number | null;
  readonly text: string | null;
  readonly flag: boolean | null;
  /** How long after its arrival its label comes; 0 or less: before it. Null: no label. */
  readonly labelAfterMs: number | null;
}

/** The event time of an event's label. */
export function labelTimeOf({ timeMs, delayMs, labelAfterMs }: WantedEvent): number | null {
  return labelAfterMs === null ? null : timeMs + delayMs + labelAfterMs;
}

/** How a run is cut and bounded, which no result may depend on. */
export type Cut = Pick<
  TaskSettings,
  "commitRecordsMax" | "commitsInFlightMax" | "bufferedRecordsMax" | "cacheBytes" | "flushIntervalMs"
>;

/** What happens between two pieces of the input. */
export type Step =
  | { readonly kind: "settle" }
  /** One cycle of a task. */
  | { readonly kind: "cycle"; readonly task: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "restart"; readonly state: "kept" | "lost" };

export interface Scenario {
  readonly partitions: number;
  readonly stages: 1 | 2;
  readonly graceMs: number;
  readonly late: LatePolicy;
  readonly marked: boolean;
  readonly features: readonly WantedFeature[];
  readonly events: readonly WantedEvent[];
  readonly steps: readonly Step[];
  /** Whether the whole input lies in the log before the first step; else a piece of it is written before each. */
  readonly atOnce: boolean;
  readonly cut: Cut;
}

export const epochMs = Date.UTC(2020, 0, 1);

// Few lengths over short steps of time, so that events fall on the bounds of windows.
const length = fc.constantFrom(1, 2, 5, 10, 20, 50, 100, 400);
const delay = fc.oneof(
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(1, 5, 10, 40, 100) },
);

const eventWindow: fc.Arbitrary<EventWindow> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("sliding" as const),
      sizeMs: length,
      delayMs: delay,
      closed: fc.constantFrom("right" as const, "both" as const),
      excludeCurrent: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("count" as const),
      size: fc.constantFrom(1, 2, 3, 7, 30),
      excludeCurrent: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unbounded" as const), excludeCurrent: fc.boolean() }) },
);

const numeric = fc.constantFrom("whole", "double", "flag");
const scalar = fc.constantFrom("whole", "double", "flag", "text");
const size = fc.constantFrom(1, 2, 3, 10);
// Among them 0.28, 0.55 and 0.56, whose products with 25 and 20 values are a little more than whole as doubles.
const fraction = fc.constantFrom(0.01, 0.1, 0.25, 0.28, 0.5, 0.55, 0.56, 0.9, 0.95, 0.99, 1);

/** Every kind of aggregate. Those of integers and of doubles are different code, so columns are drawn as well. */
export const aggregate: fc.Arbitrary<Aggregate> = fc.oneof(
  fc.constant({ kind: "count" as const }),
  fc.record({ kind: fc.constant("count" as const), column: scalar }),
  fc.record({ kind: fc.constant("sum" as const), column: numeric }),
  fc.record({ kind: fc.constant("mean" as const), column: numeric, per: fc.constantFrom(1, 100) }),
  fc.record({ kind: fc.constant("variance" as const), column: numeric }),
  fc.record({ kind: fc.constant("sd" as const), column: numeric }),
  fc.record({ kind: fc.constant("min" as const), column: numeric }),
  fc.record({ kind: fc.constant("max" as const), column: numeric }),
  fc.record({ kind: fc.constant("distinct" as const), column: scalar }),
  fc.record({ kind: fc.constant("first" as const), column: scalar, size }),
  fc.record({ kind: fc.constant("last" as const), column: scalar, size }),
  fc.record({ kind: fc.constant("latest" as const), column: scalar }),
  fc.record({ kind: fc.constant("top" as const), column: scalar, size }),
  fc.record({ kind: fc.constant("percentile" as const), column: numeric, fraction }),
  fc.record({ kind: fc.constant("ratio" as const), column: numeric }),
);

const ofMarks: fc.Arbitrary<Aggregate> = fc.constantFrom<Aggregate>(
  { kind: "ratio", column: "fraud" },
  { kind: "sum", column: "fraud" },
  { kind: "mean", column: "fraud", per: 1 },
);

const double = fc.oneof(
  fc.integer({ min: -4, max: 4 }),
  fc.integer({ min: -300, max: 300 }).map((tenths) => tenths / 10),
  fc.constantFrom(-0, 1e16, -1e16, 1, 0.1, 1e-3, 123456789.125),
  fc.double({ noNaN: true, min: -1e15, max: 1e15 }),
);
/** The ends of the range: sums overflow, squares vanish. */
const extremeDouble = fc.oneof(
  double,
  fc.constantFrom(5e-324, -5e-324, 1e-200, 1.7e308, -1.7e308, 1e160),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const whole = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.integer({ min: -(2 ** 30), max: 2 ** 30 }),
  fc.constantFrom(2 ** 43, -(2 ** 43), 2 ** 43 - 1),
);
const text = fc.constantFrom(
  "",
  "a",
  "b",
  "ab",
  "Z",
  "é",
  "\u{1F600}",
  "a longer text that does not fit into a few bytes",
);

function event(
  doubles: fc.Arbitrary<number>,
  graceMs: number,
  { beyond, early = false }: ScenarioLimits,
): fc.Arbitrary<Omit<WantedEvent, "timeMs"> & { step: number }> {
  const late = fc.integer({ min: 0, max: graceMs });
  const tooLate = fc.integer({ min: 0, max: 3 * graceMs + 30 });
  return fc.record({
    step: fc.constantFrom(0, 0, 1, 1, 2, 5, 5, 10, 20, 60),
    delayMs: fc.oneof(
      { weight: 2, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: late },
      { weight: beyond ? 1 : 0, arbitrary: tooLate },
    ),
    key: fc.constantFrom(0, 0, 0, 1, 2, 3),
    other: fc.constantFrom(0, 0, 0, 1, 2, 3),
    whole: fc.option(whole, { freq: 5 }),
    double: fc.option(doubles, { freq: 5 }),
    text: fc.option(text, { freq: 5 }),
    flag: fc.option(fc.boolean(), { freq: 5 }),
    labelAfterMs: fc.option(fc.constantFrom(...(early ? [-30, -1, 0, 5] : [1, 5, 40, 300])), { freq: 2 }),
  });
}

export interface ScenarioLimits {
  /** Whether events may come after their grace. */
  readonly beyond: boolean;
  readonly atOnce: boolean;
  readonly eventsMax: number;
  /** Whether labels may come before their events. Default false. */
  readonly early?: boolean;
}

/** Events by ascending time, with the delay of each: the order of arrival is that of (time + delay). */
function wantedEvents(graceMs: number, limits: ScenarioLimits): fc.Arbitrary<WantedEvent[]> {
  const { eventsMax } = limits;
  const few = { minLength: 1, maxLength: Math.min(40, eventsMax), size: "max" as const };
  const many = { minLength: Math.min(150, eventsMax), maxLength: eventsMax, size: "max" as const };
  const list = fc.oneof(
    { weight: 5, arbitrary: fc.array(event(double, graceMs, limits), few) },
    { weight: 1, arbitrary: fc.array(event(extremeDouble, graceMs, limits), few) },
    { weight: 1, arbitrary: fc.array(event(double, graceMs, limits), many) },
  );
  return list.map((drawn) => {
    let timeMs = epochMs;
    return drawn.map(({ step, ...rest }) => {
      timeMs += step;
      return { timeMs, ...rest };
    });
  });
}

export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ kind: "settle" }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("cycle" as const), task: fc.nat({ max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(1, 10, 2000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("restart" as const),
      state: fc.constantFrom("kept" as const, "lost" as const),
    }),
  },
);

export const cut: fc.Arbitrary<Cut> = fc.record({
  commitRecordsMax: fc.constantFrom(1, 2, 3, 7, 50, 2000),
  commitsInFlightMax: fc.constantFrom(1, 3),
  bufferedRecordsMax: fc.constantFrom(5, 20_000),
  cacheBytes: fc.constantFrom(1, 4096, 65_536, 1 << 26),
  flushIntervalMs: fc.constantFrom(0, 10, 1000, 1_000_000),
});

export function scenario(limits: ScenarioLimits): fc.Arbitrary<Scenario> {
  return fc.record({ graceMs: fc.constantFrom(0, 1, 10, 50, 200), marked: fc.boolean() }).chain(({ graceMs, marked }) =>
    fc.record({
      partitions: fc.constantFrom(1, 1, 2, 3, 4),
      stages: fc.constantFrom(1 as const, 2 as const),
      graceMs: fc.constant(graceMs),
      late: fc.constantFrom<LatePolicy>("include", "include", "aside", "drop"),
      marked: fc.constant(marked),
      features: features(marked),
      events: wantedEvents(graceMs, limits),
      steps: fc.array(step, { minLength: 1, maxLength: 12, size: "max" }),
      atOnce: fc.constant(limits.atOnce),
      cut,
    }),
  );
}

/** Some aggregates over few windows: most windows carry several aggregates, most reservoirs several windows. */
function features(marked: boolean): fc.Arbitrary<WantedFeature[]> {
  const windows = fc.array(eventWindow, { minLength: 1, maxLength: 4, size: "max" });
  return windows.chain((windows) =>
    fc.array(
      fc.record({
        window: fc.constantFrom(...windows),
        aggregate: marked
          ? fc.oneof({ weight: 3, arbitrary: aggregate }, { weight: 1, arbitrary: ofMarks })
          : aggregate,
      }),
      { minLength: 1, maxLength: 8, size: "max" },
    ),
  );
}

/** Lengths that cut the short steps of time often, and the gaps and hops that go with them. */
export function keyWindow(graceMs: number): fc.Arbitrary<KeyWindow> {
  const hops = fc.constantFrom([10, 5], [20, 5], [30, 10], [100, 25], [60, 20]);
  return fc.oneof(
    length.map((sizeMs) => ({ kind: "tumbling" as const, sizeMs, graceMs })),
    hops.map(([sizeMs, advanceMs]) => ({
      kind: "hopping" as const,
      sizeMs: sizeMs as number,
      advanceMs: advanceMs as number,
      graceMs,
    })),
    length.map((gapMs) => ({ kind: "session" as const, gapMs, graceMs })),
  );
}

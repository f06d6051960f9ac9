import { assert } from "../core/assert.ts";
import type { Counter, Gauge, Histogram, Labels, Meter } from "../core/meter.ts";
import { type MetricType, metricOf } from "./metrics.ts";

/** A series, described once, in the report after it was opened. Its values follow those of the series before it. */
export interface SeriesDefinition {
  readonly type: MetricType;
  readonly name: string;
  readonly labels: Labels;
}

/**
 * What an engine thread measured since its last report. Numbers only, so that it costs one small copy and one transfer:
 * post it with `[report.values.buffer]` as the transfer list, at most a few times a second.
 *
 *   values  | series 0 | series 1 | ...       in the order the series were opened, over all reports
 *   counter | added since the last report |
 *   gauge   | value, NaN when it has none |
 *   histogram of n buckets | n + 1 counts since the last report, +Inf last | sum since the last report |
 */
export interface MeterReport {
  /** Series opened since the last report. */
  readonly opened: readonly SeriesDefinition[];
  readonly values: Float64Array<ArrayBuffer>;
}

/** A meter whose gauges end with what they describe. */
export interface MeterScope extends Meter {
  /** Takes the scope's gauges off the page; counters and histograms stay, as they must never fall. */
  close(): void;
}

interface Series extends SeriesDefinition {
  readonly at: number;
  /** Upper bounds of a histogram, none otherwise. */
  readonly bounds: readonly number[];
}

/** The values, behind one reference that survives growth. */
class Slots {
  values = new Float64Array(64);
  used = 0;

  take(count: number): number {
    const at = this.used;
    this.used += count;
    if (this.used > this.values.length) {
      const grown = new Float64Array(Math.max(this.used, this.values.length * 2));
      grown.set(this.values);
      this.values = grown;
    }
    return at;
  }
}

class SlotCounter implements Counter {
  readonly #slots: Slots;
  readonly #at: number;

  constructor(slots: Slots, at: number) {
    this.#slots = slots;
    this.#at = at;
  }

  add(count: number): void {
    assert(count >= 0, () => `a counter was moved by ${count}`);
    const values = this.#slots.values;
    values[this.#at] = (values[this.#at] ?? 0) + count;
  }
}

class SlotGauge implements Gauge {
  readonly #slots: Slots;
  readonly #at: number;

  constructor(slots: Slots, at: number) {
    this.#slots = slots;
    this.#at = at;
  }

  set(value: number): void {
    this.#slots.values[this.#at] = value;
  }
}

class SlotHistogram implements Histogram {
  readonly #slots: Slots;
  readonly #at: number;
  readonly #bounds: readonly number[];

  constructor(slots: Slots, at: number, bounds: readonly number[]) {
    this.#slots = slots;
    this.#at = at;
    this.#bounds = bounds;
  }

  /** NaN is not counted: it would turn the sum into NaN for ever. */
  observe(value: number): void {
    if (Number.isNaN(value)) return;
    const values = this.#slots.values;
    const count = this.#at + bucketOf(this.#bounds, value);
    const sum = this.#at + this.#bounds.length + 1;
    values[count] = (values[count] ?? 0) + 1;
    values[sum] = (values[sum] ?? 0) + value;
  }
}

/** The first bucket whose upper bound is not below the value; `bounds.length` is +Inf. */
export function bucketOf(bounds: readonly number[], value: number): number {
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
  return bucket;
}

/** Values a series of this type takes in a report. */
export function slotCountOf(type: MetricType, bounds: readonly number[]): number {
  return type === "histogram" ? bounds.length + 2 : 1;
}

/**
 * The meter of one engine thread: bumps numbers in one array and hands over differences. The main thread adds them to
 * what it exposes (`PrometheusMeter.merge`).
 *
 * Series are kept for the life of the thread, so their number is bounded by the tasks and nodes it has ever hosted.
 */
export class ThreadMeter {
  readonly #slots = new Slots();
  readonly #series = new Map<string, Series>();
  readonly #all: Series[] = [];
  #reported = 0;

  /** A meter for something with an end, such as a task. */
  open(): MeterScope {
    const gauges: Gauge[] = [];
    return {
      counter: (name, ...labels) => new SlotCounter(this.#slots, this.#openSeries("counter", name, labels).at),
      gauge: (name, ...labels) => {
        const gauge = new SlotGauge(this.#slots, this.#openSeries("gauge", name, labels).at);
        gauges.push(gauge);
        return gauge;
      },
      histogram: (name, ...labels) => {
        const series = this.#openSeries("histogram", name, labels);
        return new SlotHistogram(this.#slots, series.at, series.bounds);
      },
      close: () => {
        for (const gauge of gauges) gauge.set(Number.NaN);
      },
    };
  }

  /** Differences since the last call; counters and histograms start again from zero. */
  report(): MeterReport {
    const slots = this.#slots;
    const values = slots.values.slice(0, slots.used);
    const opened = this.#all.slice(this.#reported).map(({ type, name, labels }) => ({ type, name, labels }));
    this.#reported = this.#all.length;
    for (const { type, at, bounds } of this.#all) {
      if (type !== "gauge") slots.values.fill(0, at, at + slotCountOf(type, bounds));
    }
    return { opened, values };
  }

  #openSeries(type: MetricType, name: string, labels: Labels): Series {
    const bounds = metricOf(name, type, labels).buckets ?? [];
    const key = JSON.stringify([name, ...labels]);
    const known = this.#series.get(key);
    if (known) return known;
    const series: Series = { type, name, labels, bounds, at: this.#slots.take(slotCountOf(type, bounds)) };
    if (type === "gauge") this.#slots.values[series.at] = Number.NaN;
    this.#series.set(key, series);
    this.#all.push(series);
    return series;
  }
}

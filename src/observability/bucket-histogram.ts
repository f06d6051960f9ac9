import type { Histogram, Labels } from "../core/meter.ts";
import type { Metric } from "./metrics.ts";
import { bucketOf } from "./thread-meter.ts";

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * A histogram that whole buckets can be added to, which prom-client's own cannot. A registry renders it through `get`
 * like any other metric.
 */
export class BucketHistogram {
  readonly type = "histogram";
  readonly name: string;
  readonly help: string;
  readonly aggregator = "sum";
  readonly #labelNames: readonly string[];
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, BucketSeries>();

  constructor(name: string, metric: Metric) {
    this.name = name;
    this.help = metric.help;
    this.#labelNames = metric.labels;
    this.#bounds = metric.buckets ?? [];
  }

  series(labels: Labels): BucketSeries {
    const key = JSON.stringify(labels);
    let series = this.#series.get(key);
    if (!series) {
      series = new BucketSeries(
        this.#bounds,
        Object.fromEntries(this.#labelNames.map((name, i) => [name, labels[i] ?? ""])),
      );
      this.#series.set(key, series);
    }
    return series;
  }

  get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: Sample[] }> {
    const { name, help, type, aggregator } = this;
    const values = Array.from(this.#series.values(), (series) => series.samples(name)).flat();
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  reset(): void {
    this.#series.clear();
  }
}

/** One series of a histogram. Counts are per bucket here and cumulative only on the page. */
export class BucketSeries implements Histogram {
  readonly #bounds: readonly number[];
  readonly #labels: Readonly<Record<string, string>>;
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[], labels: Readonly<Record<string, string>>) {
    this.#bounds = bounds;
    this.#labels = labels;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** NaN is not counted: it would turn the sum into NaN for ever. */
  observe(value: number): void {
    if (Number.isNaN(value)) return;
    const bucket = bucketOf(this.#bounds, value);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** Adds one count per bucket, then the sum, as a `MeterReport` lays them out. */
  add(values: Float64Array, at: number): void {
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + (values[at + bucket] ?? 0);
    }
    this.#sum += values[at + this.#counts.length] ?? 0;
  }

  samples(name: string): Sample[] {
    const samples: Sample[] = [];
    let count = 0;
    this.#counts.forEach((inBucket, bucket) => {
      count += inBucket;
      const le = this.#bounds[bucket]?.toString() ?? "+Inf";
      samples.push({ metricName: `${name}_bucket`, labels: { ...this.#labels, le }, value: count });
    });
    samples.push({ metricName: `${name}_sum`, labels: this.#labels, value: this.#sum });
    samples.push({ metricName: `${name}_count`, labels: this.#labels, value: count });
    return samples;
  }
}

import { Counter as PromCounter, Gauge as PromGauge, type Metric as PromMetric, Registry } from "prom-client";
import { assert } from "../core/assert.ts";
import type { Counter, Gauge, Histogram, Labels, Meter } from "../core/meter.ts";
import { BucketHistogram } from "./bucket-histogram.ts";
import { type Metric, type MetricName, metricOf, metrics } from "./metrics.ts";
import { type MeterReport, type SeriesDefinition, slotCountOf } from "./thread-meter.ts";

/** A series of an engine thread, as the main thread knows it. */
interface ThreadSeries {
  readonly width: number;
  /** Takes in the values that begin at `at`. */
  merge(values: Float64Array, at: number): void;
}

/** A gauge that engine threads set, and the thread that set it last. */
class ThreadGauge {
  readonly #family: PromGauge;
  readonly #labels: Labels;
  #owner: number | undefined;

  constructor(family: PromGauge, labels: Labels) {
    this.#family = family;
    this.#labels = labels;
  }

  /**
   * @param value NaN takes the series off the page, if this thread was the last to set it: a task that moves may be
   *   measured by its new thread before its old one lets go
   */
  set(thread: number, value: number): void {
    if (!Number.isNaN(value)) {
      this.#owner = thread;
      this.#family.labels(...this.#labels).set(value);
    } else if (this.#owner === thread) {
      this.#owner = undefined;
      this.#family.remove(...this.#labels);
    }
  }
}

/**
 * The meter of the main thread, and the page: holds one prom-client registry with every family of the catalogue, its
 * own series and those of all engine threads.
 */
export class PrometheusMeter implements Meter {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, PromCounter>();
  readonly #gauges = new Map<string, PromGauge>();
  readonly #histograms = new Map<string, BucketHistogram>();
  readonly #threads = new Map<number, ThreadSeries[]>();
  readonly #threadGauges = new Map<string, ThreadGauge>();

  constructor() {
    for (const name of Object.keys(metrics)) this.#register(name, metrics[name as MetricName]);
  }

  counter(name: string, ...labels: Labels): Counter {
    metricOf(name, "counter", labels);
    const series = this.#counters.get(name)?.labels(...labels);
    series?.inc(0); // on the page from the start, so that a first increase is seen as one
    return { add: (count) => series?.inc(count) };
  }

  gauge(name: string, ...labels: Labels): Gauge {
    metricOf(name, "gauge", labels);
    const series = this.#gauges.get(name)?.labels(...labels);
    return { set: (value) => series?.set(value) };
  }

  histogram(name: string, ...labels: Labels): Histogram {
    metricOf(name, "histogram", labels);
    return this.#histogram(name).series(labels);
  }

  /**
   * Takes in what a thread measured since its last report. The reports of one thread must come in the order it made
   * them, each once. A thread's number is used again only after `closeThread`.
   */
  merge(thread: number, report: MeterReport): void {
    const all = this.#threads.get(thread) ?? [];
    this.#threads.set(thread, all);
    for (const series of report.opened) all.push(this.#threadSeries(thread, series));
    let at = 0;
    for (const series of all) {
      series.merge(report.values, at);
      at += series.width;
    }
  }

  /** Removes the gauges a thread leaves behind; what it counted stays. */
  closeThread(thread: number): void {
    this.#threads.delete(thread);
    for (const gauge of this.#threadGauges.values()) gauge.set(thread, Number.NaN);
  }

  /** The page in Prometheus' text format 0.0.4. */
  page(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  #register(name: string, metric: Metric): void {
    const { help, labels } = metric;
    const configuration = { name, help, labelNames: [...labels], registers: [this.#registry] };
    if (metric.type === "counter") this.#counters.set(name, new PromCounter(configuration));
    else if (metric.type === "gauge") this.#gauges.set(name, new PromGauge(configuration));
    else {
      const histogram = new BucketHistogram(name, metric);
      this.#histograms.set(name, histogram);
      // A registry asks a metric for its name and its `get` alone.
      this.#registry.registerMetric(histogram as unknown as PromMetric<string>);
    }
  }

  #histogram(name: string): BucketHistogram {
    const histogram = this.#histograms.get(name);
    assert(histogram !== undefined, () => `histogram ${name} is not registered`);
    return histogram;
  }

  #threadGauge(name: string, labels: Labels): ThreadGauge {
    const key = JSON.stringify([name, ...labels]);
    let gauge = this.#threadGauges.get(key);
    if (!gauge) {
      const family = this.#gauges.get(name);
      assert(family !== undefined, () => `gauge ${name} is not registered`);
      gauge = new ThreadGauge(family, labels);
      this.#threadGauges.set(key, gauge);
    }
    return gauge;
  }

  #threadSeries(thread: number, { type, name, labels }: SeriesDefinition): ThreadSeries {
    const width = slotCountOf(type, metricOf(name, type, labels).buckets ?? []);
    switch (type) {
      case "counter": {
        const counter = this.counter(name, ...labels);
        return { width, merge: (values, at) => counter.add(values[at] ?? 0) };
      }
      case "gauge": {
        const gauge = this.#threadGauge(name, labels);
        return { width, merge: (values, at) => gauge.set(thread, values[at] ?? Number.NaN) };
      }
      case "histogram": {
        const histogram = this.#histogram(name).series(labels);
        return { width, merge: (values, at) => histogram.add(values, at) };
      }
      default:
        return type satisfies never;
    }
  }
}

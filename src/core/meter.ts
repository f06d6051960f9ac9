/** Label values of one series, in the order of the metric's label names. Never a record key or an event id. */
export type Labels = readonly string[];

/**
 * Where measurements go. Layers are handed one by constructor, so none of them knows prom-client.
 * Series are looked up once, at construction, and bumped per batch: nothing here is called per record.
 */
export interface Meter {
  counter(name: string, ...labels: Labels): Counter;
  gauge(name: string, ...labels: Labels): Gauge;
  histogram(name: string, ...labels: Labels): Histogram;
}

export interface Counter {
  add(count: number): void;
}

export interface Gauge {
  set(value: number): void;
}

export interface Histogram {
  observe(value: number): void;
}

const nothing = { add: () => {}, set: () => {}, observe: () => {} };

/** Measures nothing: for tests and embedded use. */
export const noMeter: Meter = { counter: () => nothing, gauge: () => nothing, histogram: () => nothing };

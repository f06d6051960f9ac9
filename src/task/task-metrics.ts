import type { Clock } from "../core/clock.ts";
import type { Counter, Gauge, Histogram, Meter } from "../core/meter.ts";
import type { StateDatabase } from "../state/state-database.ts";
import type { InputSource } from "./input-source.ts";
import type { SinkProcessor } from "./processors/sink.ts";
import type { Stage } from "./stage.ts";

interface InputSeries {
  readonly input: InputSource;
  readonly consumed: Counter;
  readonly lagRecords: Gauge;
  readonly lagSeconds: Gauge;
  readonly paused: Gauge;
  position: number;
}

/** What a task measures, once a commit. */
export class TaskMetrics {
  readonly #clock: Clock;
  readonly #database: StateDatabase;
  readonly #inputs: readonly InputSeries[];
  readonly #sinks: readonly { readonly sink: SinkProcessor; readonly latency: Histogram }[];
  readonly #processed: Counter;
  readonly #records: Histogram;
  readonly #seconds: Histogram;
  readonly #cacheBytes: Gauge;
  readonly #stageSeconds: ReadonlyMap<Stage, Histogram>;

  constructor(options: {
    readonly application: string;
    readonly partition: number;
    readonly stages: readonly Stage[];
    readonly database: StateDatabase;
    readonly clock: Clock;
    readonly meter: Meter;
  }) {
    const { application, stages, database, clock, meter } = options;
    const partition = String(options.partition);
    this.#clock = clock;
    this.#database = database;
    this.#inputs = stages
      .flatMap(({ inputs }) => inputs)
      .map((input) => ({
        input,
        consumed: meter.counter("kappa_records_consumed_total", input.node.topic, partition),
        lagRecords: meter.gauge("kappa_consumer_lag_records", input.node.topic, partition),
        lagSeconds: meter.gauge("kappa_consumer_lag_seconds", input.node.topic, partition),
        paused: meter.gauge("kappa_input_paused", input.node.topic, partition),
        position: input.position,
      }));
    this.#sinks = stages
      .flatMap(({ sinks }) => sinks)
      .map((sink) => ({ sink, latency: meter.histogram("kappa_record_e2e_latency_seconds", application, sink.topic) }));
    this.#processed = meter.counter("kappa_records_processed_total", application);
    this.#records = meter.histogram("kappa_commit_records", application);
    this.#seconds = meter.histogram("kappa_commit_duration_seconds", application);
    this.#cacheBytes = meter.gauge("kappa_state_cache_bytes", partition);
    this.#stageSeconds = new Map(
      stages.map((stage) => [
        stage,
        meter.histogram("kappa_process_duration_seconds", application, String(stage.index)),
      ]),
    );
  }

  /** A commit of `rows` rows was handed to the log. */
  committed(rows: number): void {
    this.#processed.add(rows);
    this.#records.observe(rows);
    for (const series of this.#inputs) {
      const { position } = series.input;
      series.consumed.add(position - series.position);
      series.position = position;
    }
    for (const { sink, latency } of this.#sinks) {
      const newestMs = sink.measure();
      if (newestMs !== null) latency.observe(Math.max(0, this.#clock.now() - newestMs) / 1000);
    }
  }

  /** A stage took its rows of a commit through its processors. */
  processed(stage: Stage, seconds: number): void {
    this.#stageSeconds.get(stage)?.observe(seconds);
  }

  /** A commit that took `seconds` became durable. */
  durable(seconds: number): void {
    this.#seconds.observe(seconds);
  }

  /** Gauges, now and then. */
  sample(): void {
    this.#cacheBytes.set(this.#database.cachedBytes);
    for (const { input, lagRecords, lagSeconds, paused } of this.#inputs) {
      paused.set(input.waitsFor === null ? 0 : 1);
      const lag = input.lag;
      lagRecords.set(lag);
      lagSeconds.set(lag === 0 ? 0 : Math.max(0, this.#clock.now() - input.orderTimeMs) / 1000);
    }
  }
}

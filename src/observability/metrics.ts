import { assert } from "../core/assert.ts";

export type MetricType = "counter" | "gauge" | "histogram";

/** One metric family. */
export interface Metric {
  readonly type: MetricType;
  /** One line, without a full stop; says what is counted and, for a gauge, what its zero means. */
  readonly help: string;
  /** Label names. Never a record key, an event id or anything else that grows with the data. */
  readonly labels: readonly string[];
  /** Histograms only: upper bounds, ascending, without the implied +Inf. */
  readonly buckets?: readonly number[];
}

/** 10 us to 10 s, three bounds a decade: from one scored row to a commit that waits for a slow disk. */
const durationBuckets = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
  5, 10,
] as const;

/** 1 ms to an hour: live rows on the left, rows of a replay or a catch-up on the right. */
const latencyBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600,
] as const;

const scoreBuckets = [
  0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1,
] as const;

const recordBuckets = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536] as const;

/**
 * Every metric of the project, in the order of the way of the data. Base units, `_total` on counters and on nothing
 * else. `docs/metrics.md` is generated from here (`npm run docs`).
 */
export const metrics = {
  kappa_build_info: { type: "gauge", help: "1, labelled with what is running", labels: ["version", "node"] },
  kappa_stream_state: {
    type: "gauge",
    help: "1 for the state the application is in, 0 for the states it has left",
    labels: ["state"],
  },
  kappa_records_consumed_total: {
    type: "counter",
    help: "Input records committed, including dead letters and late ones",
    labels: ["topic", "partition"],
  },
  kappa_consumer_lag_records: {
    type: "gauge",
    help: "Records between a task's position and the end of its input partition",
    labels: ["topic", "partition"],
  },
  kappa_consumer_lag_seconds: {
    type: "gauge",
    help: "Age of the next record to read, 0 when caught up",
    labels: ["topic", "partition"],
  },
  kappa_input_paused: {
    type: "gauge",
    help: "1 while an input waits for a schema that the registry has not told yet, 0 otherwise",
    labels: ["topic", "partition"],
  },
  kappa_schema_requests_total: {
    type: "counter",
    help: "Requests for a schema id that was seen for the first time, by outcome: found, unknown, or failed and tried again",
    labels: ["outcome"],
  },
  kappa_records_processed_total: {
    type: "counter",
    help: "Rows processed, counted once in each sub-topology they pass",
    labels: ["application"],
  },
  kappa_process_duration_seconds: {
    type: "histogram",
    help: "Time a sub-topology took over the rows of one commit, models left out",
    labels: ["application", "sub_topology"],
    buckets: durationBuckets,
  },
  kappa_records_late_total: {
    type: "counter",
    help: "Records past grace: answered as of their time, not inserted into the store's windows",
    labels: ["application", "store"],
  },
  kappa_records_dropped_total: {
    type: "counter",
    help: "Records that ended at a node, by reason: null_key, late, expired or duplicate",
    labels: ["application", "node", "reason"],
  },
  kappa_dlq_records_total: {
    type: "counter",
    help: "Records written to a dead letter topic",
    labels: ["topic", "stage", "reason"],
  },
  kappa_rule_failures_total: {
    type: "counter",
    help: "Rows for which a rule could not be evaluated; such a rule does not match",
    labels: ["rule"],
  },
  kappa_scoring_duration_seconds: {
    type: "histogram",
    help: "Time one call of the model took over one micro-batch",
    labels: ["model", "version"],
    buckets: durationBuckets,
  },
  kappa_score: {
    type: "histogram",
    help: "Scores the model gave, for models whose output is a probability",
    labels: ["model", "version"],
    buckets: scoreBuckets,
  },
  kappa_scores_invalid_total: {
    type: "counter",
    help: "Scores that were no number or out of range; their rows go to review",
    labels: ["model", "version"],
  },
  kappa_model_info: { type: "gauge", help: "1 for each model in use", labels: ["model", "version"] },
  kappa_records_produced_total: { type: "counter", help: "Output records committed", labels: ["topic"] },
  kappa_commit_duration_seconds: {
    type: "histogram",
    help: "Time from the start of a commit until the log called it durable",
    labels: ["application"],
    buckets: durationBuckets,
  },
  kappa_commit_records: {
    type: "histogram",
    help: "Input records one commit covered",
    labels: ["application"],
    buckets: recordBuckets,
  },
  kappa_record_e2e_latency_seconds: {
    type: "histogram",
    help: "Event time to output durable",
    labels: ["application", "sink"],
    buckets: latencyBuckets,
  },
  kappa_log_appended_frames_total: { type: "counter", help: "Transactions appended to the embedded log", labels: [] },
  kappa_log_appended_bytes_total: { type: "counter", help: "Bytes appended to the embedded log", labels: [] },
  kappa_log_sync_seconds: {
    type: "histogram",
    help: "Time one fdatasync of the embedded log took",
    labels: [],
    buckets: durationBuckets,
  },
  kappa_state_discarded_total: {
    type: "counter",
    help: "Task databases thrown away as corrupt and built again from the log",
    labels: ["application"],
  },
  kappa_state_cache_bytes: { type: "gauge", help: "Bytes of entities a task holds in memory", labels: ["partition"] },
  kappa_restore_remaining_commits: {
    type: "gauge",
    help: "Commits that a restoring task has still to apply, 0 when it is ready",
    labels: ["partition"],
  },
  kappa_restore_remaining_seconds: {
    type: "gauge",
    help: "Time until all tasks of the process are restored, at the pace so far; 0 when none is restored",
    labels: [],
  },
  kappa_online_store_up: { type: "gauge", help: "1 while the online store answers, 0 while it is away", labels: [] },
  kappa_online_store_lag_records: {
    type: "gauge",
    help: "Records of an output partition that the online store does not have yet",
    labels: ["table", "partition"],
  },
  kappa_online_store_records_total: {
    type: "counter",
    help: "Records taken into the online store, also those that a later one of their entity went with",
    labels: ["table"],
  },
  kappa_online_store_writes_total: { type: "counter", help: "Entities written to the online store", labels: ["table"] },
  kappa_online_store_skipped_total: {
    type: "counter",
    help: "Records the online store goes without, by reason: null_key, null_value, decode, schema_unknown or trimmed",
    labels: ["table", "reason"],
  },
  kappa_online_store_errors_total: {
    type: "counter",
    help: "Failed attempts, each tried again, by cause: store, log, or moved where the store was not where it was left",
    labels: ["cause"],
  },
  kappa_online_store_put_seconds: {
    type: "histogram",
    help: "Time the online store took over one round of batches",
    labels: [],
    buckets: durationBuckets,
  },
  process_cpu_seconds_total: { type: "counter", help: "User and system CPU time of the process", labels: [] },
  process_resident_memory_bytes: { type: "gauge", help: "Resident memory of the process", labels: [] },
  process_start_time_seconds: { type: "gauge", help: "Unix time at which the process started", labels: [] },
  nodejs_eventloop_lag_seconds: {
    type: "gauge",
    help: "99th percentile of the main thread's event loop delay since the last scrape",
    labels: [],
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metrics;

/**
 * The family of a series about to be opened. A name that is not in the catalogue, another type or another number of
 * label values is a bug of the caller.
 */
export function metricOf(name: string, type: MetricType, labels: readonly string[]): Metric {
  assert(Object.hasOwn(metrics, name), () => `metric ${name} is not in the catalogue`);
  const metric: Metric = metrics[name as MetricName];
  assert(metric.type === type, () => `metric ${name} is a ${metric.type}, opened as a ${type}`);
  assert(
    metric.labels.length === labels.length,
    () => `metric ${name} has ${metric.labels.length} labels, opened with ${labels.length}`,
  );
  return metric;
}

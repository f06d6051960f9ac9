import assert from "node:assert/strict";
import { test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { type Metric, metrics } from "../../src/observability/metrics.ts";
import { ProcessMetrics } from "../../src/observability/process-metrics.ts";
import { PrometheusMeter } from "../../src/observability/prometheus-meter.ts";

const catalogue: [string, Metric][] = Object.entries(metrics);

/** One series of every family, through the interface the engine uses. */
function fullPage(): Promise<string> {
  const meter = new PrometheusMeter();
  for (const [name, { type, labels }] of catalogue) {
    const values = labels.map((label) => `some "${label}"\\ with\nall`);
    if (type === "counter") meter.counter(name, ...values).add(1.5);
    else if (type === "gauge") meter.gauge(name, ...values).set(2);
    else meter.histogram(name, ...values).observe(0.3);
  }
  return meter.page();
}

test("every family of the catalogue is on the page, with help and type before its samples", async () => {
  const page = await fullPage();
  for (const [name, { type, help }] of catalogue) {
    const at = page.indexOf(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}`);
    assert.notEqual(at, -1, name);
  }
});

test("label values are escaped: one sample a line, quotes and backslashes marked", async () => {
  const page = await fullPage();
  // The grammar of the text format 0.0.4, without timestamps.
  const label = String.raw`[a-z_]+="(?:[^"\\\n]|\\["\\n])*"`;
  const sample = new RegExp(String.raw`^[a-z_][a-z0-9_]*(?:\{${label}(?:,${label})*\})? -?[0-9.e+-]+$`);
  const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  assert.ok(lines.length > catalogue.length);
  assert.deepEqual(
    lines.filter((line) => !sample.test(line)),
    [],
  );
});

// The rules of Prometheus' own linter (client_golang, testutil/promlint), as far as they can apply here.
test("names follow Prometheus' rules: base units, _total on counters alone, no type in a name", () => {
  const found: string[] = [];
  const faults: [RegExp, string][] = [
    [/[A-Z]|__|:/, "is not snake_case"],
    [/_(count|sum|bucket)$/, "ends with a suffix the format reserves"],
    [/(^|_)(counter|gauge|histogram|summary)(_|$)/, "holds its type"],
    [
      /(^|_)(s|sec|secs|ms|us|ns|m|min|mins|minutes|h|hours|d|days|b|kb|mb|gb|kib|mib|milliseconds|micros|kilobytes|megabytes|percent|celcius)(_|$)/,
      "holds a unit that is no base unit",
    ],
  ];
  for (const [name, { type, help, labels, buckets }] of catalogue) {
    for (const [fault, text] of faults) if (fault.test(name)) found.push(`${name} ${text}`);
    if ((type === "counter") !== name.endsWith("_total")) found.push(`${name} is a ${type}`);
    if (help === "" || help.endsWith(".")) found.push(`${name}: help is one line without a full stop`);
    if (labels.some((label) => /^(le|quantile|instance|job|key|.*_key|id|.*_id)$/.test(label)))
      found.push(`${name}: label`);
    if ((type === "histogram") !== (buckets !== undefined)) found.push(`${name}: buckets`);
    const sorted = [...(buckets ?? [])].sort((a, b) => a - b);
    assert.deepEqual(buckets ?? [], sorted, name);
  }
  assert.deepEqual(found, []);
});

test("process metrics are measured at each sample", async () => {
  const meter = new PrometheusMeter();
  const process = new ProcessMetrics(meter, systemClock);
  process.sample();
  process.sample();
  process.close();
  const page = await meter.page();
  const sampleOf = (name: string) => Number(new RegExp(`^${name} (.+)$`, "m").exec(page)?.[1]);
  assert.ok(sampleOf("process_cpu_seconds_total") > 0);
  assert.ok(sampleOf("process_resident_memory_bytes") > 10e6);
  assert.ok(Math.abs(sampleOf("process_start_time_seconds") - Date.now() / 1000) < 600);
  assert.ok(sampleOf("nodejs_eventloop_lag_seconds") >= 0);
});

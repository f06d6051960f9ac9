import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { metrics } from "../../src/observability/metrics.ts";
import { PrometheusMeter } from "../../src/observability/prometheus-meter.ts";
import { type MeterReport, ThreadMeter } from "../../src/observability/thread-meter.ts";

/** As the report arrives in another thread. */
const posted = (report: MeterReport): MeterReport => structuredClone(report, { transfer: [report.values.buffer] });

async function samples(meter: PrometheusMeter, family: string): Promise<string[]> {
  const page = await meter.page();
  return page.split("\n").filter((line) => line.startsWith(family));
}

test("counters of several threads add up, and a report holds only what is new", async () => {
  const page = new PrometheusMeter();
  const [one, two] = [new ThreadMeter(), new ThreadMeter()];
  const first = one.open().counter("kappa_records_produced_total", "payments");
  const second = two.open().counter("kappa_records_produced_total", "payments");
  first.add(3);
  page.merge(1, posted(one.report()));
  page.merge(1, posted(one.report()));
  first.add(4);
  second.add(10);
  page.merge(1, posted(one.report()));
  page.merge(2, posted(two.report()));
  assert.deepEqual(await samples(page, "kappa_records_produced_total"), [
    'kappa_records_produced_total{topic="payments"} 17',
  ]);
});

test("a counter is on the page before it counts", async () => {
  const page = new PrometheusMeter();
  const thread = new ThreadMeter();
  thread.open().counter("kappa_records_produced_total", "payments");
  page.merge(1, posted(thread.report()));
  assert.deepEqual(await samples(page, "kappa_records_produced_total"), [
    'kappa_records_produced_total{topic="payments"} 0',
  ]);
});

test("a series opened between reports, past the first array, keeps its own values", async () => {
  const page = new PrometheusMeter();
  const thread = new ThreadMeter();
  const scope = thread.open();
  const first = scope.counter("kappa_records_consumed_total", "payments", "0");
  page.merge(1, posted(thread.report()));
  for (let partition = 1; partition < 200; partition++) {
    scope.counter("kappa_records_consumed_total", "payments", `${partition}`).add(partition);
  }
  first.add(1000);
  page.merge(1, posted(thread.report()));
  const lines = await samples(page, "kappa_records_consumed_total");
  assert.equal(lines.length, 200);
  assert.ok(lines.includes('kappa_records_consumed_total{topic="payments",partition="0"} 1000'));
  assert.ok(lines.includes('kappa_records_consumed_total{topic="payments",partition="199"} 199'));
});

test("gauges of a closed task leave the page, its counters stay", async () => {
  const page = new PrometheusMeter();
  const thread = new ThreadMeter();
  const [task, other] = [thread.open(), thread.open()];
  task.gauge("kappa_consumer_lag_records", "payments", "0").set(5);
  task.counter("kappa_records_consumed_total", "payments", "0").add(1);
  other.gauge("kappa_consumer_lag_records", "payments", "1").set(6);
  page.merge(1, posted(thread.report()));
  task.close();
  page.merge(1, posted(thread.report()));
  const left = await samples(page, "kappa_");
  assert.ok(!left.some((line) => line.startsWith('kappa_consumer_lag_records{topic="payments",partition="0"}')));
  assert.ok(left.includes('kappa_consumer_lag_records{topic="payments",partition="1"} 6'));
  assert.ok(left.includes('kappa_records_consumed_total{topic="payments",partition="0"} 1'));

  thread.open().gauge("kappa_consumer_lag_records", "payments", "0").set(7);
  page.merge(1, posted(thread.report()));
  assert.ok((await samples(page, "kappa_")).includes('kappa_consumer_lag_records{topic="payments",partition="0"} 7'));
});

test("a gauge that moved to another thread is not removed by the thread it left", async () => {
  const page = new PrometheusMeter();
  const [from, to] = [new ThreadMeter(), new ThreadMeter()];
  const before = from.open();
  before.gauge("kappa_consumer_lag_records", "payments", "0").set(5);
  page.merge(1, posted(from.report()));
  to.open().gauge("kappa_consumer_lag_records", "payments", "0").set(3);
  page.merge(2, posted(to.report()));
  before.close();
  page.merge(1, posted(from.report()));
  page.closeThread(1);
  const lag = () => samples(page, "kappa_consumer_lag_records");
  assert.deepEqual(await lag(), ['kappa_consumer_lag_records{topic="payments",partition="0"} 3']);
  page.closeThread(2);
  assert.deepEqual(await lag(), []);
});

test("a gauge that was never set is not on the page", async () => {
  const page = new PrometheusMeter();
  const thread = new ThreadMeter();
  thread.open().gauge("kappa_consumer_lag_seconds", "payments", "0");
  page.merge(1, posted(thread.report()));
  assert.deepEqual(await samples(page, "kappa_consumer_lag_seconds"), []);
});

test("merged histograms count each observation once, in the bucket whose bound is not below it", async () => {
  const bounds = metrics.kappa_commit_records.buckets;
  const value = fc.oneof(fc.constantFrom(...bounds), fc.integer({ min: 0, max: 100_000 }));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(2), value, fc.boolean())), async (observations) => {
      const page = new PrometheusMeter();
      const threads = [new ThreadMeter(), new ThreadMeter(), new ThreadMeter()];
      const series = threads.map((thread) => thread.open().histogram("kappa_commit_records", "fraud"));
      for (const [thread, observed, report] of observations) {
        series[thread]?.observe(observed);
        if (report) page.merge(thread, posted(threads[thread]?.report() as MeterReport));
      }
      threads.forEach((thread, number) => {
        page.merge(number, posted(thread.report()));
      });
      const values = observations.map(([, observed]) => observed);
      const lines = await samples(page, "kappa_commit_records");
      const expected = bounds.map(
        (bound) =>
          `kappa_commit_records_bucket{application="fraud",le="${bound}"} ${values.filter((v) => v <= bound).length}`,
      );
      assert.deepEqual(lines, [
        ...expected,
        `kappa_commit_records_bucket{application="fraud",le="+Inf"} ${values.length}`,
        `kappa_commit_records_sum{application="fraud"} ${values.reduce((sum, v) => sum + v, 0)}`,
        `kappa_commit_records_count{application="fraud"} ${values.length}`,
      ]);
    }),
    { numRuns: 50 },
  );
});

test("NaN is not observed, and a counter never falls", async () => {
  const page = new PrometheusMeter();
  const thread = new ThreadMeter();
  const scope = thread.open();
  scope.histogram("kappa_commit_records", "fraud").observe(Number.NaN);
  page.histogram("kappa_commit_records", "fraud").observe(Number.NaN);
  page.merge(1, posted(thread.report()));
  assert.ok(
    (await samples(page, "kappa_commit_records_sum")).includes('kappa_commit_records_sum{application="fraud"} 0'),
  );
  assert.throws(() => scope.counter("kappa_records_produced_total", "t").add(-1), /moved by -1/);
});

test("a name, type or label count that is not the catalogue's is a bug", () => {
  for (const meter of [new PrometheusMeter(), new ThreadMeter().open()]) {
    assert.throws(() => meter.counter("kappa_no_such_total"), /not in the catalogue/);
    assert.throws(() => meter.counter("toString"), /not in the catalogue/);
    assert.throws(() => meter.gauge("kappa_records_produced_total", "t"), /is a counter, opened as a gauge/);
    assert.throws(() => meter.counter("kappa_records_produced_total"), /has 1 labels, opened with 0/);
  }
});

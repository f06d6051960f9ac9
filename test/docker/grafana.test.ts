import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";
import { metrics } from "../../src/observability/metrics.ts";
import { unknownMetrics } from "./metric-names.ts";
import { promtoolFound, promtoolOn } from "./promtool.ts";

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(readFileSync("docker/grafana/dashboards/kappa.json", "utf8")) as {
  panels: Panel[];
  templating: { list: { name: string }[] };
};
const charts = dashboard.panels.filter(({ type }) => type !== "row");
const expressions = charts.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

test("the dashboard asks for metrics that are served, and shows each of them", () => {
  assert.deepEqual(expressions.flatMap(unknownMetrics), []);
  // What is running and since when is for tables, not for a chart.
  const unshown = ["kappa_build_info", "kappa_model_info", "process_start_time_seconds"];
  const text = expressions.join("\n");
  assert.deepEqual(
    Object.keys(metrics).filter((name) => !text.includes(name)),
    unshown,
  );
});

test("every panel has expressions, says what it shows and has a place of its own", () => {
  for (const { title, targets = [], description } of charts) assert.ok(targets.length > 0 && description, title);
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
  );
  assert.equal(new Set(cells).size, cells.length, "panels overlap");
  assert.ok(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24));
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
});

test("expressions use the variables that the dashboard has", () => {
  const known = ["__rate_interval", ...dashboard.templating.list.map(({ name }) => name)];
  const used = JSON.stringify(dashboard.panels).matchAll(/\$\{?(\w+)/g);
  assert.deepEqual(
    Array.from(used, ([, name = ""]) => name).filter((name) => !known.includes(name)),
    [],
  );
});

test.runIf(promtoolFound)("promtool accepts every expression of the dashboard", () => {
  const plain = expressions.map((expr) => expr.replaceAll("$__rate_interval", "1m").replaceAll("$instance", ".+"));
  assert.equal(promtoolOn(plain), undefined);
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";
import { parse } from "yaml";
import { unknownMetrics } from "./metric-names.ts";
import { promtool, promtoolFound, promtoolOn } from "./promtool.ts";

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const alertsText = readFileSync("docker/prometheus/alerts.yml", "utf8");
const alerts = (parse(alertsText) as { groups: { rules: AlertRule[] }[] }).groups.flatMap(({ rules }) => rules);

test("alerts ask for metrics that are served", () => {
  assert.ok(alerts.length > 0, "no alerts");
  assert.deepEqual(
    alerts.flatMap(({ expr }) => unknownMetrics(expr)),
    [],
  );
  assert.deepEqual(unknownMetrics("rate(kappa_score_bucket[1m]) / kappa_score + kappa_unheard_of_total"), [
    "kappa_score",
    "kappa_unheard_of_total",
  ]);
});

test("every alert says how bad it is, what it means and what to do", () => {
  for (const { alert, labels, annotations } of alerts) {
    assert.ok(["warning", "critical"].includes(labels.severity), alert);
    assert.ok(annotations.summary.length > 0 && annotations.description.length > 60, alert);
  }
});

test("every alert is seen to fire in a test", () => {
  const expected = readFileSync("docker/prometheus/alerts.test.yml", "utf8");
  assert.deepEqual(
    alerts.filter(({ alert }) => !expected.includes(`{alertname="${alert}"`)).map(({ alert }) => alert),
    [],
  );
});

test("docs/metrics.md asks for metrics that are served", () => {
  assert.deepEqual(documentedExpressions().flatMap(unknownMetrics), []);
});

test.runIf(promtoolFound)("promtool accepts the configuration, the alerts and what they do", () => {
  assert.equal(promtool("check", "config", "--syntax-only", "docker/prometheus/prometheus.yml"), undefined);
  assert.equal(promtool("check", "rules", "docker/prometheus/alerts.yml"), undefined);
  assert.equal(promtool("test", "rules", "docker/prometheus/alerts.test.yml"), undefined);
});

test.runIf(promtoolFound)("promtool accepts the expressions of docs/metrics.md", () => {
  assert.equal(promtoolOn(documentedExpressions()), undefined);
  assert.match(promtoolOn(["sum(rate(up[5m])"]) ?? "", /unclosed/);
});

/** The second column of the table "What to look at". */
function documentedExpressions(): string[] {
  const [, section = ""] = readFileSync("docs/metrics.md", "utf8").split("## What to look at");
  const expressions = Array.from(
    section.matchAll(/^\| [^|`]+ \| `([^`]+)` \|$/gm),
    ([, expression = ""]) => expression,
  );
  assert.ok(expressions.length > 0, "no expressions in docs/metrics.md");
  return expressions;
}

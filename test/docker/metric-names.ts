import { type Metric, metrics } from "../../src/observability/metrics.ts";

/** Series names that a process serves: the catalogue's, and for histograms those of their three families. */
const served = new Set(
  Object.entries<Metric>(metrics).flatMap(([name, { type }]) =>
    type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

/** Names in an expression that look like ours and are served by nothing. */
export function unknownMetrics(expression: string): string[] {
  const names = expression.match(/\b(?:kappa|process|nodejs)_\w+/g) ?? [];
  return names.filter((name) => !served.has(name));
}

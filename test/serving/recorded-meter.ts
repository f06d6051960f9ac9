import type { MeterScope } from "../../src/observability/thread-meter.ts";

/** What was measured, by name and labels: `kappa_online_store_writes_total customers`. */
export class RecordedMeter {
  readonly values = new Map<string, number>();

  open(): MeterScope {
    const gauges: string[] = [];
    const series = (name: string, labels: readonly string[]) => [name, ...labels].join(" ");
    const add = (key: string, count: number) => this.values.set(key, (this.values.get(key) ?? 0) + count);
    return {
      counter: (name, ...labels) => {
        add(series(name, labels), 0);
        return { add: (count) => add(series(name, labels), count) };
      },
      gauge: (name, ...labels) => {
        gauges.push(series(name, labels));
        return { set: (value) => this.values.set(series(name, labels), value) };
      },
      histogram: (name, ...labels) => ({ observe: () => add(series(name, labels), 1) }),
      close: () => {
        for (const gauge of gauges) this.values.delete(gauge);
      },
    };
  }

  /** Undefined when it was never measured. */
  of(...nameAndLabels: readonly string[]): number | undefined {
    return this.values.get(`kappa_online_store_${nameAndLabels.join(" ")}`);
  }
}

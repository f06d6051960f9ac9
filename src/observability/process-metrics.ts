import { monitorEventLoopDelay } from "node:perf_hooks";
import process from "node:process";
import type { Clock } from "../core/clock.ts";
import type { Counter, Gauge, Meter } from "../core/meter.ts";

/** CPU, memory and event loop of this process; `sample` is called once per scrape. */
export class ProcessMetrics {
  readonly #cpu: Counter;
  readonly #memory: Gauge;
  readonly #lag: Gauge;
  readonly #loop: ReturnType<typeof monitorEventLoopDelay>;
  #cpuMicros = 0;

  constructor(meter: Meter, clock: Clock) {
    this.#cpu = meter.counter("process_cpu_seconds_total");
    this.#memory = meter.gauge("process_resident_memory_bytes");
    this.#lag = meter.gauge("nodejs_eventloop_lag_seconds");
    meter.gauge("process_start_time_seconds").set(clock.now() / 1000 - process.uptime());
    this.#loop = monitorEventLoopDelay({ resolution: loopResolutionMs });
    this.#loop.enable();
  }

  sample(): void {
    const { user, system } = process.cpuUsage();
    this.#cpu.add((user + system - this.#cpuMicros) / 1e6);
    this.#cpuMicros = user + system;
    this.#memory.set(process.memoryUsage.rss());
    this.#lag.set(this.#loop.count === 0 ? 0 : Math.max(0, this.#loop.percentile(99) / 1e9 - loopResolutionMs / 1000));
    this.#loop.reset();
  }

  close(): void {
    this.#loop.disable();
  }
}

/** How often the delay is probed, in ms. What is probed includes the interval itself, which is taken off. */
const loopResolutionMs = 20;

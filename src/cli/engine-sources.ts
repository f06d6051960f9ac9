import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Gauge } from "../core/meter.ts";
import type { Engine } from "../engine/engine.ts";
import { partitionOf } from "../log/partitioner.ts";
import type {
  Health,
  HealthSource,
  HttpSources,
  InfoSource,
  MetricsPage,
  StateSource,
  StoreDescription,
  StoreEntry,
  TopologyFormat,
  TopologySource,
} from "../observability/http-sources.ts";
import { ProcessMetrics } from "../observability/process-metrics.ts";
import type { PrometheusMeter } from "../observability/prometheus-meter.ts";
import { describeTopology } from "../topology/describe.ts";
import { stateKeyOf } from "./state-key-text.ts";
import { storeDescriptions } from "./store-descriptions.ts";

/** Engine threads report twice a second; after this silence, in ms, one of them hangs. */
const silenceMaxMs = 30_000;

export interface EngineSourcesOptions {
  readonly engine: Engine;
  readonly meter: PrometheusMeter;
  readonly clock: Clock;
  readonly version: string;
  /** When engine threads last reported; as `Clock.monotonic`. */
  readonly heardMs: () => number;
}

/** What HTTP shows of a running engine. */
export class EngineSources implements HealthSource, InfoSource, MetricsPage, StateSource, TopologySource {
  readonly #options: EngineSourcesOptions;
  readonly #process: ProcessMetrics;
  readonly #stores: readonly StoreDescription[];
  readonly #stateGauges = new Map<string, Gauge>();

  constructor(options: EngineSourcesOptions) {
    this.#options = options;
    const { engine, meter, clock, version } = options;
    this.#process = new ProcessMetrics(meter, clock);
    this.#stores = storeDescriptions(engine.topology, engine.partitions);
    meter.gauge("kappa_build_info", version, process.versions.node).set(1);
  }

  get all(): HttpSources {
    return { health: this, metrics: this, info: this, topology: this, state: this };
  }

  health(): Health {
    const { engine, clock, heardMs } = this.#options;
    const silentMs = clock.monotonic() - heardMs();
    const restoring = engine.state === "RESTORING";
    const live = engine.state !== "ERROR" && (restoring || silentMs <= silenceMaxMs);
    const lag = engine.tasks.reduce((sum, task) => sum + task.lag, 0);
    return {
      state: engine.state,
      live,
      modelLoaded: !restoring,
      restoringTasks: restoring ? Math.max(1, engine.restoring.size) : 0,
      checks: [
        {
          name: "threads",
          ok: live,
          detail: live ? "engine threads report" : `no engine thread reported for ${Math.round(silentMs)} ms`,
        },
        { name: "lag", ok: true, detail: `${lag} input records not taken yet` },
      ],
    };
  }

  info(): Readonly<Record<string, unknown>> {
    const { engine, version } = this.#options;
    const { applicationId } = engine.topology;
    return {
      application: applicationId,
      version,
      node: process.versions.node,
      state: engine.state,
      partitions: engine.partitions,
      tasks: engine.tasks,
    };
  }

  get contentType(): string {
    return this.#options.meter.contentType;
  }

  page(): Promise<string> {
    this.#process.sample();
    this.#measureState();
    return this.#options.meter.page();
  }

  #measureState(): void {
    const { engine, meter } = this.#options;
    if (!this.#stateGauges.has(engine.state)) {
      this.#stateGauges.set(engine.state, meter.gauge("kappa_stream_state", engine.state));
    }
    for (const [state, gauge] of this.#stateGauges) gauge.set(state === engine.state ? 1 : 0);
  }

  describe(format: TopologyFormat): string {
    return describeTopology(this.#options.engine.topology, format);
  }

  stores(): readonly StoreDescription[] {
    return this.#stores;
  }

  async read(store: string, keyText: string, asOfMs: number | undefined): Promise<StoreEntry | undefined> {
    const { engine } = this.#options;
    const description = this.#stores.find(({ name }) => name === store);
    if (description === undefined) throw new KappaError("KAPPA_USAGE", `no store ${store}`);
    const key = stateKeyOf(description, keyText);
    const answer = await engine.read(store, key, asOfMs ?? null);
    return answer === null ? undefined : { partition: partitionOf(key, engine.partitions), ...answer };
  }

  close(): void {
    this.#process.close();
  }
}

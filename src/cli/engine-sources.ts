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
  StreamState,
  TopologyFormat,
  TopologySource,
} from "../observability/http-sources.ts";
import { ProcessMetrics } from "../observability/process-metrics.ts";
import type { PrometheusMeter } from "../observability/prometheus-meter.ts";
import { describeTopology } from "../topology/describe.ts";
import type { Topology } from "../topology/graph.ts";
import { stateKeyOf } from "./state-key-text.ts";
import { storeDescriptions } from "./store-descriptions.ts";

/** Engine threads report twice a second; after this silence, in ms, one of them hangs. */
const silenceMaxMs = 30_000;

/** Before there is an engine: alive, since a start may have to wait for services, and ready for nothing. */
const starting: Health = { state: "CREATED", live: true, modelLoaded: false, restoringTasks: 0, checks: [] };

export interface EngineSourcesOptions {
  readonly topology: Topology;
  /** The engine once it is started; probes and queries come before. */
  readonly engine: () => Engine | null;
  readonly meter: PrometheusMeter;
  readonly clock: Clock;
  readonly version: string;
  /** When engine threads last reported; as `Clock.monotonic`. */
  readonly heardMs: () => number;
}

/** What HTTP shows of an application, from before its engine starts. */
export class EngineSources implements HealthSource, InfoSource, MetricsPage, StateSource, TopologySource {
  readonly #options: EngineSourcesOptions;
  readonly #process: ProcessMetrics;
  readonly #stateGauges = new Map<string, Gauge>();
  #stores: readonly StoreDescription[] | undefined;

  constructor(options: EngineSourcesOptions) {
    this.#options = options;
    const { meter, clock, version } = options;
    this.#process = new ProcessMetrics(meter, clock);
    meter.gauge("kappa_build_info", version, process.versions.node).set(1);
  }

  get all(): HttpSources {
    return { health: this, metrics: this, info: this, topology: this, state: this };
  }

  get #engine(): Engine | null {
    return this.#options.engine();
  }

  get #state(): StreamState {
    return this.#engine?.state ?? "CREATED";
  }

  /** @throws KAPPA_SERVICE_UNREACHABLE before it is started */
  #started(): Engine {
    const engine = this.#engine;
    if (engine !== null) return engine;
    throw new KappaError("KAPPA_SERVICE_UNREACHABLE", "the application is starting; try again");
  }

  health(): Health {
    const engine = this.#engine;
    const { clock, heardMs } = this.#options;
    if (engine === null) return starting;
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
    const { topology, version } = this.#options;
    const engine = this.#engine;
    return {
      application: topology.applicationId,
      version,
      node: process.versions.node,
      state: this.#state,
      ...(engine === null ? {} : { partitions: engine.partitions, tasks: engine.tasks }),
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
    const now = this.#state;
    if (!this.#stateGauges.has(now)) {
      this.#stateGauges.set(now, this.#options.meter.gauge("kappa_stream_state", now));
    }
    for (const [state, gauge] of this.#stateGauges) gauge.set(state === now ? 1 : 0);
  }

  describe(format: TopologyFormat): string {
    return describeTopology(this.#options.topology, format);
  }

  stores(): readonly StoreDescription[] {
    this.#stores ??= storeDescriptions(this.#options.topology, this.#started().partitions);
    return this.#stores;
  }

  async read(store: string, keyText: string, asOfMs: number | undefined): Promise<StoreEntry | undefined> {
    const engine = this.#started();
    const description = this.stores().find(({ name }) => name === store);
    if (description === undefined) throw new KappaError("KAPPA_USAGE", `no store ${store}`);
    const key = stateKeyOf(description, keyText);
    const answer = await engine.read(store, key, asOfMs ?? null);
    return answer === null ? undefined : { partition: partitionOf(key, engine.partitions), ...answer };
  }

  close(): void {
    this.#process.close();
  }
}

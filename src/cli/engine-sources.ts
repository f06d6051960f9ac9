import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Gauge } from "../core/meter.ts";
import type { Engine } from "../engine/engine.ts";
import { partitionOf } from "../log/partitioner.ts";
import type {
  Health,
  HealthCheck,
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
import { onlineTables } from "../serving/online-table.ts";
import { describeTopology } from "../topology/describe.ts";
import type { Topology } from "../topology/graph.ts";
import type { OwnerQueries } from "./owner-queries.ts";
import { type Forecast, RestoreForecast } from "./restore-forecast.ts";
import { stateKeyOf } from "./state-key-text.ts";
import { storeDescriptions } from "./store-descriptions.ts";

/** Engine threads report twice a second; after this silence, in ms, one of them hangs. */
const silenceMaxMs = 30_000;

/** Before there is an engine: alive, since a start may have to wait for services, and ready for nothing. */
const starting: Health = {
  state: "CREATED",
  live: true,
  modelLoaded: false,
  restoringTasks: 0,
  restoreSecondsLeft: null,
  pausedInputs: 0,
  checks: [],
};

const notJoined = "the group does not count this process in: it waits for the brokers, or for other processes";

export interface EngineSourcesOptions {
  readonly topology: Topology;
  /** The engine once it is started; probes and queries come before. */
  readonly engine: () => Engine | null;
  readonly meter: PrometheusMeter;
  readonly clock: Clock;
  readonly version: string;
  /** When engine threads last reported; as `Clock.monotonic`. */
  readonly heardMs: () => number;
  /** Asks the other processes of the application; absent when there are none. */
  readonly owners?: OwnerQueries;
}

/** What HTTP shows of an application, from before its engine starts. */
export class EngineSources implements HealthSource, InfoSource, MetricsPage, StateSource, TopologySource {
  readonly #options: EngineSourcesOptions;
  readonly #process: ProcessMetrics;
  readonly #stateGauges = new Map<string, Gauge>();
  readonly #restoreSeconds: Gauge;
  readonly #forecast = new RestoreForecast();
  #stores: readonly StoreDescription[] | undefined;

  constructor(options: EngineSourcesOptions) {
    this.#options = options;
    const { meter, clock, version } = options;
    this.#process = new ProcessMetrics(meter, clock);
    this.#restoreSeconds = meter.gauge("kappa_restore_remaining_seconds");
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
    const { commitsLeft, secondsLeft } = this.restoreForecast();
    const closed = this.#closedTasks(engine);
    return {
      state: engine.state,
      live,
      modelLoaded: !restoring,
      restoringTasks: closed.length > 0 ? closed.length : Number(restoring),
      restoreSecondsLeft: secondsLeft === null ? null : Math.ceil(secondsLeft),
      pausedInputs: engine.waits.length,
      checks: [
        {
          name: "threads",
          ok: live,
          detail: live ? "engine threads report" : `no engine thread reported for ${Math.round(silentMs)} ms`,
        },
        {
          name: "group",
          ok: engine.group.joined,
          detail: engine.group.joined ? `runs ${engine.owned.length} of ${engine.partitions} tasks` : notJoined,
        },
        { name: "tasks", ok: closed.length === 0, detail: tasksDetail(closed, commitsLeft, secondsLeft) },
        { name: "inputs", ok: engine.waits.length === 0, detail: waitsDetail(engine.waits) },
        { name: "lag", ok: true, detail: `${lag} input records not taken yet` },
        ...onlineStoreCheck(engine),
      ],
    };
  }

  /** Tasks that this process is to run and that do not report: not open yet, or waiting for the log to come back. */
  #closedTasks(engine: Engine): readonly number[] {
    const open = new Set(engine.tasks.map(({ partition }) => partition));
    return engine.owned.filter((partition) => !open.has(partition));
  }

  /** How far restoring is. To be asked now and then: the pace is what was done between two calls. */
  restoreForecast(): Forecast {
    const restoring = this.#engine?.restoring ?? new Map();
    return this.#forecast.of(restoring, this.#options.clock.monotonic());
  }

  info(): Readonly<Record<string, unknown>> {
    const { topology, version } = this.#options;
    const engine = this.#engine;
    return {
      application: topology.applicationId,
      version,
      node: process.versions.node,
      state: this.#state,
      ...(engine === null ? {} : this.#infoOf(engine)),
    };
  }

  #infoOf({ partitions, owned, group, tasks }: Engine): Readonly<Record<string, unknown>> {
    return { partitions, owned, group, tasks };
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
    this.#restoreSeconds.set(this.restoreForecast().secondsLeft ?? 0);
  }

  describe(format: TopologyFormat): string {
    return describeTopology(this.#options.topology, format);
  }

  stores(): readonly StoreDescription[] {
    this.#stores ??= storeDescriptions(this.#options.topology, this.#started().partitions);
    return this.#stores;
  }

  async read(
    store: string,
    keyText: string,
    asOfMs: number | undefined,
    passedOn: boolean,
  ): Promise<StoreEntry | undefined> {
    const engine = this.#started();
    const description = this.stores().find(({ name }) => name === store);
    if (description === undefined) throw new KappaError("KAPPA_USAGE", `no store ${store}`);
    const key = stateKeyOf(description, keyText);
    const partition = partitionOf(key, engine.partitions);
    try {
      const answer = await engine.read(store, key, asOfMs ?? null);
      return answer === null ? undefined : { partition, ...answer };
    } catch (error) {
      const owner = error instanceof KappaError && error.code === "KAPPA_STATE_ELSEWHERE" && error.context.owner;
      const { owners } = this.#options;
      // What was passed on to the wrong process is asked again by who has asked: the task is on its way.
      if (typeof owner !== "string" || owners === undefined || passedOn) throw error;
      return await owners.read(owner, partition, store, keyText, asOfMs);
    }
  }

  close(): void {
    this.#process.close();
  }
}

function tasksDetail(closed: readonly number[], commitsLeft: number, secondsLeft: number | null): string {
  if (closed.length === 0) return "every task is open";
  const left = secondsLeft === null ? "" : `, about ${Math.ceil(secondsLeft)} s`;
  const commits = commitsLeft === 0 ? "" : `: ${commitsLeft} commits left to apply${left}`;
  return `not open are tasks ${closed.join(", ")}${commits}`;
}

function waitsDetail(waits: Engine["waits"]): string {
  const [first] = waits;
  if (first === undefined) return "no input is paused";
  const { topic, partition, reason } = first;
  const more = waits.length === 1 ? "" : `, and ${waits.length - 1} more`;
  return `${topic}${partition === null ? "" : `-${partition}`} is paused: ${reason}${more}`;
}

/** Never part of being ready: the stream goes on without its readers, and they with what they have. */
function onlineStoreCheck({ serving, topology }: Engine): HealthCheck[] {
  const name = "online store";
  const tables = onlineTables(topology).map((table) => table.name);
  if (tables.length === 0) return [];
  if (serving === null) return [{ name, ok: true, detail: `${tables.join(", ")} not served: no REDIS_URL is set` }];
  const { trouble, lag } = serving.status;
  if (trouble === undefined) return [{ name, ok: true, detail: `${tables.join(", ")} served, ${lag} records behind` }];
  return [{ name, ok: false, detail: `${trouble}; ${lag} records wait, the stream goes on` }];
}

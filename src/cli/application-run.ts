import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";
import closeWithGrace from "close-with-grace";
import packageJson from "../../package.json" with { type: "json" };
import { KappaError } from "../core/errors.ts";
import { Engine, type EngineOptions } from "../engine/engine.ts";
import { groupMembership } from "../engine/group-membership.ts";
import { loadTopology, type TopologyModule } from "../engine/topology-module.ts";
import type { KafkaOptions } from "../log/kafka-options.ts";
import { requireRights } from "../log/kafka-rights.ts";
import type { SharedLog } from "../log/thread-log.ts";
import { HttpServer } from "../observability/http-server.ts";
import { createLogger, type Logger } from "../observability/logger.ts";
import { PrometheusMeter } from "../observability/prometheus-meter.ts";
import type { TaskSettings } from "../task/settings.ts";
import type { Topology } from "../topology/graph.ts";
import { lateRightsOf } from "./application-rights.ts";
import type { Config, LoadedConfig } from "./config.ts";
import { EngineSources } from "./engine-sources.ts";
import type { Invocation } from "./invocation.ts";
import { OwnerQueries } from "./owner-queries.ts";
import { registryAddress } from "./registry-address.ts";
import { bindStateFolder } from "./state-origin.ts";

/** How long a drain may take after the first signal, in ms; what is not done by then is done by the next start. */
const drainMs = 10_000;
/** How often the state of the engine is looked at, in ms, to log that it changed. */
const watchMs = 250;
/** How often a restore is logged, in ms. */
const restoreEveryMs = 5000;
const interrupted = 130;

/** One run of an application: opens from the log outwards, closes in the opposite order. */
export class ApplicationRun {
  readonly #invocation: Invocation;
  readonly #loaded: LoadedConfig;
  readonly #config: Config;
  readonly #module: TopologyModule;
  readonly #untilEnd: boolean;
  readonly #meter = new PrometheusMeter();
  readonly #logger: Logger;
  #engine: Engine | null = null;
  #signalled = false;
  /** Ends a start that waits for a service. */
  readonly #stopping = new AbortController();
  #heardMs: number;

  constructor(invocation: Invocation, config: LoadedConfig, module: TopologyModule, untilEnd: boolean) {
    this.#invocation = invocation;
    this.#loaded = config;
    this.#config = config.values;
    this.#module = module;
    this.#untilEnd = untilEnd;
    const { terminal, clock } = invocation;
    this.#logger = createLogger({ level: config.values.logLevel, pretty: terminal.interactive, to: terminal.errors });
    this.#heardMs = clock.monotonic();
  }

  /** @throws what ended the run, unless it was a signal or the end of the inputs */
  async toEnd(): Promise<void> {
    const ended = Promise.withResolvers<void>();
    ended.promise.catch(() => {}); // only a signal waits for it
    const signals = this.#onSignal(ended.promise);
    try {
      // Before anything is opened: a start creates topics and goes on from the last commit.
      const topology = await this.#topology();
      const access = this.#invocation.logOf(this.#loaded, topology.applicationId);
      const log = await access.own(this.#meter);
      try {
        const stateDir = join(this.#invocation.path(this.#config.stateDir), topology.applicationId);
        bindStateFolder(stateDir, await access.origin());
        await this.#serve(topology, log, access.kafka);
      } finally {
        await log.close();
      }
      this.#logger.info({}, "closed");
      ended.resolve();
    } catch (error) {
      ended.reject(error);
      throw error;
    } finally {
      signals.uninstall();
    }
  }

  async #topology(): Promise<Topology> {
    const { applicationId } = this.#config;
    const topology = await loadTopology(this.#module);
    if (applicationId !== undefined && applicationId !== topology.applicationId) {
      throw new KappaError(
        "KAPPA_CONFIG_INVALID",
        `the topology is application ${topology.applicationId}, the configuration says ${applicationId}; make them agree`,
      );
    }
    return topology;
  }

  /** HTTP listens before the engine starts: a member of the group says where it answers when it joins. */
  async #serve(topology: Topology, log: SharedLog, kafka: KafkaOptions | null): Promise<void> {
    const { clock } = this.#invocation;
    const { httpHost: host, httpPort: port, httpToken: token } = this.#config;
    const { version } = packageJson;
    const engine = (): Engine | null => this.#engine;
    const heardMs = (): number => this.#heardMs;
    const owners = new OwnerQueries(token);
    const sources = new EngineSources({ topology, engine, meter: this.#meter, clock, version, heardMs, owners });
    const server = new HttpServer({ host, port, token }, sources.all, this.#logger);
    try {
      const url = await server.listen();
      await this.#runEngine(log, kafka, url, sources);
    } finally {
      await server.close();
      sources.close();
    }
  }

  async #runEngine(log: SharedLog, kafka: KafkaOptions | null, url: string, sources: EngineSources): Promise<void> {
    const engine = await this.#start(log, kafka, url);
    this.#engine = engine;
    const watching = this.#watch(engine, sources);
    try {
      if (this.#signalled) return await engine.stop();
      if (kafka !== null) await this.#requireRights(kafka, engine);
      const { topology, partitions } = engine;
      this.#logger.info({ application: topology.applicationId, partitions, url }, "started");
      await engine.finished;
    } catch (error) {
      this.#logger.error({ error }, "stopped by an error");
      throw error;
    } finally {
      clearInterval(watching);
    }
  }

  /** Once its topics are there: what is missing is found now, not with the first dead letter. */
  async #requireRights(kafka: KafkaOptions, engine: Engine): Promise<void> {
    try {
      await requireRights(kafka, lateRightsOf(engine.topology), this.#invocation.clock);
    } catch (error) {
      // Brokers that are away for a moment are waited for by the tasks.
      if (error instanceof KappaError && error.recovery === "retry") return;
      if (engine.state !== "ERROR") await engine.stop();
      throw error;
    }
  }

  #start(log: SharedLog, kafka: KafkaOptions | null, url: string): Promise<Engine> {
    const { threads, dataDir, redisUrl } = this.#config;
    const registry = registryAddress(this.#config);
    return Engine.start({
      topology: this.#module,
      log,
      dataDir: this.#invocation.path(dataDir),
      stateDir: this.#invocation.path(this.#config.stateDir),
      threads: threads === 0 ? availableParallelism() : threads,
      settings: this.#settings(),
      ...(registry === undefined ? {} : { registry: { kind: "confluent", ...registry } }),
      ...(redisUrl === undefined ? {} : { online: { url: redisUrl } }),
      onWarning: (fields, message) => this.#logger.warn(fields, message),
      signal: this.#stopping.signal,
      onMetrics: (thread, report) => {
        this.#heardMs = this.#invocation.clock.monotonic();
        this.#meter.merge(thread, report);
      },
      ...(kafka === null ? {} : { membership: this.#groupOf(kafka, url) }),
    });
  }

  /** This process as a member of the group that shares the tasks. */
  #groupOf(kafka: KafkaOptions, url: string): NonNullable<EngineOptions["membership"]> {
    const { sessionTimeoutMs, httpHost, httpUrl = reachable(url, httpHost) } = this.#config;
    return groupMembership({ kafka, sessionTimeoutMs, url: () => httpUrl });
  }

  #settings(): Partial<TaskSettings> {
    const { commitIntervalMs, commitRecordsMax, mergeWaitMs, bufferedRecordsMax, cacheMb } = this.#config;
    const cacheBytes = cacheMb * 1024 * 1024;
    const untilEnd = this.#untilEnd;
    return { commitIntervalMs, commitRecordsMax, mergeWaitMs, bufferedRecordsMax, cacheBytes, untilEnd };
  }

  /**
   * The first signal drains, a second one ends the process. `close-with-grace` ends it too once what it waits for has
   * settled: so it waits until the log is closed.
   */
  #onSignal(ended: Promise<void>): { uninstall(): void } {
    return closeWithGrace(
      {
        delay: drainMs,
        logger: false,
        skip: ["beforeExit", "uncaughtException", "unhandledRejection"],
        onSecondSignal: (signal) => {
          this.#logger.warn({ signal }, "second signal: ending at once");
          process.exit(interrupted);
        },
        onTimeout: () => this.#logger.error({ drainMs }, "drain took too long: ending without it"),
      },
      async ({ signal }) => {
        this.#logger.info({ signal }, "draining");
        this.#signalled = true;
        this.#stopping.abort();
        await this.#engine?.stop();
        await ended;
      },
    );
  }

  /** Logs that the state changed, and while tasks are restored how far they are. */
  #watch(engine: Engine, sources: EngineSources): NodeJS.Timeout {
    let seen: string | undefined;
    let saidMs = this.#invocation.clock.monotonic();
    const timer = setInterval(() => {
      const { tasks, commitsLeft, secondsLeft } = sources.restoreForecast();
      const nowMs = this.#invocation.clock.monotonic();
      if (tasks > 0 && nowMs - saidMs >= restoreEveryMs) {
        saidMs = nowMs;
        const left = secondsLeft === null ? {} : { secondsLeft: Math.ceil(secondsLeft) };
        this.#logger.info({ tasks, commitsLeft, ...left }, "restoring");
      }
      if (engine.state === seen) return;
      seen = engine.state;
      this.#logger.info({ state: seen, tasks: engine.owned.length }, "state");
    }, watchMs);
    timer.unref();
    return timer;
  }
}

/** The address for other machines: a server that listens on all addresses has the name of its machine. */
function reachable(url: string, host: string): string {
  return host === "0.0.0.0" || host === "::" ? `http://${hostname()}:${new URL(url).port}` : url;
}

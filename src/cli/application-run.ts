import { availableParallelism } from "node:os";
import process from "node:process";
import closeWithGrace from "close-with-grace";
import packageJson from "../../package.json" with { type: "json" };
import { KappaError } from "../core/errors.ts";
import { Engine } from "../engine/engine.ts";
import { loadTopology, type TopologyParameters } from "../engine/topology-module.ts";
import type { OwnedFileLog } from "../log/file-log.ts";
import { HttpServer } from "../observability/http-server.ts";
import { createLogger, type Logger } from "../observability/logger.ts";
import { PrometheusMeter } from "../observability/prometheus-meter.ts";
import { defaultSettings, type TaskSettings } from "../task/settings.ts";
import type { Config } from "./config.ts";
import { DataFolder } from "./data-folder.ts";
import { EngineSources } from "./engine-sources.ts";
import type { Invocation } from "./invocation.ts";

/** How long a drain may take after the first signal, in ms; what is not done by then is done by the next start. */
const drainMs = 10_000;
/** How often the state of the engine is looked at, in ms, to log that it changed. */
const watchMs = 250;
const interrupted = 130;

/** One run of an application: opens from the log outwards, closes in the opposite order. */
export class ApplicationRun {
  readonly #invocation: Invocation;
  readonly #config: Config;
  readonly #module: string;
  readonly #parameters: TopologyParameters;
  readonly #untilEnd: boolean;
  readonly #meter = new PrometheusMeter();
  readonly #logger: Logger;
  #engine: Engine | undefined;
  #signalled = false;
  #heardMs: number;

  constructor(
    invocation: Invocation,
    config: Config,
    module: string,
    parameters: TopologyParameters,
    untilEnd: boolean,
  ) {
    this.#invocation = invocation;
    this.#config = config;
    this.#module = module;
    this.#parameters = parameters;
    this.#untilEnd = untilEnd;
    const { terminal, clock } = invocation;
    this.#logger = createLogger({ level: config.logLevel, pretty: terminal.interactive, to: terminal.errors });
    this.#heardMs = clock.monotonic();
  }

  /** @throws what ended the run, unless it was a signal or the end of the inputs */
  async toEnd(): Promise<void> {
    const ended = Promise.withResolvers<void>();
    ended.promise.catch(() => {}); // only a signal waits for it
    const signals = this.#onSignal(ended.promise);
    try {
      const folder = new DataFolder(this.#invocation.path(this.#config.dataDir));
      const log = await folder.own(this.#meter);
      try {
        const engine = await this.#start(log, folder);
        this.#engine = engine;
        if (this.#signalled) await engine.stop();
        else await this.#serve(engine);
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

  async #start(log: OwnedFileLog, folder: DataFolder): Promise<Engine> {
    const { threads, stateDir, applicationId } = this.#config;
    const module = { module: this.#module, parameters: this.#parameters };
    // Before the engine starts: a start creates topics and goes on from the last commit.
    const { applicationId: own } = await loadTopology(module);
    if (applicationId !== undefined && applicationId !== own) {
      throw new KappaError(
        "KAPPA_CONFIG_INVALID",
        `the topology is application ${own}, the configuration says ${applicationId}; make them agree`,
      );
    }
    return Engine.start({
      topology: module,
      log,
      dataDir: folder.path,
      stateDir: this.#invocation.path(stateDir),
      threads: threads === 0 ? availableParallelism() : threads,
      settings: this.#settings(),
      onMetrics: (thread, report) => {
        this.#heardMs = this.#invocation.clock.monotonic();
        this.#meter.merge(thread, report);
      },
    });
  }

  #settings(): TaskSettings {
    const { commitIntervalMs, commitRecordsMax, mergeWaitMs, bufferedRecordsMax, cacheMb } = this.#config;
    const cacheBytes = cacheMb * 1024 * 1024;
    const untilEnd = this.#untilEnd;
    return {
      ...defaultSettings,
      commitIntervalMs,
      commitRecordsMax,
      mergeWaitMs,
      bufferedRecordsMax,
      cacheBytes,
      untilEnd,
    };
  }

  async #serve(engine: Engine): Promise<void> {
    const { clock } = this.#invocation;
    const { httpHost: host, httpPort: port, httpToken: token } = this.#config;
    const heardMs = (): number => this.#heardMs;
    const sources = new EngineSources({ engine, meter: this.#meter, clock, version: packageJson.version, heardMs });
    let server: HttpServer | undefined;
    const watching = this.#watch(engine);
    try {
      server = new HttpServer({ host, port, token }, sources.all, this.#logger);
      const url = await server.listen();
      const { topology, partitions } = engine;
      this.#logger.info({ application: topology.applicationId, partitions, url }, "started");
      await engine.finished;
    } catch (error) {
      if (engine.state !== "ERROR") await engine.stop();
      this.#logger.error({ error }, "stopped by an error");
      throw error;
    } finally {
      clearInterval(watching);
      await server?.close();
      sources.close();
    }
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
        await this.#engine?.stop();
        await ended;
      },
    );
  }

  #watch(engine: Engine): NodeJS.Timeout {
    let seen: string | undefined;
    const timer = setInterval(() => {
      if (engine.state === seen) return;
      seen = engine.state;
      this.#logger.info({ state: seen, tasks: engine.partitions }, "state");
    }, watchMs);
    timer.unref();
    return timer;
  }
}

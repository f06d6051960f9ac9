import { rm } from "node:fs/promises";
import { extname, join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { Engine } from "../engine/engine.ts";
import type { OwnedFileLog } from "../log/file-log.ts";
import { HttpServer } from "../observability/http-server.ts";
import type { Logger } from "../observability/logger.ts";
import { PrometheusMeter } from "../observability/prometheus-meter.ts";
import { EngineSources } from "./engine-sources.ts";

const module = join(import.meta.dirname, "../../topologies/fraud", `fraud-detection${extname(import.meta.filename)}`);

export interface ApplicationOptions {
  readonly log: OwnedFileLog;
  readonly dataDir: string;
  /** Folder of the model, or `none`; undefined: the one shipped. */
  readonly model: string | undefined;
  /** Undefined: the usual one, or any free one when that is taken. */
  readonly httpPort: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const usualHttpPort = 9464;

/** The fraud application with its HTTP server, as `kappa run` would start it; it can be stopped and started again. */
export class DemoApplication {
  readonly #options: ApplicationOptions;
  readonly #meter = new PrometheusMeter();
  #engine: Engine | undefined;
  #sources: EngineSources | undefined;
  #server: HttpServer | undefined;
  #heardMs = 0;
  /** Where HTTP answers; empty before the start. */
  url = "";

  constructor(options: ApplicationOptions) {
    this.#options = options;
  }

  /** The engine that runs, or ran last. */
  get engine(): Engine {
    if (this.#engine === undefined) throw new TypeError("the application was not started");
    return this.#engine;
  }

  get stateDir(): string {
    return join(this.#options.dataDir, "state");
  }

  /** Returns when the threads are started; restoring goes on. */
  async start(): Promise<void> {
    const { log, dataDir, model, clock } = this.#options;
    this.#heardMs = clock.monotonic();
    this.#engine = await Engine.start({
      topology: { module, parameters: model === undefined ? {} : { model } },
      log,
      dataDir,
      stateDir: this.stateDir,
      onMetrics: (thread, report) => {
        this.#heardMs = clock.monotonic();
        this.#meter.merge(thread, report);
      },
    });
    try {
      await this.#serve(this.#engine);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #serve(engine: Engine): Promise<void> {
    const { clock, httpPort, logger } = this.#options;
    const { version } = packageJson;
    const { topology } = engine;
    const heardMs = (): number => this.#heardMs;
    this.#sources = new EngineSources({ topology, engine: () => engine, meter: this.#meter, clock, version, heardMs });
    const listen = (port: number): Promise<string> => {
      const config = { host: "127.0.0.1", port, token: undefined };
      this.#server = new HttpServer(config, (this.#sources as EngineSources).all, logger);
      return this.#server.listen();
    };
    try {
      this.url = await listen(httpPort ?? usualHttpPort);
    } catch (error) {
      await this.#server?.close();
      if (httpPort !== undefined || !(error instanceof KappaError)) throw error;
      this.url = await listen(0);
    }
  }

  /** Ends the threads after what they have begun is durable. Safe to call again. */
  async stop(): Promise<void> {
    await this.#server?.close();
    this.#sources?.close();
    this.#server = undefined;
    this.#sources = undefined;
    if (this.#engine !== undefined && this.#engine.state !== "NOT_RUNNING") await this.#engine.stop();
  }

  /** Deletes the local state of the stopped application. */
  async wipe(): Promise<void> {
    await rm(this.stateDir, { recursive: true, force: true });
  }

  /**
   * What the sliding windows of customers hold as of a time, as text that is equal when they are. Windows of the last
   * so many events are left out: beyond its grace a store does not know what they held.
   */
  windowsOf(customers: readonly string[], asOfMs: number): Promise<string[]> {
    const { engine } = this;
    const node = engine.topology.nodes.find((each) => each.name === "customer-history");
    assert(node?.kind === "features", () => "the fraud topology has no customer-history");
    const sliding = node.features
      .filter(({ window }) => node.windows[window]?.kind === "sliding")
      .map(({ name }) => name);
    return Promise.all(
      customers.map(async (customer) =>
        JSON.stringify((await engine.read(node.name, customer, asOfMs))?.value ?? null, sliding),
      ),
    );
  }
}

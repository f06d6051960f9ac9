import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installDebianPackage } from "./debian-package.ts";
import { freePort } from "./free-port.ts";
import { httpAnswer } from "./http-answer.ts";
import { LocalService, type ServiceFolder, serviceFolder, started } from "./local-service.ts";
import { ServiceProcess } from "./service-process.ts";

/** How to run Prometheus; without any of it, one on a free port that scrapes `kappa run` where that serves by default. */
export interface PrometheusServerOptions {
  /** Where it keeps its series, configuration and log file. Default: a folder of its own that `stop` removes. */
  readonly dataDir?: string;
  readonly port?: number;
  /** `host:port` of the processes whose `/metrics` are read. */
  readonly targets?: readonly string[];
}

/** Where a process serves its metrics unless told otherwise (`HTTP_PORT`). */
const targetsDefault = ["127.0.0.1:9464"];

const alertsFile = join(import.meta.dirname, "../../docker/prometheus/alerts.yml");

/** Prometheus of the system's package, with the project's alerts. */
export class PrometheusServer extends LocalService {
  readonly #port: number;
  readonly #targets: readonly string[];

  private constructor(folder: ServiceFolder, port: number, targets: readonly string[]) {
    super(folder);
    this.#port = port;
    this.#targets = targets;
  }

  /** A Prometheus that answers queries. */
  static async start(options: PrometheusServerOptions = {}): Promise<PrometheusServer> {
    await installDebianPackage("prometheus");
    const folder = await serviceFolder(options.dataDir, "prometheus");
    const port = options.port ?? (await freePort());
    return started(new PrometheusServer(folder, port, options.targets ?? targetsDefault));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  protected override async launch(): Promise<ServiceProcess> {
    const { path } = this.folder;
    const file = join(path, "prometheus.yml");
    await writeFile(file, this.#configuration());
    const address = `--web.listen-address=127.0.0.1:${this.#port}`;
    return ServiceProcess.start(
      {
        name: "Prometheus",
        program: "prometheus",
        args: [`--config.file=${file}`, `--storage.tsdb.path=${join(path, "series")}`, address, "--log.level=warn"],
        logFile: join(path, "prometheus.log"),
      },
      () => httpAnswer(`${this.url}/-/ready`),
    );
  }

  /** JSON, which is YAML. */
  #configuration(): string {
    return JSON.stringify({
      global: { scrape_interval: "5s", evaluation_interval: "5s" },
      rule_files: [alertsFile],
      scrape_configs: [{ job_name: "kappa", static_configs: [{ targets: this.#targets }] }],
    });
  }
}

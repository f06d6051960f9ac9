import { join } from "node:path";
import { apicurioJar } from "./apicurio-archive.ts";
import { freePort } from "./free-port.ts";
import { httpAnswer } from "./http-answer.ts";
import { missingJava } from "./java.ts";
import { LocalService, type ServiceFolder, serviceFolder, started } from "./local-service.ts";
import { refuseMissing } from "./missing-package.ts";
import { ServiceProcess } from "./service-process.ts";

/** How to run a schema registry; without any of it, an empty one on a free port. */
export interface SchemaRegistryServerOptions {
  /** Where it keeps its schemas and its log file. Default: a folder of its own that `stop` removes. */
  readonly dataDir?: string;
  readonly port?: number;
}

/** 230 MB in all. The first compiler alone: it serves a few requests a second. */
const javaOptions = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/**
 * Apicurio Registry, which speaks the protocol of Confluent's. Schemas outlive it, since the ids in records of a Kafka
 * that is kept name them. Its default compatibility is NONE.
 */
export class SchemaRegistryServer extends LocalService {
  readonly #port: number;

  private constructor(folder: ServiceFolder, port: number) {
    super(folder);
    this.#port = port;
  }

  /** A registry that answers requests. */
  static async start(options: SchemaRegistryServerOptions = {}): Promise<SchemaRegistryServer> {
    refuseMissing([await missingJava()]);
    await apicurioJar();
    const folder = await serviceFolder(options.dataDir, "registry");
    return started(new SchemaRegistryServer(folder, options.port ?? (await freePort())));
  }

  /** Where the protocol of Confluent's registry is spoken. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}/apis/ccompat/v7`;
  }

  protected override async launch(): Promise<ServiceProcess> {
    // Written at once: by default the database may lose its last half second when it is killed.
    const database = `jdbc:h2:file:${join(this.folder.path, "registry")};WRITE_DELAY=0`;
    const quiet = ["-Dquarkus.http.access-log.enabled=false", '-Dquarkus.log.category."io.apicurio".level=WARN'];
    const properties = [`-Dapicurio.datasource.url=${database}`, ...quiet];
    return ServiceProcess.start(
      {
        name: "the schema registry",
        program: "java",
        args: [...javaOptions, ...properties, "-jar", await apicurioJar()],
        environment: { QUARKUS_HTTP_HOST: "127.0.0.1", QUARKUS_HTTP_PORT: String(this.#port) },
        logFile: join(this.folder.path, "registry.log"),
      },
      () => httpAnswer(`${this.url}/subjects`),
    );
  }
}

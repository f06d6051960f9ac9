import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { assert } from "../../src/core/assert.ts";
import { KappaError } from "../../src/core/errors.ts";
import { type BrokerCertificates, makeCertificates } from "./broker-certificates.ts";
import { runCommand } from "./command.ts";
import { freePort } from "./free-port.ts";
import { missingJava } from "./java.ts";
import { kafkaClassPath } from "./kafka-jars.ts";
import { type KafkaListener, kafkaProperties, propertiesText, scramArguments } from "./kafka-properties.ts";
import { LocalService, type ServiceFolder, serviceFolder, started } from "./local-service.ts";
import { refuseMissing } from "./missing-package.ts";
import { ServiceProcess } from "./service-process.ts";

/** How to run a broker; without any of it, an empty one on free ports. */
export interface KafkaBrokerOptions {
  /** Where it keeps its records, configuration and log file. Default: a folder of its own that `stop` removes. */
  readonly dataDir?: string;
  /** Port of the `PLAINTEXT` listener. Default: a free one. */
  readonly port?: number;
  /** Listeners besides `PLAINTEXT`, each on a free port. */
  readonly listeners?: readonly Exclude<KafkaListener, "PLAINTEXT">[];
  /**
   * Passwords by user for the SASL listeners, which take PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. Letters and digits;
   * those of SCRAM count only when the data folder is new.
   */
  readonly users?: Readonly<Record<string, string>>;
  /** Lines of `server.properties`, stronger than what is there. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Options for its Java, after and so stronger than the ones given here. */
  readonly javaOptions?: readonly string[];
}

const loggingOption = `-Dlog4j2.configurationFile=${join(import.meta.dirname, "log4j2.properties")}`;

/**
 * The first compiler alone, which halves the start (1.7 s instead of 3.1 s), and the collector that needs no threads of
 * its own. For a broker that is measured, pass `-XX:TieredStopAtLevel=4`.
 */
const javaOptionsDefault = ["-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/** A cold JVM that writes three files. */
const formatTimeoutMs = 60_000;

/** How long a broker that starts may take to answer one request; then it is asked again. */
const answerTimeoutMs = 2000;

/** A real Kafka on this machine: one node that is broker and controller. */
export class KafkaBroker extends LocalService {
  readonly #options: KafkaBrokerOptions;
  readonly #controllerPort: number;
  readonly #ports: ReadonlyMap<KafkaListener, number>;
  readonly #certificates: BrokerCertificates | undefined;

  private constructor(
    folder: ServiceFolder,
    options: KafkaBrokerOptions,
    controllerPort: number,
    ports: ReadonlyMap<KafkaListener, number>,
    certificates: BrokerCertificates | undefined,
  ) {
    super(folder);
    this.#options = options;
    this.#controllerPort = controllerPort;
    this.#ports = ports;
    this.#certificates = certificates;
  }

  /**
   * A broker that answers requests. The first time on a machine it is fetched before (see `kafkaClassPath`).
   *
   * @throws KAPPA_SERVICE_UNREACHABLE with one line that says what is missing and what to type
   */
  static async start(options: KafkaBrokerOptions = {}): Promise<KafkaBroker> {
    refuseUnwritable(options.users ?? {});
    refuseMissing([await missingJava()]);
    await kafkaClassPath();
    const ports = new Map<KafkaListener, number>([["PLAINTEXT", options.port ?? (await freePort())]]);
    for (const name of options.listeners ?? []) ports.set(name, await freePort());
    const secure = [...ports.keys()].some((name) => name === "MTLS" || name.endsWith("SSL"));
    const folder = await serviceFolder(options.dataDir, "kafka");
    const certificates = secure ? await makeCertificates(folder.path) : undefined;
    return started(new KafkaBroker(folder, options, await freePort(), ports, certificates));
  }

  /** `host:port` of the `PLAINTEXT` listener, as clients want it. */
  get bootstrapServers(): string {
    return this.bootstrapServersOf("PLAINTEXT");
  }

  /** `host:port` of one of the listeners that were asked for. */
  bootstrapServersOf(listener: KafkaListener): string {
    const port = this.#ports.get(listener);
    assert(port !== undefined, () => `listener ${listener} is none of ${[...this.#ports.keys()].join(", ")}`);
    return `127.0.0.1:${port}`;
  }

  /** Files for clients of a listener with TLS. */
  get certificates(): BrokerCertificates {
    const certificates = this.#certificates;
    assert(certificates !== undefined, () => "the broker has no listener with TLS");
    return certificates;
  }

  protected override async launch(): Promise<ServiceProcess> {
    const { path } = this.folder;
    const classPath = await kafkaClassPath();
    const file = join(path, "server.properties");
    await writeFile(file, propertiesText(this.#properties()), { mode: 0o600 });
    if (!existsSync(join(path, "log", "meta.properties"))) await this.#format(classPath, file);
    const java = [...javaOptionsDefault, ...(this.#options.javaOptions ?? []), loggingOption];
    return ServiceProcess.start(
      {
        name: "Kafka",
        program: "java",
        args: [...java, "-cp", classPath, "kafka.Kafka", file],
        logFile: join(path, "kafka.log"),
      },
      () => this.#answers(),
    );
  }

  #properties(): Record<string, string> {
    return kafkaProperties({
      dataDir: this.folder.path,
      controllerPort: this.#controllerPort,
      ports: this.#ports,
      certificates: this.#certificates,
      users: this.#users,
      properties: this.#options.properties ?? {},
    });
  }

  async #format(classPath: string, propertiesFile: string): Promise<void> {
    // Sixteen random bytes in URL-safe base64; "a" first, as one that starts with a hyphen reads as an option.
    const clusterId = `a${randomBytes(16).toString("base64url").slice(1)}`;
    const tool = ["-cp", classPath, "kafka.tools.StorageTool", "format", "-t", clusterId, "-c", propertiesFile];
    const java = [...javaOptionsDefault, loggingOption, ...tool, ...scramArguments(this.#users)];
    await runCommand("java", java, { timeoutMs: formatTimeoutMs });
  }

  get #users(): Readonly<Record<string, string>> {
    return this.#options.users ?? {};
  }

  /** Resolves when the broker names itself as part of the cluster: from then on it serves its partitions. */
  async #answers(): Promise<void> {
    const kafka = new Kafka({
      brokers: [this.bootstrapServers],
      connectionTimeout: answerTimeoutMs,
      requestTimeout: answerTimeoutMs,
      retry: { retries: 0 },
      logLevel: logLevel.NOTHING,
    });
    const admin = kafka.admin();
    try {
      await admin.connect();
      const { brokers } = await admin.describeCluster();
      if (brokers.length === 0) throw new Error("the broker has not joined its cluster");
    } finally {
      await admin.disconnect();
    }
  }
}

/** Users stand in two small languages with quotes and brackets of their own. */
function refuseUnwritable(users: Readonly<Record<string, string>>): void {
  for (const text of Object.entries(users).flat()) {
    if (/^[A-Za-z0-9._-]+$/.test(text)) continue;
    throw new KappaError("KAPPA_USAGE", `user or password "${text}" has other characters than letters and digits`);
  }
}

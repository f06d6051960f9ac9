import { existsSync } from "node:fs";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { connectFileLog, readFileLog } from "../log/file-log-socket.ts";
import { KafkaCluster } from "../log/kafka-cluster.ts";
import { KafkaLog } from "../log/kafka-log.ts";
import type { KafkaOptions } from "../log/kafka-options.ts";
import type { Log } from "../log/log.ts";
import type { SharedLog } from "../log/thread-log.ts";
import type { DataFolder } from "./data-folder.ts";
import { refusalOf } from "./kafka-refusal.ts";

/** How commands open the log. */
export interface LogAccess {
  /** What connects to Kafka; null for the embedded log. */
  readonly kafka: KafkaOptions | null;
  /** Names the log, apart from every other one that state could be of. */
  origin(): Promise<string>;
  /** For a command that only reads: what is durable. @throws KAPPA_USAGE when there is no log */
  read(): Promise<Log>;
  /** For a command that writes. */
  write(): Promise<Log>;
  /** For the process that runs an application. @throws KAPPA_LOG_LOCKED */
  own(meter: Meter): Promise<SharedLog>;
}

/** The embedded log of a data folder: read beside a live run, written through it, owned by one process. */
export class EmbeddedLogAccess implements LogAccess {
  readonly kafka = null;
  readonly #folder: DataFolder;

  constructor(folder: DataFolder) {
    this.#folder = folder;
  }

  /** Which journal it is, state tells by itself. */
  origin(): Promise<string> {
    return Promise.resolve("the embedded log");
  }

  async read(): Promise<Log> {
    const { logDirectory, path } = this.#folder;
    if (!existsSync(logDirectory)) {
      throw new KappaError(
        "KAPPA_USAGE",
        `there is no log in ${path}; name another folder with --data-dir, or fill this one: kappa produce --help`,
        { dataDir: path },
      );
    }
    return readFileLog(logDirectory);
  }

  write(): Promise<Log> {
    return connectFileLog({ directory: this.#folder.logDirectory });
  }

  own(meter: Meter): Promise<SharedLog> {
    return this.#folder.own(meter);
  }
}

/** The topics of a Kafka cluster: any number of processes read and write them. */
export class KafkaLogAccess implements LogAccess {
  readonly kafka: KafkaOptions;
  readonly #place: string;

  /** @param place which option names the brokers, for messages */
  constructor(kafka: KafkaOptions, place: string) {
    this.kafka = kafka;
    this.#place = place;
  }

  async #open(): Promise<KafkaLog> {
    try {
      return await KafkaLog.open(this.kafka);
    } catch (error) {
      throw await this.explained(error);
    }
  }

  /** An error of opening for who types a command: which address was tried, who named it, and what to do instead. */
  async explained(error: unknown): Promise<unknown> {
    if (!(error instanceof KappaError)) return error;
    const { code, context, cause } = error;
    const where = `Kafka at ${this.kafka.bootstrapServers.join(", ")} (${this.#place.replace(" in ", " from ")})`;
    const why = await refusalOf(error, this.kafka);
    if (why !== undefined) return new KappaError("KAPPA_LOG_REFUSED", `${where} refuses: ${why}`, context, error);
    const said = messageOf(cause ?? error).replace(/^Connection error: /, "");
    if (code !== "KAPPA_LOG_UNAVAILABLE") return new KappaError(code, `${where}: ${said}`, context, error);
    const mend = "Start one: npm run stack — or try without Kafka: npm start";
    return new KappaError(code, `cannot reach ${where}: ${said}. ${mend}`, context, error);
  }

  async origin(): Promise<string> {
    const cluster = await KafkaCluster.connect(this.kafka);
    try {
      return `Kafka cluster ${(await cluster.describe()).id}`;
    } finally {
      await cluster.close();
    }
  }

  read(): Promise<Log> {
    return this.#open();
  }

  write(): Promise<Log> {
    return this.#open();
  }

  own(): Promise<SharedLog> {
    return this.#open();
  }
}

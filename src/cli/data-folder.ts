import { existsSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedSchemaRegistry } from "../codec/embedded-schema-registry.ts";
import { KappaError } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { type FileLog, type OwnedFileLog, openFileLog } from "../log/file-log.ts";
import { connectFileLog, readFileLog } from "../log/file-log-socket.ts";
import type { Log, Topic } from "../log/log.ts";

/** The folder that holds the embedded log (`log/`), the schemas (`registry/`) and, usually, the state. */
export class DataFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get logDirectory(): string {
    return join(this.path, "log");
  }
  get registryDirectory(): string {
    return join(this.path, "registry");
  }

  /** The log for a command that only reads: beside a live run or without one, what is durable. @throws KAPPA_USAGE */
  read(): FileLog {
    if (!existsSync(this.logDirectory)) {
      throw new KappaError(
        "KAPPA_USAGE",
        `there is no log in ${this.path}; name another folder with --data-dir, or fill this one: kappa produce --help`,
        { dataDir: this.path },
      );
    }
    return readFileLog(this.logDirectory);
  }

  /** The log for a command that writes: through the live run, or by itself when there is none. */
  connect(): Promise<FileLog> {
    return connectFileLog({ directory: this.logDirectory });
  }

  /** The log for the process that runs an application. @throws KAPPA_LOG_LOCKED */
  own(meter: Meter): Promise<OwnedFileLog> {
    return openFileLog({ directory: this.logDirectory, meter });
  }

  registry(): Promise<EmbeddedSchemaRegistry> {
    return EmbeddedSchemaRegistry.open(this.registryDirectory);
  }
}

/** @throws KAPPA_TOPIC_UNKNOWN with the topics there are */
export async function existingTopic(log: Log, name: string): Promise<Topic> {
  const topic = await log.topic(name);
  if (topic !== undefined) return topic;
  const names = (await log.topics()).map((each) => each.name);
  const known = names.length === 0 ? "the log has none" : `there are ${names.join(", ")}`;
  throw new KappaError("KAPPA_TOPIC_UNKNOWN", `topic ${name} does not exist; ${known}`, { topic: name });
}

import { join } from "node:path";
import { EmbeddedSchemaRegistry } from "../codec/embedded-schema-registry.ts";
import { KappaError } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { type OwnedFileLog, openFileLog } from "../log/file-log.ts";
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

  /** The embedded log for the process that runs an application on it. @throws KAPPA_LOG_LOCKED */
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

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ConfluentAddress } from "../codec/confluent-client.ts";
import { openSchemaRegistry } from "../codec/registry-place.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { type Meter, noMeter } from "../core/meter.ts";
import { type OwnedFileLog, openFileLog } from "../log/file-log.ts";
import type { Log, Topic } from "../log/log.ts";

/** The folder that holds the embedded log (`log/`), the schemas (`registry/`) and, usually, the state. */
export class DataFolder {
  readonly path: string;
  readonly #registry: ConfluentAddress | undefined;

  /** @param registry where schemas are kept instead; what it tells is kept in the folder as well */
  constructor(path: string, registry?: ConfluentAddress) {
    this.path = path;
    this.#registry = registry;
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

  /** Whether there is a registry to be asked without making one. */
  get hasRegistry(): boolean {
    return this.#registry !== undefined || existsSync(this.registryDirectory);
  }

  registry(): Promise<SchemaRegistry> {
    const folder = this.registryDirectory;
    const place =
      this.#registry === undefined
        ? ({ kind: "embedded", folder } as const)
        : ({ kind: "confluent", ...this.#registry, cacheFolder: folder } as const);
    return openSchemaRegistry(place, { clock: systemClock, meter: noMeter });
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

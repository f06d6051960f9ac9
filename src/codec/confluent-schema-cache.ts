import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type StoredSchema, storedSchema } from "./confluent-client.ts";
import { createWhole, replaceWhole } from "./whole-file.ts";

/**
 * What a registry has told once, kept for ever, since neither ever changes: the schema of an id, and the id of a schema
 * under a subject. A folder for each registry, so that two of them do not mix:
 *
 *     confluent-1f0c8a…/url                   whose ids these are, for people
 *     confluent-1f0c8a…/ids/7.json            the schema with id 7, as the registry gave it
 *     confluent-1f0c8a…/registered/9b2e….json subject, and the id that its schema has
 *
 * A file that cannot be read as what it should be is as good as none: the registry is asked again.
 */
export class ConfluentSchemaCache {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param url as `confluentUrl` gives it */
  static async open(parent: string, url: string): Promise<ConfluentSchemaCache> {
    const cache = new ConfluentSchemaCache(join(parent, `confluent-${digest(url).slice(0, 16)}`));
    await mkdir(join(cache.folder, "ids"), { recursive: true });
    await mkdir(join(cache.folder, "registered"), { recursive: true });
    await createWhole(join(cache.folder, "url"), `${url}\n`);
    return cache;
  }

  /** Without waiting: a serde needs it now. */
  schema(id: number): StoredSchema | undefined {
    return read(this.#idPath(id), storedSchema);
  }

  async keepSchema(id: number, stored: StoredSchema): Promise<void> {
    if (this.schema(id) === undefined) await replaceWhole(this.#idPath(id), JSON.stringify(stored));
  }

  registered(subject: string, schema: string): number | undefined {
    return read(this.#registeredPath(subject, schema), (json) => {
      const { id } = json as { readonly id?: unknown };
      return typeof id === "number" ? id : undefined;
    });
  }

  async keepRegistered(subject: string, schema: string, id: number): Promise<void> {
    if (this.registered(subject, schema) === id) return;
    await replaceWhole(this.#registeredPath(subject, schema), JSON.stringify({ subject, id }));
  }

  #idPath(id: number): string {
    return join(this.folder, "ids", `${id}.json`);
  }

  #registeredPath(subject: string, schema: string): string {
    return join(this.folder, "registered", `${digest(`${subject}\n${schema}`)}.json`);
  }
}

function read<Content>(path: string, contentOf: (json: unknown) => Content): Content | undefined {
  try {
    return contentOf(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

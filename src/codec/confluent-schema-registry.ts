import { type Clock, systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { type Meter, noMeter } from "../core/meter.ts";
import { noWarn, type Warn } from "../core/warn.ts";
import type { AvroType } from "./avro-type.ts";
import {
  type ConfluentAddress,
  ConfluentClient,
  type Patience,
  patient,
  type StoredSchema,
} from "./confluent-client.ts";
import { ConfluentSchemaCache } from "./confluent-schema-cache.ts";
import {
  checkCompatible,
  checkSchemaId,
  type ParsedSchema,
  parseSchema,
  unknownSchema,
} from "./schema-compatibility.ts";
import { SchemaQuestions } from "./schema-questions.ts";
import {
  type Compatibility,
  defaultCompatibility,
  type RegisterOptions,
  type SchemaRegistry,
  type SchemaVersion,
} from "./schema-registry.ts";

export interface ConfluentOptions extends ConfluentAddress {
  /** Holds what registries have told, each in a folder of its own; see `ConfluentSchemaCache`. */
  readonly cacheFolder: string;
  /** Whether `register` may add versions. If not, it only finds those there are. Default true. */
  readonly autoRegister?: boolean;
}

/** What a registry is handed. */
export interface RegistrySurroundings {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly warn?: Warn;
}

/** One try in the background: asking again is up to the questions. */
const onceAtATime: Patience = { tries: 1, timeoutMs: 10_000 };

/** When the answer is in the cache as well: a start does not wait for a registry that hangs. */
const brief: Patience = { tries: 1, timeoutMs: 2_000 };

/** A schema that was told: what it says, or why nothing can be read with it. */
interface Held {
  readonly text: string;
  readonly type: AvroType | null;
  /** Empty when there is a type. */
  readonly fault: string;
}

/**
 * A schema registry of its own, over HTTP: Confluent's, Apicurio, Karapace and others of the same protocol. What it told
 * once is never asked for again, in this process or a later one, so a registry that is away stops nothing but records
 * with an id never seen before; those wait (see `missing`).
 */
export class ConfluentSchemaRegistry implements SchemaRegistry {
  readonly #client: ConfluentClient;
  readonly #cache: ConfluentSchemaCache;
  readonly #autoRegister: boolean;
  readonly #warn: Warn;
  readonly #questions: SchemaQuestions;
  readonly #held = new Map<number, Held>();

  private constructor(
    options: ConfluentOptions,
    url: string,
    cache: ConfluentSchemaCache,
    { clock, meter, warn }: RegistrySurroundings,
  ) {
    this.#client = new ConfluentClient({ ...options, url });
    this.#cache = cache;
    this.#warn = warn ?? noWarn;
    this.#autoRegister = options.autoRegister ?? true;
    const fetch = async (id: number): Promise<void> => {
      await this.#keep(id, await this.#client.schema(id, onceAtATime));
    };
    this.#questions = new SchemaQuestions({ fetch, clock, meter });
  }

  /** Opens the cache; the registry itself is not asked for anything. @throws KAPPA_CONFIG_INVALID for an address that is none */
  static async open(
    options: ConfluentOptions,
    around: RegistrySurroundings = { clock: systemClock, meter: noMeter },
  ): Promise<ConfluentSchemaRegistry> {
    const url = confluentUrl(options.url);
    const cache = await ConfluentSchemaCache.open(options.cacheFolder, url);
    return new ConfluentSchemaRegistry(options, url, cache, around);
  }

  /** @throws KAPPA_RECORD_INVALID for an id whose schema nothing can be read with: another kind than Avro, no record */
  known(id: number): AvroType | undefined {
    // What another thread or process was told is in the folder; while we ask ourselves, we are the first to know.
    const held = this.#held.get(id) ?? (this.#questions.awaits(id) ? undefined : this.#fromCache(id));
    if (held === undefined) return undefined;
    if (held.type !== null) return held.type;
    const message = `schema id ${id} cannot be read with: ${held.fault}`;
    throw new KappaError("KAPPA_RECORD_INVALID", message, { id, reason: "schema_incompatible" });
  }

  missing(id: number): KappaError {
    return this.#questions.missing(id);
  }

  async schemaOf(id: number): Promise<string> {
    const held = this.#held.get(id) ?? this.#fromCache(id) ?? (await this.#fetched(id));
    if (held.type !== null) return held.text;
    throw new KappaError("KAPPA_SCHEMA_INVALID", `schema id ${id} cannot be read with: ${held.fault}`, { id });
  }

  async #fetched(id: number): Promise<Held> {
    try {
      return await this.#keep(id, await this.#client.schema(id, patient));
    } catch (error) {
      throw error instanceof KappaError && error.code === "KAPPA_SCHEMA_UNKNOWN" ? unknownSchema(id) : error;
    }
  }

  /**
   * Besides what the port says: with the registry away, the id that an earlier run was given. A subject that this creates
   * is `BACKWARD` from the first version on, whatever the registry's default.
   * @throws KAPPA_SCHEMA_UNREGISTERED when versions are not to be added and this would be one
   */
  async register(subject: string, schema: string, options: RegisterOptions = {}): Promise<number> {
    const parsed = parseSchema(schema);
    if (options.id !== undefined) await this.#checkIsOf(options.id, subject, parsed);
    const before = this.#cache.registered(subject, parsed.text);
    let id: number;
    try {
      id = await this.#registered(subject, parsed, before === undefined ? patient : brief);
    } catch (error) {
      if (before === undefined || !(error instanceof KappaError) || error.recovery !== "retry") throw error;
      id = before;
      this.#warn({ subject, id, reason: error.message }, "schema registry away: taking the id that it gave before");
    }
    await this.#keep(id, { schemaType: "AVRO", schema: parsed.text, references: [] });
    await this.#cache.keepRegistered(subject, parsed.text, id);
    return id;
  }

  /** @throws KAPPA_SCHEMA_INCOMPATIBLE for any id but the one that the schema has already: the registry gives them */
  async #checkIsOf(id: number, subject: string, schema: ParsedSchema): Promise<void> {
    checkSchemaId(id);
    const found = (await this.#client.registered(subject, schema.text, patient)) ?? null;
    if (found === id) return;
    const has = found === null ? "is no version of it yet" : `has id ${found}`;
    const message = `subject ${subject}: the schema ${has}, ${id} was asked for; a registry over HTTP gives ids itself`;
    throw new KappaError("KAPPA_SCHEMA_INCOMPATIBLE", message, { subject, id, found });
  }

  async #registered(subject: string, schema: ParsedSchema, patience: Patience): Promise<number> {
    const found = await this.#client.registered(subject, schema.text, patience);
    if (typeof found === "number") return found;
    // The same JSON with other white space is the same schema, which a registry may see otherwise.
    const versions = found === undefined ? [] : await this.versions(subject);
    const same = versions.find((each) => each.schema === schema.text);
    if (same !== undefined) return same.id;
    if (!this.#autoRegister) throw unregistered(subject, this.#client.url);
    // Before the first version: a crash in between leaves a rule without a subject, never a subject without a rule.
    if (found === undefined) await this.setCompatibility(subject, defaultCompatibility);
    try {
      return await this.#client.register(subject, schema.text, patience);
    } catch (error) {
      // Ours names each field that is in the way; a registry may not.
      if (error instanceof KappaError && error.code === "KAPPA_SCHEMA_INCOMPATIBLE")
        checkCompatible(subject, schema, versions, await this.compatibility(subject));
      throw error;
    }
  }

  async subjects(): Promise<readonly string[]> {
    return [...(await this.#client.subjects())].sort();
  }

  async versions(subject: string): Promise<readonly SchemaVersion[]> {
    const latest = await this.#client.version(subject, "latest");
    const versions: SchemaVersion[] = [];
    for (let number = 1; number < (latest?.version ?? 0); number++) {
      const version = await this.#client.version(subject, number);
      if (version !== undefined) versions.push(asJson(version)); // else deleted
    }
    return latest === undefined ? [] : [...versions, asJson(latest)];
  }

  async latest(subject: string): Promise<SchemaVersion | undefined> {
    const latest = await this.#client.version(subject, "latest");
    return latest === undefined ? undefined : asJson(latest);
  }

  async compatibility(subject: string): Promise<Compatibility> {
    const own = await this.#client.compatibility(subject);
    if (own !== undefined) return own;
    const others = (await this.#client.version(subject, "latest")) !== undefined;
    return (others ? await this.#client.compatibility(subject, true) : undefined) ?? defaultCompatibility;
  }

  setCompatibility(subject: string, compatibility: Compatibility): Promise<void> {
    return this.#client.setCompatibility(subject, compatibility);
  }

  #fromCache(id: number): Held | undefined {
    const stored = this.#cache.schema(id);
    return stored === undefined ? undefined : this.#hold(id, stored);
  }

  /** First on disk, then for use: what was read once can be read after every restart. */
  async #keep(id: number, stored: StoredSchema): Promise<Held> {
    const before = this.#held.get(id) ?? this.#fromCache(id);
    if (before !== undefined) {
      this.#checkSame(id, before, heldOf(stored));
      return before;
    }
    await this.#cache.keepSchema(id, stored);
    return this.#hold(id, stored);
  }

  #hold(id: number, stored: StoredSchema): Held {
    const held = heldOf(stored);
    this.#held.set(id, held);
    return held;
  }

  /** @throws KAPPA_FILE_INVALID when an id has become another schema's: records would be read as what they are not */
  #checkSame(id: number, before: Held, now: Held): void {
    const { url } = this.#client;
    const { folder } = this.#cache;
    const same = before.type === null ? now.type === null : now.type?.fingerprint().equals(before.type.fingerprint());
    if (same) return;
    const message = `schema id ${id} of ${url} is another schema in ${folder}: the registry was replaced by another or emptied`;
    const mend = "if no record of the former is left to be read, remove the folder";
    throw new KappaError("KAPPA_FILE_INVALID", `${message}; ${mend}`, { id, url, path: folder });
  }

  close(): Promise<void> {
    this.#questions.close();
    this.#client.close();
    return Promise.resolve();
  }
}

/** The address of a registry in one form. @throws KAPPA_CONFIG_INVALID */
function confluentUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const refused = (what: string): KappaError => new KappaError("KAPPA_CONFIG_INVALID", `SCHEMA_REGISTRY_URL ${what}`);
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw refused("is not http://host:port or https://host:port");
  if (url.username !== "" || url.password !== "")
    throw refused("holds a user; give it by SCHEMA_REGISTRY_API_KEY and SCHEMA_REGISTRY_API_SECRET");
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

function heldOf({ schemaType, schema, references }: StoredSchema): Held {
  if (schemaType !== "AVRO") return { text: schema, type: null, fault: `it is ${schemaType}, not AVRO` };
  if (references.length > 0) {
    return {
      text: schema,
      type: null,
      fault: `it is made of ${references.length} schemas of other subjects; write it as one`,
    };
  }
  try {
    return { ...parseSchema(schema), fault: "" };
  } catch (error) {
    if (!(error instanceof KappaError)) throw error;
    return { text: schema, type: null, fault: error.message };
  }
}

function asJson(version: SchemaVersion): SchemaVersion {
  try {
    return { ...version, schema: JSON.stringify(JSON.parse(version.schema)) };
  } catch {
    return version; // not Avro
  }
}

function unregistered(subject: string, url: string): KappaError {
  const mend = `type: kappa schemas register ${subject} FILE.avsc`;
  const message = `subject ${subject} of ${url} lacks the schema that is to be written, and versions are not to be added; ${mend}`;
  return new KappaError("KAPPA_SCHEMA_UNREGISTERED", message, { subject, url });
}

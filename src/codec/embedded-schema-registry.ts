import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { KappaError } from "../core/errors.ts";
import type { AvroType } from "./avro-type.ts";
import {
  checkCompatible,
  checkSchemaId,
  idTaken,
  type ParsedSchema,
  parseSchema,
  unknownSchema,
} from "./schema-compatibility.ts";
import {
  type Compatibility,
  compatibilities,
  defaultCompatibility,
  type RegisterOptions,
  type SchemaRegistry,
  type SchemaVersion,
} from "./schema-registry.ts";
import { createWhole, isDraft, replaceWhole } from "./whole-file.ts";

/** Longest subject, in characters of its file name: file systems take 255 bytes. */
const subjectLengthMax = 200;

/**
 * A registry in a folder, for an application without a server:
 *
 *     ids/7.json                            the schema with id 7
 *     subjects/transactions-value/2.json    its second version: the id
 *     subjects/transactions-value/compatibility
 *
 * Files are created once, whole, and never changed, except `compatibility`. That makes creating one the lock: of several
 * processes that register at once, one gets the next id or version and the others look again. The id comes before the
 * version, so a crash between them leaves an id that the same schema will take when it is registered again.
 */
export class EmbeddedSchemaRegistry implements SchemaRegistry {
  readonly #ids: string;
  readonly #subjects: string;
  readonly #held = new Map<number, ParsedSchema>();

  private constructor(folder: string) {
    this.#ids = join(folder, "ids");
    this.#subjects = join(folder, "subjects");
  }

  /** Opens the registry of a folder, which is created if need be, and holds every schema that is there. */
  static async open(folder: string): Promise<EmbeddedSchemaRegistry> {
    const registry = new EmbeddedSchemaRegistry(folder);
    await mkdir(registry.#ids, { recursive: true });
    await mkdir(registry.#subjects, { recursive: true });
    for (const id of await numbered(registry.#ids)) await registry.#schema(id);
    return registry;
  }

  /** Looks into the folder for an id not seen before, so an id that another process registered is found at once. */
  known(id: number): AvroType | undefined {
    const held = this.#held.get(id);
    if (held !== undefined) return held.type;
    let text: string;
    try {
      text = readFileSync(this.#idPath(id), "utf8");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw unusable(this.#idPath(id), error);
    }
    return this.#hold(id, text).type;
  }

  missing(id: number): KappaError {
    return unknownSchema(id);
  }

  async schemaOf(id: number): Promise<string> {
    const schema = await this.#schema(id);
    if (schema === undefined) throw unknownSchema(id);
    return schema.text;
  }

  async register(subject: string, schema: string, options: RegisterOptions = {}): Promise<number> {
    const parsed = parseSchema(schema);
    const folder = this.#subjectFolder(subject);
    await mkdir(folder, { recursive: true });
    for (;;) {
      const versions = await this.versions(subject);
      const same = versions.find((each) => each.schema === parsed.text && each.id === (options.id ?? each.id));
      if (same !== undefined) return same.id;
      checkCompatible(subject, parsed, versions, await this.compatibility(subject));
      const id = options.id === undefined ? await this.#claimNextId(parsed) : await this.#claimId(options.id, parsed);
      if (
        await createWhole(join(folder, `${(versions.at(-1)?.version ?? 0) + 1}.json`), JSON.stringify({ subject, id }))
      )
        return id;
    }
  }

  async #claimId(id: number, schema: ParsedSchema): Promise<number> {
    checkSchemaId(id);
    if (await createWhole(this.#idPath(id), schema.text)) return id;
    if ((await this.#schema(id))?.text !== schema.text) idTaken(id);
    return id;
  }

  async #claimNextId(schema: ParsedSchema): Promise<number> {
    for (;;) {
      const ids = await numbered(this.#ids);
      for (const id of ids) if ((await this.#schema(id))?.text === schema.text) return id;
      const next = (ids.at(-1) ?? 0) + 1;
      if (await createWhole(this.#idPath(next), schema.text)) return next;
    }
  }

  async subjects(): Promise<readonly string[]> {
    const names = await entries(this.#subjects);
    const subjects: string[] = [];
    for (const name of names) {
      const subject = decodeURIComponent(name);
      if ((await numbered(this.#subjectFolder(subject))).length > 0) subjects.push(subject);
    }
    return subjects.sort();
  }

  async versions(subject: string): Promise<readonly SchemaVersion[]> {
    const folder = this.#subjectFolder(subject);
    const versions: SchemaVersion[] = [];
    for (const version of await numbered(folder)) {
      const path = join(folder, `${version}.json`);
      const id = idIn(path, await readFile(path, "utf8"));
      versions.push({ subject, version, id, schema: await this.schemaOf(id) });
    }
    return versions;
  }

  async latest(subject: string): Promise<SchemaVersion | undefined> {
    return (await this.versions(subject)).at(-1);
  }

  async compatibility(subject: string): Promise<Compatibility> {
    const path = join(this.#subjectFolder(subject), "compatibility");
    let text: string;
    try {
      text = (await readFile(path, "utf8")).trim();
    } catch (error) {
      if (isMissing(error)) return defaultCompatibility;
      throw unusable(path, error);
    }
    const found = compatibilities.find((each) => each === text);
    if (found === undefined) throw unusable(path, `${JSON.stringify(text)} is none of ${compatibilities.join(", ")}`);
    return found;
  }

  async setCompatibility(subject: string, compatibility: Compatibility): Promise<void> {
    const folder = this.#subjectFolder(subject);
    await mkdir(folder, { recursive: true });
    await replaceWhole(join(folder, "compatibility"), `${compatibility}\n`);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #schema(id: number): Promise<ParsedSchema | undefined> {
    const held = this.#held.get(id);
    if (held !== undefined) return held;
    try {
      return this.#hold(id, await readFile(this.#idPath(id), "utf8"));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error instanceof KappaError ? error : unusable(this.#idPath(id), error);
    }
  }

  #hold(id: number, text: string): ParsedSchema {
    try {
      const schema = parseSchema(text);
      this.#held.set(id, schema);
      return schema;
    } catch (error) {
      throw unusable(this.#idPath(id), error);
    }
  }

  #idPath(id: number): string {
    return join(this.#ids, `${id}.json`);
  }

  /** Percent-encoding keeps `/` out of file names; a leading dot is encoded too, since `..` leads out of the folder. */
  #subjectFolder(subject: string): string {
    const name = encodeURIComponent(subject).replace(/^\./, "%2E");
    if (name.length === 0 || name.length > subjectLengthMax) {
      const message = `subject of ${name.length} characters, allowed 1 to ${subjectLengthMax}: use a shorter topic name`;
      throw new KappaError("KAPPA_SCHEMA_INVALID", message, { subject });
    }
    return join(this.#subjects, name);
  }
}

/** The numbers of the files `<number>.json` in a folder, ascending; none when there is no folder. */
async function numbered(folder: string): Promise<number[]> {
  const names = await entries(folder);
  const numbers = names.map((name) => /^([1-9][0-9]{0,9})\.json$/.exec(name)?.[1]).filter((each) => each !== undefined);
  return numbers.map(Number).sort((a, b) => a - b);
}

async function entries(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !isDraft(name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw unusable(folder, error);
  }
}

function idIn(path: string, text: string): number {
  let id: unknown;
  try {
    id = (JSON.parse(text) as { readonly id?: unknown }).id;
  } catch (error) {
    throw unusable(path, error);
  }
  if (typeof id !== "number") throw unusable(path, "it holds no id");
  return id;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function unusable(path: string, cause: unknown): KappaError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new KappaError("KAPPA_FILE_INVALID", `schema registry file ${path} is not usable: ${reason}`, { path }, cause);
}

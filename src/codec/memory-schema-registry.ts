import type { KappaError } from "../core/errors.ts";
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
  defaultCompatibility,
  type RegisterOptions,
  type SchemaRegistry,
  type SchemaVersion,
} from "./schema-registry.ts";

/** A registry that lives as long as the process: for tests and simulation. */
export class MemorySchemaRegistry implements SchemaRegistry {
  readonly #schemas = new Map<number, ParsedSchema>();
  readonly #subjects = new Map<string, SchemaVersion[]>();
  readonly #compatibilities = new Map<string, Compatibility>();

  known(id: number): AvroType | undefined {
    return this.#schemas.get(id)?.type;
  }

  missing(id: number): KappaError {
    return unknownSchema(id);
  }

  schemaOf(id: number): Promise<string> {
    const schema = this.#schemas.get(id);
    return schema === undefined ? Promise.reject(unknownSchema(id)) : Promise.resolve(schema.text);
  }

  async register(subject: string, schema: string, options: RegisterOptions = {}): Promise<number> {
    const parsed = parseSchema(schema);
    const versions = await this.versions(subject);
    const same = versions.find((each) => each.schema === parsed.text && each.id === (options.id ?? each.id));
    if (same !== undefined) return same.id;
    checkCompatible(subject, parsed, versions, await this.compatibility(subject));
    const id = this.#idOf(parsed, options.id);
    this.#schemas.set(id, parsed);
    this.#subjects.set(subject, [...versions, { subject, version: versions.length + 1, id, schema: parsed.text }]);
    return id;
  }

  #idOf(schema: ParsedSchema, wanted: number | undefined): number {
    if (wanted !== undefined) {
      checkSchemaId(wanted);
      const held = this.#schemas.get(wanted);
      if (held !== undefined && held.text !== schema.text) idTaken(wanted);
      return wanted;
    }
    for (const [id, held] of this.#schemas) if (held.text === schema.text) return id;
    return Math.max(0, ...this.#schemas.keys()) + 1;
  }

  subjects(): Promise<readonly string[]> {
    return Promise.resolve([...this.#subjects.keys()].sort());
  }

  versions(subject: string): Promise<readonly SchemaVersion[]> {
    return Promise.resolve(this.#subjects.get(subject) ?? []);
  }

  async latest(subject: string): Promise<SchemaVersion | undefined> {
    return (await this.versions(subject)).at(-1);
  }

  compatibility(subject: string): Promise<Compatibility> {
    return Promise.resolve(this.#compatibilities.get(subject) ?? defaultCompatibility);
  }

  setCompatibility(subject: string, compatibility: Compatibility): Promise<void> {
    this.#compatibilities.set(subject, compatibility);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

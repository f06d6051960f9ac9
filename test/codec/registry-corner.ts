import { randomUUID } from "node:crypto";
import type { AvroType } from "../../src/codec/avro-type.ts";
import type { Compatibility, RegisterOptions, SchemaRegistry, SchemaVersion } from "../../src/codec/schema-registry.ts";
import type { KappaError } from "../../src/core/errors.ts";

/** The part of a shared registry that one test has for itself: subjects have a prefix that the test does not see. */
export class RegistryCorner implements SchemaRegistry {
  readonly #registry: SchemaRegistry;
  readonly #prefix = `${randomUUID()}.`;

  constructor(registry: SchemaRegistry) {
    this.#registry = registry;
  }

  known(id: number): AvroType | undefined {
    return this.#registry.known(id);
  }

  missing(id: number): KappaError {
    return this.#registry.missing(id);
  }

  schemaOf(id: number): Promise<string> {
    return this.#registry.schemaOf(id);
  }

  register(subject: string, schema: string, options?: RegisterOptions): Promise<number> {
    return this.#registry.register(this.#prefix + subject, schema, options);
  }

  async subjects(): Promise<readonly string[]> {
    const all = await this.#registry.subjects();
    return all.filter((each) => each.startsWith(this.#prefix)).map((each) => each.slice(this.#prefix.length));
  }

  async versions(subject: string): Promise<readonly SchemaVersion[]> {
    return (await this.#registry.versions(this.#prefix + subject)).map((each) => ({ ...each, subject }));
  }

  async latest(subject: string): Promise<SchemaVersion | undefined> {
    const latest = await this.#registry.latest(this.#prefix + subject);
    return latest === undefined ? undefined : { ...latest, subject };
  }

  compatibility(subject: string): Promise<Compatibility> {
    return this.#registry.compatibility(this.#prefix + subject);
  }

  setCompatibility(subject: string, compatibility: Compatibility): Promise<void> {
    return this.#registry.setCompatibility(this.#prefix + subject, compatibility);
  }

  close(): Promise<void> {
    return this.#registry.close();
  }
}

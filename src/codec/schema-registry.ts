import type { KnownSchemas } from "./avro-serde.ts";

/**
 * What a new version of a subject must be able to do. `BACKWARD`: read what the latest version wrote (so readers are
 * deployed first); `FORWARD`: be read by the latest version; `FULL`: both. `_TRANSITIVE`: not only the latest version
 * but every one.
 */
export const compatibilities = [
  "NONE",
  "BACKWARD",
  "BACKWARD_TRANSITIVE",
  "FORWARD",
  "FORWARD_TRANSITIVE",
  "FULL",
  "FULL_TRANSITIVE",
] as const;

export type Compatibility = (typeof compatibilities)[number];

/** What a subject has that was never told: Confluent's default, and what a log kept for years needs. */
export const defaultCompatibility: Compatibility = "BACKWARD";

/** The subject of a topic's values, by Confluent's TopicNameStrategy. */
export function valueSubject(topic: string): string {
  return `${topic}-value`;
}

/** A schema as one version of a subject. */
export interface SchemaVersion {
  readonly subject: string;
  /** Counts from 1 without gaps. */
  readonly version: number;
  readonly id: number;
  /** JSON text. */
  readonly schema: string;
}

export interface RegisterOptions {
  /** Takes this id instead of the next one: to rebuild a registry whose ids are already in a log. */
  readonly id?: number;
}

/**
 * The port to a schema registry: schemas by id, and by subject and version. An id names one schema for ever; the same
 * schema has the same id in every subject. Two schemas are the same when their JSON is, white space apart. Ids
 * that `schemaOf` or `register` has returned once are held: `known` has them from then on.
 */
export interface SchemaRegistry extends KnownSchemas {
  /** @throws KAPPA_SCHEMA_UNKNOWN when no schema has the id (Confluent 40403) */
  schemaOf(id: number): Promise<string>;

  /**
   * Adds a version to a subject, unless one of its versions is this schema already.
   * @param schema JSON text, as `RecordSchema.definition`
   * @returns the id
   * @throws KAPPA_SCHEMA_INVALID (Confluent 42201); KAPPA_SCHEMA_INCOMPATIBLE naming each field that is in the way
   *   (Confluent 409), also when `options.id` is another schema's
   */
  register(subject: string, schema: string, options?: RegisterOptions): Promise<number>;

  /** In ascending order by code unit. */
  subjects(): Promise<readonly string[]>;
  /** Oldest first; empty for a subject that does not exist. */
  versions(subject: string): Promise<readonly SchemaVersion[]>;
  latest(subject: string): Promise<SchemaVersion | undefined>;

  /** What holds for the next `register`. Default `BACKWARD`. */
  compatibility(subject: string): Promise<Compatibility>;
  setCompatibility(subject: string, compatibility: Compatibility): Promise<void>;

  /** Ends what is under way; nothing may be called after it. */
  close(): Promise<void>;
}

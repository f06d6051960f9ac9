import { KappaError } from "../core/errors.ts";
import { avroReader } from "./avro-reader.ts";
import { type AvroRecord, parseRecordType } from "./avro-type.ts";
import type { Compatibility, SchemaVersion } from "./schema-registry.ts";

/** A schema to be registered: its text without white space, and what it says. */
export interface ParsedSchema {
  readonly text: string;
  readonly type: AvroRecord;
}

/** @throws KAPPA_SCHEMA_INVALID */
export function parseSchema(text: string): ParsedSchema {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new KappaError("KAPPA_SCHEMA_INVALID", `schema is not JSON: ${String(cause)}`, {}, cause);
  }
  return { text: JSON.stringify(json), type: parseRecordType(json) };
}

/**
 * Refuses a schema that may not become the next version. The check compiles the very readers that would decode: what
 * passes here is read there.
 * @param versions of the subject, oldest first
 * @throws KAPPA_SCHEMA_INCOMPATIBLE
 */
export function checkCompatible(
  subject: string,
  next: ParsedSchema,
  versions: readonly SchemaVersion[],
  compatibility: Compatibility,
): void {
  const against = compatibility.endsWith("_TRANSITIVE") ? versions : versions.slice(-1);
  const rule = compatibility.replace("_TRANSITIVE", "");
  const problems: string[] = [];
  for (const { version, schema } of rule === "NONE" ? [] : against) {
    const { type } = parseSchema(schema);
    if (rule !== "FORWARD") {
      for (const problem of avroReader(type, next.type).problems)
        problems.push(`reading version ${version}: ${problem}`);
    }
    if (rule !== "BACKWARD") {
      for (const problem of avroReader(next.type, type).problems)
        problems.push(`read by version ${version}: ${problem}`);
    }
  }
  if (problems.length === 0) return;
  const mend = "give new fields a default, or write to a new topic";
  const message = `schema is not ${compatibility} compatible with subject ${subject}: ${problems.join("; ")}: ${mend}`;
  throw new KappaError("KAPPA_SCHEMA_INCOMPATIBLE", message, { subject, compatibility });
}

/** @throws KAPPA_SCHEMA_INCOMPATIBLE when an id that was asked for belongs to another schema */
export function idTaken(id: number): never {
  const message = `schema id ${id} belongs to another schema, and an id never changes its meaning: choose another`;
  throw new KappaError("KAPPA_SCHEMA_INCOMPATIBLE", message, { id });
}

/** @throws KAPPA_SCHEMA_INVALID for an id that the wire format has no room for */
export function checkSchemaId(id: number): void {
  if (Number.isInteger(id) && id >= 1 && id < 2 ** 31) return;
  throw new KappaError("KAPPA_SCHEMA_INVALID", `schema id ${id} is not in 1..2147483647`, { id });
}

export function unknownSchema(id: number): KappaError {
  return new KappaError("KAPPA_SCHEMA_UNKNOWN", `schema id ${id} is not in the registry`, {
    id,
    reason: "schema_unknown",
  });
}

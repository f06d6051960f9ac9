import { type ErrorContext, KappaError } from "../core/errors.ts";

/**
 * Why bytes are no value: the `reason` of a dead letter.
 *
 * - `decode`: malformed, cut short or with bytes left over
 * - `schema_unknown`: the writer's schema id is not in the registry
 * - `schema_incompatible`: the writer's schema cannot be read as ours
 * - `limits`: larger or deeper than anything is allowed to be
 */
export type InvalidReason = "decode" | "schema_unknown" | "schema_incompatible" | "limits";

/** Longest encoded value, in bytes. */
export const valueBytesMax = 1 << 20;

/** Deepest nesting of a value: records, arrays and maps within each other. */
export const nestingMax = 64;

/** @throws KAPPA_RECORD_INVALID for bytes that cannot be read, with `reason` in the context */
export function unreadable(reason: InvalidReason, message: string, context: ErrorContext = {}, cause?: unknown): never {
  throw new KappaError("KAPPA_RECORD_INVALID", message, { ...context, reason }, cause);
}

/** @throws KAPPA_RECORD_INVALID for a value that is not of its schema, with `field` in the context */
export function unfit(field: string, expected: string, value: unknown): never {
  const message = `field ${field} must be ${expected}, got ${described(value)}`;
  throw new KappaError("KAPPA_RECORD_INVALID", message, { field, expected });
}

/** The type, and of numbers the value. Never the text: values are personal data, messages end up in logs. */
function described(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "number" || typeof value === "bigint") return `${typeof value} ${value}`;
  return Array.isArray(value) ? "array" : typeof value;
}

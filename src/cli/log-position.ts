import ms from "ms";
import { KappaError } from "../core/errors.ts";
import type { Log } from "../log/log.ts";

/** Where reading starts, in every partition. */
export type Position =
  | { readonly kind: "earliest" }
  | { readonly kind: "latest" }
  /** The first record whose timestamp is at or after this. */
  | { readonly kind: "time"; readonly timeMs: number }
  | { readonly kind: "offset"; readonly offset: bigint };

/** What `parsePosition` takes, for help texts. */
export const positionForms = "earliest, latest, -2h, 2026-01-31T12:00:00Z or an offset";

/** @param nowMs what `-2h` is counted from @throws KAPPA_USAGE */
export function parsePosition(text: string, nowMs: number): Position {
  if (text === "earliest" || text === "latest") return { kind: text };
  if (/^\d+$/.test(text)) return { kind: "offset", offset: BigInt(text) };
  if (text.startsWith("-")) return { kind: "time", timeMs: nowMs - parseDuration(text.slice(1)) };
  const timeMs = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(timeMs)) throw new KappaError("KAPPA_USAGE", `"${text}" is no position; write ${positionForms}`);
  return { kind: "time", timeMs };
}

/** A length of time such as 90s, 5m, 2h, 7d or 1w, in ms. @throws KAPPA_USAGE */
export function parseDuration(text: string): number {
  // The library also reads a bare number, as ms, and "1y" as 365.25 days: both would surprise.
  const parsed = /^\d+(\.\d+)?(ms|s|m|h|d|w)$/.test(text) ? ms(text as ms.StringValue) : Number.NaN;
  if (Number.isSafeInteger(parsed)) return parsed;
  throw new KappaError("KAPPA_USAGE", `"${text}" is no length of time; write 90s, 5m, 2h, 7d or 1w`);
}

/** The offset of a position in one partition: one that is held, or the end. */
export async function offsetAt(position: Position, log: Log, topic: string, partition: number): Promise<bigint> {
  switch (position.kind) {
    case "earliest":
      return log.startOffset(topic, partition);
    case "latest":
      return log.endOffset(topic, partition, "durable");
    case "time":
      return log.offsetForTime(topic, partition, position.timeMs);
    case "offset":
      return position.offset;
    default:
      return position satisfies never;
  }
}

import type { ErrorCode, ErrorContext } from "../core/errors.ts";
import { KappaError } from "../core/errors.ts";
import type { JournalEnds } from "./file-log-ends.ts";
import type { Topic } from "./log.ts";

/**
 * What an appending side asks of the owner of the journal: by a call in the owner's thread, by a message port from
 * another thread, by a socket from another process. `token` comes back in the outcome. Requests of one side are
 * handled in the order they were sent.
 */
export type JournalRequest =
  | { readonly kind: "create-topic"; readonly token: number; readonly topic: Topic }
  /** Answered with the number of the writer. */
  | { readonly kind: "open-writer"; readonly token: number; readonly id: string }
  /** Comes with an encoded frame. Answered with the base offsets once the frame is durable. */
  | { readonly kind: "append"; readonly token: number; readonly writer: number }
  | {
      readonly kind: "trim";
      readonly token: number;
      readonly topic: string;
      readonly partition: number;
      readonly offset: number;
    };

/** A request as it goes through a message port, with the frame of an append: memory that moves, or a place in the ring. */
export interface JournalEnvelope {
  readonly request: JournalRequest;
  readonly frame: ArrayBuffer | { readonly at: number; readonly length: number } | undefined;
}

/** Outcomes of requests: all that one fsync settled travel in one reply. */
export interface JournalReply {
  readonly outcomes: readonly Outcome[];
  /** The ends when the reply was sent, so that the side that asked can read what it wrote. */
  readonly ends: JournalEnds;
}

export type Outcome =
  | { readonly token: number; readonly values: readonly number[] }
  | { readonly token: number; readonly error: PlainError };

/** An error as every transport can carry it. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly context: ErrorContext;
}

export function plainError(error: KappaError): PlainError {
  const { code, message } = error;
  const context = Object.entries(error.context).map(([name, value]) => [
    name,
    typeof value === "bigint" ? String(value) : value,
  ]);
  return { code, message, context: Object.fromEntries(context) };
}

export function errorOf({ code, message, context }: PlainError): KappaError {
  return new KappaError(code, message, context);
}

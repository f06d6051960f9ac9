/** What the runtime does when an error of a code reaches it. */
export type Recovery =
  /** The process ends: a bug, a wrong configuration, or a log that must not be written again. */
  | "stop"
  /** Another owner has the task: close it without a commit. */
  | "close-task"
  /** The task's local state is not to be trusted: discard it and restore from the log. */
  | "restore-task"
  /** The surroundings fail: pause, back off, try again; nothing is skipped. */
  | "retry"
  /** The same bytes would fail for ever: the record becomes a dead letter, the stream goes on. */
  | "dead-letter"
  /** The caller asked for something that cannot be: a command ends with exit code 2. */
  | "refuse";

/**
 * Every error code, with what the runtime does. `docs/errors.md` explains each one; a test compares the two.
 */
export const errorCodes = {
  KAPPA_USAGE: "refuse",
  KAPPA_CONFIG_INVALID: "refuse",
  KAPPA_TOPOLOGY_INVALID: "refuse",
  KAPPA_SCHEMA_INVALID: "refuse",
  KAPPA_SCHEMA_INCOMPATIBLE: "refuse",
  KAPPA_SCHEMA_UNKNOWN: "dead-letter",
  KAPPA_SCHEMA_PENDING: "retry",
  KAPPA_SCHEMA_UNREGISTERED: "refuse",
  KAPPA_RECORD_INVALID: "dead-letter",
  KAPPA_TOPIC_UNKNOWN: "refuse",
  KAPPA_TOPIC_MISMATCH: "refuse",
  KAPPA_LOG_LOCKED: "refuse",
  KAPPA_LOG_CORRUPT: "stop",
  KAPPA_LOG_FAILED: "stop",
  KAPPA_LOG_TRUNCATED: "stop",
  KAPPA_LOG_CLOSED: "stop",
  KAPPA_LOG_REFUSED: "refuse",
  KAPPA_LOG_UNAVAILABLE: "retry",
  KAPPA_TRANSACTION_TOO_LARGE: "stop",
  KAPPA_TASK_FENCED: "close-task",
  KAPPA_STATE_CORRUPT: "restore-task",
  KAPPA_STATE_INCOMPATIBLE: "refuse",
  KAPPA_STATE_LOCKED: "refuse",
  KAPPA_STATE_FAILED: "retry",
  KAPPA_STATE_ELSEWHERE: "refuse",
  KAPPA_STATE_RESTORING: "retry",
  KAPPA_MODEL_INVALID: "refuse",
  KAPPA_MODEL_FAILED: "stop",
  KAPPA_RULES_INVALID: "refuse",
  KAPPA_FILE_INVALID: "refuse",
  KAPPA_ENGINE_FAILED: "stop",
  KAPPA_SERVICE_UNREACHABLE: "retry",
  KAPPA_SERVICE_REFUSED: "refuse",
} as const satisfies Record<string, Recovery>;

export type ErrorCode = keyof typeof errorCodes;

/** Where it happened and with which numbers, as data. */
export type ErrorContext = Readonly<Record<string, string | number | bigint | boolean | null | undefined>>;

/**
 * The one error type of the project. The message is lowercase and factual, carries both numbers of a disagreement
 * and, where a person can mend it, ends with what to type next.
 */
export class KappaError extends Error {
  override readonly name = "KappaError";
  readonly code: ErrorCode;
  readonly context: ErrorContext;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.context = context;
  }

  /** What the runtime does with this error. */
  get recovery(): Recovery {
    return errorCodes[this.code];
  }
}

/** The message of anything that can be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

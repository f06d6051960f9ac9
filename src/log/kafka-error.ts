import { type ErrorCode, type ErrorContext, KappaError, messageOf } from "../core/errors.ts";

/** Numbers of Kafka's protocol errors that the adapter reads itself; kafkajs reads the others. */
export const kafkaErrors = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
} as const;

/** What a protocol error means here, by the name that kafkajs gives it. All others are the surroundings': try again. */
const meanings: Readonly<Record<string, ErrorCode>> = {
  INVALID_PRODUCER_EPOCH: "KAPPA_TASK_FENCED",
  INVALID_PRODUCER_ID_MAPPING: "KAPPA_TASK_FENCED",
  INVALID_TXN_STATE: "KAPPA_TASK_FENCED",
  TRANSACTION_COORDINATOR_FENCED: "KAPPA_TASK_FENCED",
  UNKNOWN_TOPIC_OR_PARTITION: "KAPPA_TOPIC_UNKNOWN",
  INVALID_TOPIC_EXCEPTION: "KAPPA_CONFIG_INVALID",
  OFFSET_OUT_OF_RANGE: "KAPPA_LOG_TRUNCATED",
  MESSAGE_TOO_LARGE: "KAPPA_TRANSACTION_TOO_LARGE",
  RECORD_LIST_TOO_LARGE: "KAPPA_TRANSACTION_TOO_LARGE",
  TOPIC_AUTHORIZATION_FAILED: "KAPPA_LOG_REFUSED",
  GROUP_AUTHORIZATION_FAILED: "KAPPA_LOG_REFUSED",
  CLUSTER_AUTHORIZATION_FAILED: "KAPPA_LOG_REFUSED",
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "KAPPA_LOG_REFUSED",
  UNSUPPORTED_SASL_MECHANISM: "KAPPA_LOG_REFUSED",
  SASL_AUTHENTICATION_FAILED: "KAPPA_LOG_REFUSED",
  ILLEGAL_SASL_STATE: "KAPPA_LOG_REFUSED",
  SECURITY_DISABLED: "KAPPA_LOG_REFUSED",
  INVALID_REPLICATION_FACTOR: "KAPPA_CONFIG_INVALID",
  POLICY_VIOLATION: "KAPPA_CONFIG_INVALID",
  INVALID_TRANSACTION_TIMEOUT: "KAPPA_CONFIG_INVALID",
  INVALID_SESSION_TIMEOUT: "KAPPA_CONFIG_INVALID",
  INVALID_TIMESTAMP: "KAPPA_CONFIG_INVALID",
  UNSUPPORTED_VERSION: "KAPPA_LOG_FAILED",
};

/** What to do about an error, where the broker's words do not say it. */
const mends: Partial<Record<ErrorCode, string>> = {
  KAPPA_LOG_UNAVAILABLE: "type: kappa doctor",
  KAPPA_CONFIG_INVALID: "type: kappa doctor TOPOLOGY",
  KAPPA_LOG_REFUSED: "check user, password and certificates; type: kappa doctor",
  KAPPA_TASK_FENCED: "another process has opened the same task, or the transaction took longer than its timeout",
};

/**
 * Any error of kafkajs or of the network as ours. One that is ours already stays as it is.
 *
 * @param context `right` is what the request needs a right to, as in "Read on topic payments"
 */
export function kafkaError(error: unknown, doing: string, context: ErrorContext = {}): KappaError {
  if (error instanceof KappaError) return error;
  const type = typeOf(error);
  const code = meanings[type] ?? (refusedByName(error) ? "KAPPA_LOG_REFUSED" : "KAPPA_LOG_UNAVAILABLE");
  const denied = type.endsWith("AUTHORIZATION_FAILED") && context.right !== undefined;
  const mend = denied
    ? `the user lacks ${String(context.right)}${implied(context.right)}; type: kappa acls TOPOLOGY`
    : mends[code];
  const said = `${doing}: ${plainWords(messageOf(error))}${type === "" ? "" : ` (${type})`}`;
  return new KappaError(code, mend === undefined ? said : `${said}; ${mend}`, context, error);
}

/** Nobody grants Describe: it comes with what is granted. */
function implied(right: unknown): string {
  return String(right).startsWith("Describe on") ? ", which Read and Write contain" : "";
}

/** The name of the protocol error that kafkajs found, or "". It wraps those of several topics or partitions. */
export function typeOf(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; depth++) {
    if ("type" in at && typeof at.type === "string") return at.type;
    at = at.cause ?? innerOf(at);
  }
  return "";
}

function innerOf(error: Error): unknown {
  if ("errors" in error && Array.isArray(error.errors)) return error.errors[0];
  return "partitions" in error && Array.isArray(error.partitions) ? error.partitions[0]?.error : undefined;
}

/** OpenSSL names the file and line of its own code around what it has to say. */
function plainWords(message: string): string {
  const alert = /SSL routines:[^:]*:(?:ssl\/tls )?([^:]+):/.exec(message)?.[1];
  return alert === undefined ? message.trim() : `TLS failed, ${alert}`;
}

/** TLS and SASL fail without an error of the protocol. */
function refusedByName(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === "KafkaJSSASLAuthenticationError" || /certificate|SSL routines|EPROTO/i.test(error.message);
}

import { type DestinationStream, destination, pino } from "pino";
import pinoPretty from "pino-pretty";
import { KappaError } from "../core/errors.ts";

/**
 * Who must act decides the level. `error`: a person, now. `warn`: a person, in working hours. `info`: nobody; states,
 * starts and ends. `debug`: for whoever looks for a fault.
 */
export const logLevels = ["error", "warn", "info", "debug", "silent"] as const;

export type LogLevel = (typeof logLevels)[number];

type Fields = Readonly<Record<string, unknown>>;

/** One line per call: data first, then a lowercase sentence that holds no data. An error goes under `error`. */
export interface Logger {
  error(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  debug(fields: Fields, message: string): void;
  /** A logger that puts `fields` on each of its lines. */
  child(fields: Fields): Logger;
}

export interface LoggerConfig {
  readonly level: LogLevel;
  /** Lines for a person instead of one JSON object a line; control characters in data are shown as escapes. */
  readonly pretty: boolean;
  /** Where lines go; standard error unless given. */
  readonly to?: DestinationStream;
}

/** Fields whose value is never written, wherever they stand in the first three levels. */
const secretNames = [
  "password",
  "secret",
  "token",
  "authorization",
  "apiKey",
  "apiSecret",
  "saslPassword",
  "httpToken",
];

/** Record keys name people: they are personal data, and never written either. */
const personalNames = ["key", "recordKey"];

const hidden = [...secretNames, ...personalNames].flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/**
 * A logger that writes to standard error, synchronously, so that the last line before a crash is there. Usable in the
 * main thread and in engine threads alike.
 */
export function createLogger({ level, pretty, to }: LoggerConfig): Logger {
  const lines = to ?? destination({ fd: 2, sync: true });
  const format = pinoPretty.prettyFactory({ messageKey, colorize: false });
  const stream = pretty ? { write: (line: string) => lines.write(visible(format(line))) } : lines;
  return pino(
    {
      level,
      base: null,
      messageKey,
      errorKey: "error",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: serializeError },
      redact: { paths: hidden, censor: "[hidden]" },
    },
    stream,
  );
}

const messageKey = "message";

/**
 * Control characters as escapes, except line feeds, as a stack has several lines. Data can hold any text, and what a
 * person reads goes to a terminal.
 */
function visible(text: string): string {
  return text.replaceAll(/(?!\n)\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** Errors are data: code, context and causes, to any depth they have. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack, cause } = error;
  const ours =
    error instanceof KappaError ? { code: error.code, recovery: error.recovery, context: error.context } : {};
  return { name, message, ...ours, stack, ...(cause === undefined ? {} : { cause: serializeError(cause) }) };
}

import type { Column } from "../codec/column.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import type { Serde } from "../codec/serde.ts";
import { KappaError } from "../core/errors.ts";
import type { TransactionSection } from "../log/log.ts";
import { partitionOf } from "../log/partitioner.ts";
import { RecordBatchWriter } from "../log/record-batch.ts";
import type { RowFields } from "./row-file.ts";
import { timeColumns } from "./time-columns.ts";

/** A row whose fields can be changed. */
type Row = Record<string, unknown>;

/** How rows become records of one topic. */
export interface RowEncoderOptions {
  readonly topic: string;
  readonly partitions: number;
  /** Field whose text is the record key. */
  readonly key: string;
  /** Field that holds the event time; null takes `nowMs`. */
  readonly time: string | null;
  readonly nowMs: number;
  readonly serde: Serde<RowFields>;
  /** null takes any fields. */
  readonly schema: RecordSchema<RowFields> | null;
  /** Whether every value is a text that stands for the type in the schema. */
  readonly untyped: boolean;
}

/** Turns rows into the sections of one transaction. */
export class RowEncoder {
  readonly #options: RowEncoderOptions;
  readonly #writers: RecordBatchWriter[];
  readonly #converters: readonly ((row: Row) => void)[];

  /** @throws KAPPA_USAGE when the schema lacks the field of the key or of the time */
  constructor(options: RowEncoderOptions) {
    this.#options = options;
    this.#writers = Array.from({ length: options.partitions }, () => new RecordBatchWriter(16_384));
    const { schema, key, time, untyped } = options;
    const columns = schema?.columns ?? [];
    if (schema !== null) {
      for (const field of time === null ? [key] : [key, time]) {
        if (columns.some(({ name }) => name === field)) continue;
        const message = `schema ${schema.name} has no field ${field}; it has ${columns.map(({ name }) => name).join(", ")}`;
        throw new KappaError("KAPPA_USAGE", message, { field });
      }
    }
    const times = schema === null ? new Set<string>() : timeColumns(schema.definition);
    this.#converters = columns.flatMap((column) => converters(column, times.has(column.name), untyped));
  }

  /** @throws KAPPA_RECORD_INVALID naming the field that does not fit; nothing of the row is kept then */
  add(fields: RowFields): void {
    const { key, time, nowMs, partitions } = this.#options;
    const row = fields as Row; // a row belongs to whoever encodes it
    for (const convert of this.#converters) convert(row);
    const keyText = keyOf(row[key], key);
    const timeMs = time === null ? nowMs : timeOf(row[time], time);
    const writer = this.#writers[partitionOf(keyText, partitions)] as RecordBatchWriter;
    writer.beginText(timeMs, keyText);
    try {
      this.#encode(row, writer);
    } catch (error) {
      writer.abandon();
      throw error;
    }
    writer.end();
  }

  #encode(row: Row, writer: RecordBatchWriter): void {
    for (let room = 512; ; room *= 4) {
      writer.reserve(room);
      const end = this.#options.serde.encode(row, writer.buffer, writer.at);
      if (end < 0) continue;
      writer.advance(end - writer.at);
      return;
    }
  }

  /** What was added since the last call. */
  take(): TransactionSection[] {
    const sections: TransactionSection[] = [];
    for (const [partition, writer] of this.#writers.entries()) {
      if (writer.count === 0) continue;
      const { count, minTimeMs, maxTimeMs } = writer;
      sections.push({ topic: this.#options.topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() });
    }
    return sections;
  }
}

function keyOf(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  throw unfit(field, "text or a number, as it is the key", value);
}

function timeOf(value: unknown, field: string): number {
  const timeMs = typeof value === "string" ? isoTime(value) : value;
  if (typeof timeMs === "number" && Number.isSafeInteger(timeMs)) return timeMs;
  throw unfit(field, "epoch milliseconds or an ISO 8601 time, as it is the event time", value);
}

/** NaN for a text that is no date and time with a zone: one without would mean another time on another machine. */
function isoTime(text: string): number {
  return /^\d{4}-\d\d-\d\d(T.+(Z|[+-]\d\d:?\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN;
}

function converters({ name, type }: Column, time: boolean, untyped: boolean): ((row: Row) => void)[] {
  if (!untyped && !time) return [];
  const parse = parserOf(type, time);
  return [
    (row) => {
      const value = row[name];
      if (typeof value === "string") row[name] = parse(value);
    },
  ];
}

/** What a text stands for; a text that stands for nothing of the type stays, and the schema refuses it by name. */
function parserOf(type: Column["type"], time: boolean): (text: string) => unknown {
  switch (type) {
    case "integer":
    case "number":
      return (text) => {
        if (time && text.includes("-", 1)) return isoTime(text);
        return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
      };
    case "boolean":
      return (text) => (/^(true|1)$/i.test(text) ? true : /^(false|0)$/i.test(text) ? false : text);
    case "json":
      return (text) => {
        try {
          return JSON.parse(text);
        } catch {
          return text;
        }
      };
    case "text":
      return (text) => text;
    default:
      return type satisfies never;
  }
}

/** The value itself stays out of the message: it is personal data. */
function unfit(field: string, expected: string, value: unknown): KappaError {
  const got = value === null || value === undefined ? "nothing" : typeof value;
  return new KappaError("KAPPA_RECORD_INVALID", `field ${field} must be ${expected}, got ${got}`, { field });
}

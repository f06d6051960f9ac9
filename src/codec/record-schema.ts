import { type AvroReader, avroReader } from "./avro-reader.ts";
import { AvroSink } from "./avro-sink.ts";
import { AvroSource } from "./avro-source.ts";
import { type AvroRecord, type AvroType, columnsOf, parseRecordType } from "./avro-type.ts";
import { avroWriter, type Write } from "./avro-writer.ts";
import type { Column } from "./column.ts";
import { RowShape } from "./row-shape.ts";

/**
 * An Avro record schema and the static type of its values.
 *
 * | Avro                      | value                                          | column          |
 * |---------------------------|------------------------------------------------|-----------------|
 * | int, long                 | safe integer; a time is epoch milliseconds     | integer         |
 * | float, double             | number, NaN and infinities included            | number          |
 * | boolean                   | boolean                                        | boolean         |
 * | string, enum              | string                                         | text            |
 * | null and one of the above | null or that                                   | that, nullable  |
 * | bytes, fixed              | string of one unit a byte, as in Avro's JSON   | json            |
 * | array, map, record        | array, plain object                            | json            |
 * | other unions              | the value; `{ [branch]: value }` where JavaScript could not tell | json |
 *
 * Decoded values are plain objects of one hidden class, the one `shape` builds.
 */
export class RecordSchema<Value> {
  /** With its namespace. */
  readonly name: string;
  readonly avro: AvroRecord;
  /** The schema as JSON text without white space: what is registered. */
  readonly definition: string;
  /** The fields, in order. */
  readonly columns: readonly Column[];
  readonly shape: RowShape;
  /** MD5 of the schema without docs, defaults and aliases, in hex: equal for schemas that encode alike. */
  readonly fingerprint: string;
  readonly #reader: AvroReader;
  readonly #write: Write;
  readonly #source = new AvroSource();
  readonly #sink = new AvroSink();

  /** @throws KAPPA_SCHEMA_INVALID */
  constructor(avscJson: unknown) {
    this.avro = parseRecordType(avscJson);
    this.definition = JSON.stringify(avscJson);
    this.name = this.avro.name ?? "";
    this.columns = columnsOf(this.avro);
    this.shape = new RowShape(this.columns);
    this.fingerprint = this.avro.fingerprint().toString("hex");
    this.#reader = avroReader(this.avro, this.avro);
    this.#write = avroWriter(this.avro);
  }

  /**
   * Decodes the bytes from `start` to `end`, all of them and none beyond.
   * @param reader what `readerOf` gave for the schema the bytes were written with. Default: this schema
   * @throws KAPPA_RECORD_INVALID with `reason` `decode`, `limits` or `schema_incompatible`
   */
  decode(buffer: Buffer, start: number, end: number, reader: AvroReader = this.#reader): Value {
    const source = this.#source;
    source.open(buffer, start, end);
    const value = reader.read(source);
    source.close();
    return value as Value;
  }

  /** Compiles the reading of values that were written with another schema: once per schema, never per record. */
  readerOf(writer: AvroType): AvroReader {
    return avroReader(writer, this.avro);
  }

  /**
   * Encodes in place.
   * @returns the position behind the value, or minus the number of bytes missing in `buffer`. What lies behind the
   *   returned position, and after a failure behind `at`, is undefined.
   * @throws KAPPA_RECORD_INVALID naming the first field that does not fit
   */
  encode(value: Value, buffer: Buffer, at: number): number {
    const sink = this.#sink;
    sink.open(buffer, at);
    this.#write(sink, value);
    return sink.close();
  }
}

/** The schema of a parsed `.avsc`. @throws KAPPA_SCHEMA_INVALID */
export function recordSchema<Value>(avscJson: unknown): RecordSchema<Value> {
  return new RecordSchema<Value>(avscJson);
}

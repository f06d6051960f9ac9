import type { KappaError } from "../core/errors.ts";
import type { AvroReader } from "./avro-reader.ts";
import type { AvroType } from "./avro-type.ts";
import type { RecordSchema } from "./record-schema.ts";
import type { Serde } from "./serde.ts";
import { readSchemaId, wireHeaderLength, writeSchemaId } from "./wire-format.ts";

/** The part of a schema registry that decoding needs: what is at hand, without waiting. */
export interface KnownSchemas {
  /** The schema of an id, or undefined when it is not held locally. Ids never change their meaning. */
  known(id: number): AvroType | undefined;

  /**
   * Why there is no schema, for an id that `known` has none of, to be thrown: KAPPA_SCHEMA_UNKNOWN when no schema has it;
   * KAPPA_SCHEMA_PENDING while a registry that was asked, by the first such call, has not answered: look again later.
   */
  missing(id: number): KappaError;
}

/** Avro in the Confluent wire format. Values written with any schema that resolves to ours are read as ours. */
export class AvroSerde<Value> implements Serde<Value> {
  readonly #schema: RecordSchema<Value>;
  readonly #id: number;
  readonly #schemas: KnownSchemas;
  readonly #readers = new Map<number, AvroReader>();
  #lastId = -1;
  #lastReader: AvroReader | undefined;

  /** @param id what `schema` is registered as: written before every value */
  constructor(schema: RecordSchema<Value>, id: number, schemas: KnownSchemas) {
    this.#schema = schema;
    this.#id = id;
    this.#schemas = schemas;
  }

  decode(buffer: Buffer, start: number, end: number): Value {
    const id = readSchemaId(buffer, start, end);
    const reader = id === this.#lastId ? this.#lastReader : this.#readerOf(id);
    return this.#schema.decode(buffer, start + wireHeaderLength, end, reader);
  }

  encode(value: Value, buffer: Buffer, at: number): number {
    if (buffer.length - at < wireHeaderLength) return -wireHeaderLength;
    writeSchemaId(this.#id, buffer, at);
    return this.#schema.encode(value, buffer, at + wireHeaderLength);
  }

  #readerOf(id: number): AvroReader {
    let reader = this.#readers.get(id);
    if (reader === undefined) {
      const writer = this.#schemas.known(id);
      if (writer === undefined) throw this.#schemas.missing(id);
      reader = this.#schema.readerOf(writer);
      this.#readers.set(id, reader);
    }
    this.#lastId = id;
    this.#lastReader = reader;
    return reader;
  }
}

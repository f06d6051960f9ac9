import { RecordSchema } from "../codec/record-schema.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { readSchemaId, wireHeaderLength } from "../codec/wire-format.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { RecordBatchReader } from "../log/record-batch.ts";

/** How values are read: `auto` takes Avro where a value begins with a schema id, then JSON, then leaves the bytes. */
export const decodeModes = ["auto", "avro", "json"] as const;

export type DecodeMode = (typeof decodeModes)[number];

type AnyRecord = RecordSchema<unknown>;

/** Values of any topic as data, each with the schema it was written with. */
export class RecordDecoder {
  readonly #registry: SchemaRegistry;
  readonly #mode: DecodeMode;
  readonly #schemas = new Map<number, AnyRecord>();
  readonly #unknown = new Map<number, KappaError>();
  readonly #reader = new RecordBatchReader();

  constructor(registry: SchemaRegistry, mode: DecodeMode = "auto") {
    this.#registry = registry;
    this.#mode = mode;
  }

  /** Fetches the schemas that the values of encoded records name. To be awaited before these are decoded. */
  async load(bytes: Buffer): Promise<void> {
    const reader = this.#reader;
    reader.reset(bytes);
    while (reader.next()) {
      if (reader.valueAt >= 0 && this.#headed(reader.buffer, reader.valueAt, reader.valueEnd)) {
        const id = readSchemaId(reader.buffer, reader.valueAt, reader.valueEnd);
        if (!this.#schemas.has(id) && !this.#unknown.has(id)) await this.#fetch(id);
      }
    }
  }

  async #fetch(id: number): Promise<void> {
    try {
      this.#schemas.set(id, new RecordSchema<unknown>(JSON.parse(await this.#registry.schemaOf(id))));
    } catch (error) {
      if (!(error instanceof KappaError)) throw error;
      this.#unknown.set(id, error);
    }
  }

  #headed(buffer: Buffer, start: number, end: number): boolean {
    return this.#mode !== "json" && end - start >= wireHeaderLength && buffer[start] === 0;
  }

  /** The schema id that the value names; null when it has none. */
  schemaId(buffer: Buffer, start: number, end: number): number | null {
    return this.#headed(buffer, start, end) ? readSchemaId(buffer, start, end) : null;
  }

  /**
   * The value as data. Bytes that are neither Avro nor JSON are `{ base64 }` in mode `auto`; what the mode forbids or a
   * schema refuses is `{ undecodable, base64 }` with the reason.
   */
  decode(buffer: Buffer, start: number, end: number): unknown {
    if (start < 0) return null;
    try {
      if (this.#mode === "avro" || this.#headed(buffer, start, end)) return this.#avro(buffer, start, end);
      return JSON.parse(buffer.toString("utf8", start, end));
    } catch (error) {
      const base64 = buffer.toString("base64", start, end);
      const guessed = this.#mode === "auto" && !this.#headed(buffer, start, end);
      // The message of JSON.parse quotes the text: the bytes are shown anyway.
      return guessed ? { base64 } : { undecodable: messageOf(error), base64 };
    }
  }

  #avro(buffer: Buffer, start: number, end: number): unknown {
    const id = readSchemaId(buffer, start, end);
    const schema = this.#schemas.get(id);
    if (schema === undefined) throw this.#unknown.get(id) ?? new KappaError("KAPPA_SCHEMA_UNKNOWN", `schema ${id}`);
    return schema.decode(buffer, start + wireHeaderLength, end);
  }
}

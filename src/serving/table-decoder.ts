import { AvroSerde, type KnownSchemas } from "../codec/avro-serde.ts";
import type { Column } from "../codec/column.ts";
import { JsonSerde } from "../codec/json-serde.ts";
import type { Serde } from "../codec/serde.ts";
import { readSchemaId } from "../codec/wire-format.ts";
import { KappaError } from "../core/errors.ts";
import type { RecordBatchReader } from "../log/record-batch.ts";
import { keptColumns, type OnlineTable, schemaOf } from "./online-table.ts";

/** Why a record changes nothing in the store. */
export type SkipReason = "null_key" | "null_value" | "decode" | "schema_unknown";

type Fields = Readonly<Record<string, unknown>>;

/** What a record of a topic means to a table; after `read` returned null its fields tell of the record. */
export class TableDecoder {
  /** Entity of the record. */
  key = "";
  /** Its value; null where it says that the entity is gone. */
  value: Fields | null = null;
  readonly #keyColumn: string | null;
  readonly #columns: readonly Column[];
  readonly #serde: Serde<object>;
  /** Ids that no registry knows. */
  readonly #hopeless = new Set<number>();

  constructor(table: OnlineTable, schemas: KnownSchemas) {
    const schema = schemaOf(table);
    this.#keyColumn = table.key;
    this.#columns = keptColumns(table, schema);
    this.#serde = table.format === "json" ? new JsonSerde(schema) : new AvroSerde(schema, -1, schemas);
  }

  /**
   * Takes in the reader's current record.
   *
   * @returns null, or why it changes nothing
   * @throws KAPPA_SCHEMA_UNKNOWN when the schema has to be fetched before the record is read again
   */
  read(reader: RecordBatchReader): SkipReason | null {
    if (reader.valueAt < 0) {
      // Without a value there is no column to say whose record it was.
      if (this.#keyColumn !== null) return "null_value";
      this.value = null;
      return this.#takeKey(reader);
    }
    try {
      const value = this.#serde.decode(reader.buffer, reader.valueAt, reader.valueEnd) as Fields;
      this.value = value;
      return this.#keyColumn === null ? this.#takeKey(reader) : this.#takeColumn(value[this.#keyColumn]);
    } catch (error) {
      if (!(error instanceof KappaError)) throw error;
      if (error.code !== "KAPPA_SCHEMA_UNKNOWN") return "decode";
      if (this.#hopeless.has(schemaIdOf(reader))) return "schema_unknown";
      throw error;
    }
  }

  #takeKey(reader: RecordBatchReader): SkipReason | null {
    if (reader.keyAt < 0) return "null_key";
    this.key = reader.buffer.toString("utf8", reader.keyAt, reader.keyEnd);
    return null;
  }

  #takeColumn(key: unknown): SkipReason | null {
    if (key === null || key === undefined) return "null_key";
    this.key = String(key);
    return null;
  }

  /** From here on records of a schema that nobody knows are passed over. */
  giveUp(schemaId: number): void {
    this.#hopeless.add(schemaId);
  }

  /**
   * The columns of a value as names and texts in turn: text as it is, numbers and booleans as JavaScript writes them, what
   * is nested as JSON. Null is left out.
   */
  fieldsOf(value: Fields): string[] {
    const fields: string[] = [];
    for (const { name, type } of this.#columns) {
      const field = value[name];
      if (field === null || field === undefined) continue;
      fields.push(name, type === "json" ? JSON.stringify(field) : String(field));
    }
    return fields;
  }
}

/** Schema that the reader's current record names. */
export function schemaIdOf(reader: RecordBatchReader): number {
  return readSchemaId(reader.buffer, reader.valueAt, reader.valueEnd);
}

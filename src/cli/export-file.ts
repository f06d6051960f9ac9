import { type FileHandle, open } from "node:fs/promises";
import { fileWriter, ParquetWriter, schemaFromColumnData } from "hyparquet-writer";
import type { Column } from "../codec/column.ts";
import type { RecordSchema } from "../codec/record-schema.ts";
import { timeColumns } from "./time-columns.ts";

/** A record as it is exported. */
export interface ExportedRecord {
  readonly partition: number;
  readonly offset: number;
  /** The record's timestamp. */
  readonly timeMs: number;
  readonly key: string | null;
  /** null for a record without value. */
  readonly value: unknown;
}

/** A file that records are written to, bounded in memory as long as `flush` is awaited after some thousand records. */
export interface ExportFile {
  add(record: ExportedRecord): void;
  flush(): Promise<void>;
  /** Safe to call twice. */
  close(): Promise<void>;
}

type Fields = Readonly<Record<string, unknown>>;

/** Text that is gathered before it is written, in characters. */
const chunkCharacters = 1 << 20;

/** Lines of text, written in chunks. */
class LineFile {
  readonly #file: FileHandle;
  #text = "";
  #closed = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  line(line: string): void {
    this.#text += `${line}\n`;
  }

  async flush(least = chunkCharacters): Promise<void> {
    if (this.#text.length < least) return;
    const text = this.#text;
    this.#text = "";
    await this.#file.writeFile(text);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.flush(1);
    } finally {
      await this.#file.close();
    }
  }
}

/** One JSON object a line: `{partition, offset, time, key, value}`. */
export class NdjsonFile implements ExportFile {
  readonly #lines: LineFile;

  static async create(path: string): Promise<NdjsonFile> {
    return new NdjsonFile(new LineFile(await open(path, "w")));
  }

  private constructor(lines: LineFile) {
    this.#lines = lines;
  }

  add({ partition, offset, timeMs, key, value }: ExportedRecord): void {
    this.#lines.line(JSON.stringify({ partition, offset, time: timeMs, key, value }));
  }

  flush(): Promise<void> {
    return this.#lines.flush();
  }
  close(): Promise<void> {
    return this.#lines.close();
  }
}

/** What every row of a table begins with; the underscore keeps them apart from fields of the value. */
const placeColumns = ["_partition", "_offset", "_time", "_key"] as const;

/** A table with a head, as RFC 4180: null is empty, arrays and records are JSON text. */
export class CsvFile implements ExportFile {
  readonly #lines: LineFile;
  readonly #names: readonly string[];

  static async create(path: string, columns: readonly Column[]): Promise<CsvFile> {
    return new CsvFile(
      new LineFile(await open(path, "w")),
      columns.map(({ name }) => name),
    );
  }

  private constructor(lines: LineFile, names: readonly string[]) {
    this.#lines = lines;
    this.#names = names;
    lines.line([...placeColumns, ...names].join(","));
  }

  add({ partition, offset, timeMs, key, value }: ExportedRecord): void {
    const fields = value as Fields | null;
    let line = `${partition},${offset},${timeMs},${csvField(key)}`;
    for (const name of this.#names) line += `,${csvField(fields?.[name])}`;
    this.#lines.line(line);
  }

  flush(): Promise<void> {
    return this.#lines.flush();
  }
  close(): Promise<void> {
    return this.#lines.close();
  }
}

function csvField(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // Quoted empty text is a text; nothing at all is null.
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows of a row group: what is in memory at once. */
const groupRows = 50_000;

type ParquetType = "INT32" | "INT64" | "DOUBLE" | "BOOLEAN" | "STRING" | "TIMESTAMP";

interface ParquetColumn {
  readonly name: string;
  readonly type: ParquetType;
  readonly nullable: boolean;
  readonly of: (record: ExportedRecord) => unknown;
}

/** A Parquet file, snappy-compressed. Arrays and records are JSON text; times are timestamps in ms. */
export class ParquetFile implements ExportFile {
  readonly #columns: readonly ParquetColumn[];
  readonly #writer: ParquetWriter;
  #data: unknown[][];
  #rows = 0;
  #closed = false;

  constructor(path: string, schema: RecordSchema<Fields>) {
    const times = timeColumns(schema.definition);
    this.#columns = [
      { name: "_partition", type: "INT32", nullable: false, of: ({ partition }) => partition },
      { name: "_offset", type: "INT64", nullable: false, of: ({ offset }) => BigInt(offset) },
      { name: "_time", type: "TIMESTAMP", nullable: false, of: ({ timeMs }) => new Date(timeMs) },
      { name: "_key", type: "STRING", nullable: true, of: ({ key }) => key },
      ...schema.columns.map((column) => valueColumn(column, times.has(column.name))),
    ];
    this.#data = this.#columns.map(() => []);
    const columnData = this.#columns.map(({ name, type, nullable }) => ({ name, type, nullable, data: [] }));
    this.#writer = new ParquetWriter({ writer: fileWriter(path), schema: schemaFromColumnData({ columnData }) });
  }

  add(record: ExportedRecord): void {
    for (let i = 0; i < this.#columns.length; i++) {
      (this.#data[i] as unknown[]).push((this.#columns[i] as ParquetColumn).of(record));
    }
    this.#rows++;
  }

  async flush(least = groupRows): Promise<void> {
    if (this.#rows < least) return;
    const columnData = this.#columns.map(({ name }, i) => ({ name, data: this.#data[i] as unknown[] }));
    await this.#writer.write({ columnData, rowGroupSize: Math.max(groupRows, this.#rows) });
    this.#data = this.#columns.map(() => []);
    this.#rows = 0;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.flush(1);
    await this.#writer.finish();
  }
}

/** A record without value has null in every column, so each may be null. */
function valueColumn({ name, type }: Column, time: boolean): ParquetColumn {
  const raw = ({ value }: ExportedRecord): unknown => (value as Fields | null)?.[name] ?? null;
  const mapped = (parquetType: ParquetType, map: (value: unknown) => unknown): ParquetColumn => ({
    name,
    type: parquetType,
    nullable: true,
    of: (record) => {
      const value = raw(record);
      return value === null ? null : map(value);
    },
  });
  switch (type) {
    case "integer":
      return time
        ? mapped("TIMESTAMP", (value) => new Date(value as number))
        : mapped("INT64", (value) => BigInt(value as number));
    case "number":
      return { name, type: "DOUBLE", nullable: true, of: raw };
    case "boolean":
      return { name, type: "BOOLEAN", nullable: true, of: raw };
    case "text":
      return { name, type: "STRING", nullable: true, of: raw };
    case "json":
      return mapped("STRING", (value) => JSON.stringify(value));
    default:
      return type satisfies never;
  }
}

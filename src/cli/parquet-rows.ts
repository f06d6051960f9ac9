import type { FileHandle } from "node:fs/promises";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
  parquetSchema,
} from "hyparquet";
import { KappaError, messageOf } from "../core/errors.ts";
import { chunkBytes, chunkRowsMax, type FilePlace, type RowChunk, type RowFields, type RowFile } from "./row-file.ts";

/** Snappy and plain pages are read by the library itself. */
const compressors: Compressors = {
  ZSTD: (bytes) => zstdDecompressSync(bytes),
  GZIP: (bytes) => gunzipSync(bytes),
  BROTLI: (bytes) => brotliDecompressSync(bytes),
};

/** Times straight to epoch milliseconds: a million Dates are a second of garbage collection. */
const parsers = {
  timestampFromMilliseconds: (millis: bigint) => Number(millis),
  timestampFromMicroseconds: (micros: bigint) => Math.floor(Number(micros) / 1000),
  timestampFromNanoseconds: (nanos: bigint) => Number(nanos / 1_000_000n),
  dateFromDays: (days: number) => days * 86_400_000,
};

/**
 * Rows of a Parquet file, a row group in memory at a time. 64-bit integers become numbers where these are exact, dates
 * and timestamps epoch milliseconds.
 */
export class ParquetRows implements RowFile {
  readonly unit = "rows";
  readonly untyped = false;
  readonly total: number;
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #file: AsyncBuffer;
  readonly #metadata: FileMetaData;
  readonly #columns: readonly string[];

  static async open(this: void, handle: FileHandle, path: string): Promise<ParquetRows> {
    const { size } = await handle.stat();
    const file: AsyncBuffer = {
      byteLength: size,
      async slice(start, end = size) {
        const bytes = Buffer.allocUnsafeSlow(end - start);
        await handle.read(bytes, 0, bytes.length, start);
        return bytes.buffer;
      },
    };
    try {
      return new ParquetRows(handle, path, file, await parquetMetadataAsync(file));
    } catch (error) {
      throw unreadable(path, error);
    }
  }

  private constructor(handle: FileHandle, path: string, file: AsyncBuffer, metadata: FileMetaData) {
    this.#handle = handle;
    this.#path = path;
    this.#file = file;
    this.#metadata = metadata;
    this.#columns = parquetSchema(metadata).children.map(({ element }) => element.name);
    this.total = Number(metadata.num_rows);
  }

  doneAt({ row }: FilePlace): number {
    return row;
  }

  async *chunks(from: FilePlace): AsyncGenerator<RowChunk> {
    let groupStart = 0;
    for (const group of this.#metadata.row_groups) {
      const rows = Number(group.num_rows);
      const groupEnd = groupStart + rows;
      if (groupEnd > from.row) {
        const columns = await this.#columnsOf(groupStart, groupEnd);
        const bytesPerRow = Number(group.total_byte_size) / Math.max(1, rows);
        const step = Math.max(1, Math.min(chunkRowsMax, Math.floor((4 * chunkBytes) / Math.max(1, bytesPerRow))));
        for (let row = Math.max(groupStart, from.row); row < groupEnd; row += step) {
          const end = Math.min(groupEnd, row + step);
          yield { rows: this.#rows(columns, row - groupStart, end - groupStart), end: { row: end, byte: 0 } };
        }
      }
      groupStart = groupEnd;
    }
  }

  #rows(columns: readonly (readonly unknown[])[], from: number, to: number): RowFields[] {
    const names = this.#columns;
    const rows: RowFields[] = [];
    for (let i = from; i < to; i++) {
      const row: Record<string, unknown> = {};
      for (let c = 0; c < names.length; c++) row[names[c] as string] = (columns[c] as readonly unknown[])[i];
      rows.push(row);
    }
    return rows;
  }

  /** The columns of one row group. Pages come in pieces, in any order. */
  async #columnsOf(rowStart: number, rowEnd: number): Promise<unknown[][]> {
    const columns = this.#columns.map(() => new Array<unknown>(rowEnd - rowStart));
    const byName = new Map(this.#columns.map((name, i) => [name, columns[i] as unknown[]]));
    try {
      await parquetRead({
        file: this.#file,
        metadata: this.#metadata,
        compressors,
        parsers,
        rowStart,
        rowEnd,
        onChunk: ({ columnName, columnData, rowStart: at }) => {
          const column = byName.get(columnName);
          if (column === undefined) return;
          for (let i = 0; i < columnData.length; i++) column[at - rowStart + i] = plain(columnData[i]);
        },
      });
    } catch (error) {
      throw unreadable(this.#path, error);
    }
    return columns;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** A value as JSON would hold it. To be called while the value is still in its page, so that no bigint is kept. An integer beyond what a number holds stays a bigint, which no schema takes. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (value instanceof Date) return value.getTime();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  return value ?? null;
}

function unreadable(path: string, error: unknown): KappaError {
  return new KappaError(
    "KAPPA_FILE_INVALID",
    `${path} cannot be read as Parquet: ${messageOf(error)}`,
    { path },
    error,
  );
}

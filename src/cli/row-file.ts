import { open } from "node:fs/promises";
import { extname } from "node:path";
import { KappaError, messageOf } from "../core/errors.ts";
import { CsvRows } from "./csv-rows.ts";
import { NdjsonRows } from "./ndjson-rows.ts";
import { ParquetRows } from "./parquet-rows.ts";

/** One row: fields by name. */
export type RowFields = Readonly<Record<string, unknown>>;

/** Between two rows of a file. */
export interface FilePlace {
  /** Rows before it. */
  readonly row: number;
  /** Bytes before it; 0 in formats that are not read byte after byte. */
  readonly byte: number;
}

/** Rows that follow each other, and the place behind them. One that cannot be read is an error. */
export interface RowChunk {
  readonly rows: readonly (RowFields | KappaError)[];
  readonly end: FilePlace;
}

/** Rows of one chunk at most: what one transaction carries. */
export const chunkRowsMax = 4096;
/** Bytes of the file that the rows of a chunk took, about. */
export const chunkBytes = 1 << 20;

/** A file of rows, read forward from any place that it once named. */
export interface RowFile {
  /** What `doneAt` counts up to. */
  readonly total: number;
  readonly unit: "rows" | "bytes";
  /** How far a place is, in `unit`. */
  doneAt(place: FilePlace): number;
  /** Whether values are texts that stand for other types, as in CSV. */
  readonly untyped: boolean;
  chunks(from: FilePlace): AsyncGenerator<RowChunk>;
  close(): Promise<void>;
}

/** Opens a file by its ending: .parquet, .csv, .ndjson or .jsonl. @throws KAPPA_FILE_INVALID, KAPPA_USAGE */
export async function openRowFile(path: string): Promise<RowFile> {
  const open = openers[extname(path).toLowerCase()];
  if (open === undefined) {
    throw new KappaError("KAPPA_USAGE", `${path} has an unknown ending; known are ${Object.keys(openers).join(", ")}`, { path });
  }
  const handle = await openFile(path);
  try {
    return await open(handle, path);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const openers: Readonly<Record<string, typeof ParquetRows.open | typeof CsvRows.open | typeof NdjsonRows.open>> = {
  ".parquet": ParquetRows.open,
  ".csv": CsvRows.open,
  ".ndjson": NdjsonRows.open,
  ".jsonl": NdjsonRows.open,
};

async function openFile(path: string) {
  try {
    return await open(path);
  } catch (error) {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot open ${path}: ${messageOf(error)}`, { path }, error);
  }
}

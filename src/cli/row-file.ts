import type { KappaError } from "../core/errors.ts";

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

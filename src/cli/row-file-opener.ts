import { type FileHandle, open } from "node:fs/promises";
import { extname } from "node:path";
import { KappaError, messageOf } from "../core/errors.ts";
import { CsvRows } from "./csv-rows.ts";
import { NdjsonRows } from "./ndjson-rows.ts";
import { ParquetRows } from "./parquet-rows.ts";
import type { RowFile } from "./row-file.ts";

/** Opens a file by its ending: .parquet, .csv, .ndjson or .jsonl. @throws KAPPA_FILE_INVALID, KAPPA_USAGE */
export async function openRowFile(path: string): Promise<RowFile> {
  const openRows = openers[extname(path).toLowerCase()];
  if (openRows === undefined) {
    throw new KappaError("KAPPA_USAGE", `${path} has an unknown ending; known are ${Object.keys(openers).join(", ")}`, {
      path,
    });
  }
  const handle = await openFile(path);
  try {
    return await openRows(handle, path);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const openers: Readonly<Record<string, (handle: FileHandle, path: string) => Promise<RowFile>>> = {
  ".parquet": ParquetRows.open,
  ".csv": CsvRows.open,
  ".ndjson": NdjsonRows.open,
  ".jsonl": NdjsonRows.open,
};

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path);
  } catch (error) {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot open ${path}: ${messageOf(error)}`, { path }, error);
  }
}

import { open } from "node:fs/promises";
import { zstdDecompressSync } from "node:zlib";
import { type AsyncBuffer, parquetMetadataAsync, parquetRead } from "hyparquet";
import { KappaError, messageOf } from "../src/index.ts";

/** Columns of one or many files, one array a column. */
export interface Columns {
  readonly length: number;
  readonly of: Readonly<Record<string, Float64Array>>;
}

export const transactionColumns = ["tx_id", "ts_ms", "customer_id", "terminal_id", "amount_cents"] as const;
export const labelColumns = ["tx_id", "ts_ms", "tx_ts_ms", "customer_id", "terminal_id"] as const;

/**
 * Reads numeric columns of Parquet files, one behind the other. 64-bit integers become numbers here, once.
 *
 * @throws KAPPA_FILE_INVALID naming the file and what is missing or not a safe integer
 */
export async function readColumns(files: readonly string[], names: readonly string[]): Promise<Columns> {
  const parts = await Promise.all(files.map((file) => readFile(file, names)));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const of: Record<string, Float64Array> = {};
  for (const name of names) {
    const column = new Float64Array(length);
    let at = 0;
    for (const part of parts) {
      column.set(part.of[name] as Float64Array, at);
      at += part.length;
    }
    of[name] = column;
  }
  return { length, of };
}

async function readFile(path: string, names: readonly string[]): Promise<Columns> {
  const handle = await open(path).catch((error: unknown) => {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot open ${path}: ${messageOf(error)}`, { path }, error);
  });
  try {
    const { size } = await handle.stat();
    const file: AsyncBuffer = {
      byteLength: size,
      async slice(start, end = size) {
        const bytes = Buffer.allocUnsafeSlow(end - start);
        await handle.read(bytes, 0, bytes.length, start);
        return bytes.buffer;
      },
    };
    const metadata = await parquetMetadataAsync(file).catch((error: unknown) => {
      throw new KappaError("KAPPA_FILE_INVALID", `${path} is not a Parquet file: ${messageOf(error)}`, { path }, error);
    });
    const present = metadata.schema.map(({ name }) => name);
    const missing = names.filter((name) => !present.includes(name));
    if (missing.length > 0) {
      throw new KappaError(
        "KAPPA_FILE_INVALID",
        `${path} has no column ${missing.join(", ")}; it has ${present.slice(1).join(", ")}`,
        { path },
      );
    }
    const length = Number(metadata.num_rows);
    const of = Object.fromEntries(names.map((name) => [name, new Float64Array(length)]));
    await parquetRead({
      file,
      metadata,
      columns: [...names],
      compressors: { ZSTD: (bytes) => zstdDecompressSync(bytes) },
      onChunk: ({ columnName, columnData, rowStart }) => fill(of[columnName], columnData, rowStart, path, columnName),
    });
    return { length, of };
  } finally {
    await handle.close();
  }
}

function fill(
  into: Float64Array | undefined,
  values: ArrayLike<unknown>,
  at: number,
  path: string,
  column: string,
): void {
  if (into === undefined) return;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const number = value instanceof Date ? value.getTime() : Number(value);
    if (value === null || !Number.isSafeInteger(number)) {
      throw new KappaError(
        "KAPPA_FILE_INVALID",
        `${path}: column ${column}, row ${at + i} is ${String(value)}, not a whole number`,
        { path, column },
      );
    }
    into[at + i] = number;
  }
}

/**
 * The order in which both streams are appended: by time, labels before transactions, then by transaction id. Element i
 * is a row of the transactions, or of the labels when it is at or past the number of transactions.
 */
export function mergeOrder(transactions: Columns, labels: Columns): Uint32Array {
  const order = new Uint32Array(transactions.length + labels.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  const count = transactions.length;
  const times = concatenate(transactions.of.ts_ms, labels.of.ts_ms);
  const ids = concatenate(transactions.of.tx_id, labels.of.tx_id);
  const rankOf = (row: number): number => (row < count ? 1 : 0);
  const compare = (a: number, b: number): number =>
    (times[a] as number) - (times[b] as number) || rankOf(a) - rankOf(b) || (ids[a] as number) - (ids[b] as number);
  return order.sort(compare);
}

function concatenate(a: Float64Array | undefined, b: Float64Array | undefined): Float64Array {
  const joined = new Float64Array((a?.length ?? 0) + (b?.length ?? 0));
  if (a !== undefined) joined.set(a);
  if (b !== undefined) joined.set(b, a?.length ?? 0);
  return joined;
}

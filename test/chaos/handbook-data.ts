import { join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import type { Columns } from "../../scripts/handbook-input.ts";
import { seededRandom } from "../log/power-cut.ts";

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 0, 5);
/** Long enough for the longest window of the job, 30 days behind 7, to fill and to move on. */
const daysSpanned = 60;

/** Transactions and the labels of the frauds among them, each in order of time. */
export interface HandbookData {
  readonly transactions: Columns;
  readonly labels: Columns;
}

/**
 * Invented card payments with the columns of the handbook's files: the same for the same seed. Times are whole seconds,
 * so that some are equal; one payment in a hundred is a fraud, which becomes known 7 days later.
 */
export function handbookData(rows: number, seed: number): HandbookData {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random() * count);
  const customers = Math.max(20, Math.floor(rows / 150));
  const terminals = Math.max(10, Math.floor(rows / 100));
  const times = Float64Array.from({ length: rows }, () => startMs + 1000 * below((daysSpanned * dayMs) / 1000)).sort();
  const transactions = {
    tx_id: Float64Array.from({ length: rows }, (_, i) => i),
    ts_ms: times,
    // Squared: some customers and terminals are busy, most are not.
    customer_id: times.map(() => Math.floor(random() ** 2 * customers)),
    terminal_id: times.map(() => Math.floor(random() ** 2 * terminals)),
    amount_cents: times.map(() => 100 + Math.floor(random() ** 3 * 60_000)),
  };
  const frauds = Array.from(transactions.tx_id).filter(() => random() < 0.01);
  const pick = (column: Float64Array) => Float64Array.from(frauds, (row) => column[row] ?? 0);
  const labels = {
    tx_id: pick(transactions.tx_id),
    ts_ms: pick(transactions.ts_ms).map((time) => time + 7 * dayMs),
    tx_ts_ms: pick(transactions.ts_ms),
    customer_id: pick(transactions.customer_id),
    terminal_id: pick(transactions.terminal_id),
  };
  return { transactions: { length: rows, of: transactions }, labels: { length: frauds.length, of: labels } };
}

/** Writes both as the files that `scripts/handbook.ts` reads. @returns their paths */
export async function writeHandbookFiles(
  data: HandbookData,
  directory: string,
): Promise<{ readonly transactions: string; readonly labels: string }> {
  const write = async (name: string, { of }: Columns) => {
    const filename = join(directory, `${name}.parquet`);
    const columnData = Object.entries(of).map(([column, values]) => ({
      name: column,
      type: "INT64" as const,
      data: BigInt64Array.from(values, (value) => BigInt(value)),
    }));
    await parquetWriteFile({ filename, columnData });
    return filename;
  };
  return { transactions: await write("transactions", data.transactions), labels: await write("labels", data.labels) };
}

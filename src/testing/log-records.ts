import type { Cursor, Log, TransactionSection } from "../log/log.ts";
import { RecordBatchReader, RecordBatchWriter, type RecordHeader } from "../log/record-batch.ts";

/** A record as a test writes and compares it. */
export interface PlainRecord {
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Encodes records as the section of a transaction. */
export function sectionOf(topic: string, partition: number, records: readonly PlainRecord[]): TransactionSection {
  const writer = new RecordBatchWriter();
  for (const { timestamp, key, value, headers = {} } of records)
    writer.append(timestamp, bytesOf(key), bytesOf(value), headersOf(headers));
  const { count, minTimeMs, maxTimeMs } = writer;
  return { topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() };
}

function bytesOf(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text);
}

function headersOf(headers: Readonly<Record<string, string>>): RecordHeader[] {
  return Object.entries(headers).map(([name, value]) => ({ name, value: Buffer.from(value) }));
}

/** A record and where it was found. */
export interface FoundRecord extends PlainRecord {
  readonly offset: bigint;
}

/**
 * Reads from a cursor until `count` records have come. Adapters over a network need time: what is appended shows
 * "soon", which ends after `withinMs` with an error that carries both counts.
 */
export async function readRecords(log: Log, cursor: Cursor, count: number, withinMs = 10_000): Promise<FoundRecord[]> {
  const found: FoundRecord[] = [];
  await eventually(
    log,
    () => {
      readVisible(cursor, found);
      return found.length >= count;
    },
    () => `${found.length} of ${count} records of ${cursor.topic}[${cursor.partition}] came`,
    withinMs,
  );
  return found;
}

/** Reads what a cursor returns right now: over a network, what is at hand. */
export function readVisible(cursor: Cursor, found: FoundRecord[] = []): FoundRecord[] {
  const reader = new RecordBatchReader();
  for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) {
    reader.reset(batch.bytes);
    for (let index = 0; reader.next(); index++) {
      const headers = Object.fromEntries(
        reader.headers().map(({ name, value }) => [name, Buffer.from(value).toString()]),
      );
      found.push({
        offset: batch.baseOffset + BigInt(index),
        timestamp: reader.timestamp,
        key: reader.key()?.toString() ?? null,
        value: reader.value()?.toString() ?? null,
        ...(reader.headerCount > 0 ? { headers } : {}),
      });
    }
  }
  return found;
}

/** Waits until a condition on a log holds. Looks again whenever the log changes. */
export async function eventually(
  log: Log,
  holds: () => boolean | Promise<boolean>,
  otherwise: () => string | Promise<string>,
  withinMs = 10_000,
): Promise<void> {
  const waitMs = 50;
  for (let waitedMs = 0; !(await holds()); waitedMs += waitMs) {
    if (waitedMs >= withinMs) throw new Error(`${await otherwise()} within ${withinMs} ms`);
    await Promise.all([log.changed(waitMs), new Promise((resolve) => setTimeout(resolve, 1))]);
  }
}

import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { KappaError } from "../core/errors.ts";
import type { Cursor, Log, RecordBatch, Topic } from "../log/log.ts";
import { nextBatch } from "../log/record-at.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { Invocation } from "./invocation.ts";
import { offsetAt, parsePosition } from "./log-position.ts";
import { jsonLine, visible } from "./plain-text.ts";
import { type DecodeMode, RecordDecoder } from "./record-decoder.ts";

/** What `kappa topics tail` was asked. */
export interface TailOptions {
  readonly topic: Topic;
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly invocation: Invocation;
  readonly from: string;
  readonly partition?: number | undefined;
  readonly decode: DecodeMode;
  readonly limit?: number | undefined;
  readonly follow: boolean;
  readonly json?: true | undefined;
}

/** How often the end is looked at while nothing comes, in ms, should a change go unnoticed. */
const waitMs = 500;

/**
 * Prints records: of each partition in order, of several partitions as their batches come.
 *
 * @returns how many
 */
export async function tailTopic(options: TailOptions): Promise<number> {
  const { log, invocation, follow, limit = Number.POSITIVE_INFINITY } = options;
  const cursors = await openCursors(options);
  const decoder = new RecordDecoder(options.registry, options.decode);
  let printed = 0;
  for (let waiting = false; printed < limit && !(waiting && !follow); ) {
    if (waiting) await log.changed(waitMs);
    waiting = true;
    for (const cursor of cursors) {
      if (printed >= limit) break;
      // Who follows is woken when more comes; who does not must wait for what is held but not at hand.
      const batch = follow ? cursor.next() : await nextBatch(cursor);
      if (batch === undefined) continue;
      waiting = false;
      await decoder.load(batch.bytes);
      printed += printBatch(batch, decoder, limit - printed, options);
      await invocation.terminal.drained();
    }
  }
  for (const cursor of cursors) cursor.close();
  return printed;
}

async function openCursors({ topic, log, from, partition, invocation }: TailOptions): Promise<Cursor[]> {
  const position = parsePosition(from, invocation.clock.now());
  if (partition !== undefined && partition >= topic.partitions) {
    throw new KappaError(
      "KAPPA_USAGE",
      `topic ${topic.name} has partitions 0 to ${topic.partitions - 1}, there is no ${partition}`,
    );
  }
  const partitions = partition === undefined ? Array.from({ length: topic.partitions }, (_, p) => p) : [partition];
  const cursors: Cursor[] = [];
  for (const p of partitions) {
    cursors.push(await log.openCursor(topic.name, p, await offsetAt(position, log, topic.name, p), "durable"));
  }
  return cursors;
}

/** @returns records printed, at most `limit` */
function printBatch(
  batch: RecordBatch,
  decoder: RecordDecoder,
  limit: number,
  { invocation, json }: TailOptions,
): number {
  const { terminal } = invocation;
  const reader = new RecordBatchReader();
  reader.reset(batch.bytes);
  let printed = 0;
  while (printed < limit && reader.next()) {
    const offset = Number(batch.baseOffset) + printed;
    printed++;
    const key = reader.key()?.toString() ?? null;
    const value = decoder.decode(reader.buffer, reader.valueAt, reader.valueEnd);
    const time = timeText(reader.timestamp);
    if (json) {
      const headers = Object.fromEntries(
        reader.headers().map((each) => [each.name, Buffer.from(each.value).toString()]),
      );
      terminal.print(
        jsonLine({
          partition: batch.partition,
          offset,
          time,
          key,
          value,
          ...(reader.headerCount > 0 ? { headers } : {}),
        }),
      );
    } else {
      terminal.print(
        `${batch.partition}:${offset}  ${time}  ${key === null ? "(no key)" : visible(key)}  ${jsonLine(value)}`,
      );
    }
  }
  return printed;
}

/** ISO 8601, or the number where it is outside what a date can be. */
export function timeText(timeMs: number): string {
  return Math.abs(timeMs) <= 8.64e15 ? new Date(timeMs).toISOString() : String(timeMs);
}

import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { deserialize } from "node:v8";
import type { Log, TransactionSection, Writer } from "../../src/index.ts";
import { connectFileLog } from "../../src/log/file-log-socket.ts";
import { hangUp, orderOf, say, toldOf } from "./child.ts";
import { sharedClockMs } from "./decision-reader.ts";

export interface ProducerOrder {
  readonly logDirectory: string;
  /** `PacedRecord[]`, serialised by v8, in the order of their times. */
  readonly recordsFile: string;
  readonly perSecond: number;
  /** Records of the phase without an engine. */
  readonly bareRecords: number;
}

/** One record, encoded as it is appended. */
export interface PacedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly decisionKey: string | null;
  readonly timeMs: number;
  readonly bytes: Buffer;
}

/** Record i was due at `dueMs[i]` on the shared clock, and durable at `durableMs[i]`. */
export interface PacedAppends {
  readonly dueMs: readonly number[];
  readonly durableMs: readonly number[];
}

/** Appends of the phase without an engine go here. */
const bareTopic = "bench-bare";

/**
 * Appends records open-loop: record i is due at i / rate whatever became of those before it, and goes out at the next
 * turn of a 1 ms timer, in one transaction with all others that are due.
 */
async function appendPaced(writer: Writer, records: readonly PacedRecord[], perSecond: number): Promise<PacedAppends> {
  const dueMs: number[] = [];
  const durableMs: number[] = new Array(records.length).fill(Number.NaN);
  const startMs = sharedClockMs() + 10;
  const underway: Promise<void>[] = [];
  let failure: unknown = null;
  for (let i = 0; i < records.length; i++) dueMs.push(startMs + (i * 1000) / perSecond);
  for (let next = 0; next < records.length; ) {
    if (failure !== null) throw failure;
    const nowMs = sharedClockMs();
    const from = next;
    while (next < records.length && (dueMs[next] as number) <= nowMs) next++;
    if (next > from) {
      const to = next;
      const append = writer.append(sectionsOf(records, from, to)).then(
        () => void durableMs.fill(sharedClockMs(), from, to),
        (error: unknown) => {
          failure = error;
        },
      );
      underway.push(append);
    }
    await pause(1);
  }
  await Promise.all(underway);
  if (failure !== null) throw failure;
  return { dueMs, durableMs };
}

function sectionsOf(records: readonly PacedRecord[], from: number, to: number): TransactionSection[] {
  const groups = new Map<string, PacedRecord[]>();
  for (let i = from; i < to; i++) {
    const record = records[i] as PacedRecord;
    const name = `${record.topic} ${record.partition}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [record]);
    else group.push(record);
  }
  return [...groups.values()].map((group) => {
    const times = group.map(({ timeMs }) => timeMs);
    const { topic, partition } = group[0] as PacedRecord;
    const bytes = Buffer.concat(group.map((record) => record.bytes));
    return {
      topic,
      partition,
      count: group.length,
      bytes,
      minTimeMs: Math.min(...times),
      maxTimeMs: Math.max(...times),
    };
  });
}

async function main(): Promise<void> {
  const order = orderOf<ProducerOrder>();
  const records = deserialize(readFileSync(order.recordsFile)) as PacedRecord[];
  const log: Log = await connectFileLog({ directory: order.logDirectory });
  const partitions = Math.max(...records.map(({ partition }) => partition)) + 1;
  await log.createTopic(bareTopic, { partitions });
  const writer = await log.openWriter("bench-producer");
  const bare = records.slice(0, order.bareRecords).map((record) => ({ ...record, topic: bareTopic }));
  await say("bare", await appendPaced(writer, bare, order.perSecond));
  await toldOf("go");
  await say("paced", await appendPaced(writer, records, order.perSecond));
  await toldOf("stop");
  await log.close();
  hangUp();
}

await main();

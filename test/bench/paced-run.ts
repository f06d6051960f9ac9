import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { serialize } from "node:v8";
import { Child } from "./child.ts";
import type { Seen } from "./decision-reader.ts";
import type { EngineOrder } from "./engine-process.ts";
import { InputEncoder } from "./input-encoder.ts";
import type { PacedEngine } from "./paced-engine-process.ts";
import { type Percentiles, percentilesOf, rounded } from "./percentiles.ts";
import type { PacedAppends, PacedRecord, ProducerOrder } from "./producer-process.ts";
import type { Workload } from "./workload.ts";

export interface PacedOptions {
  readonly perSecond: number;
  /** Seconds that are measured; `warmUpSeconds` before them are not. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly partitions: number;
}

/** Milliseconds from when a record was due. */
export interface PacedRun {
  readonly perSecond: number;
  readonly seconds: number;
  readonly coresBusy: number;
  readonly framesPerSecond: number;
  /** Until its append was durable, in a log that nobody else writes to. */
  readonly bareAppendMs: Percentiles;
  /** The same while the engine runs. */
  readonly appendMs: Percentiles;
  /** Until its durable decision was read by the process that runs the engine. One elsewhere learns of it by a poll, 5 ms later at most. */
  readonly decisionMs: Percentiles;
}

/** How long decisions are waited for when everything was appended: one that is later counts as lost. */
const drainMs = 3000;

/**
 * Appends what follows the preloaded events at a fixed pace, from a process of its own, to a log whose owner has
 * already decided them. Times are taken on the clock that the processes share.
 */
export async function pacedRun(engine: EngineOrder, workload: Workload, options: PacedOptions): Promise<PacedRun> {
  const { perSecond, seconds, warmUpSeconds } = options;
  const records = await recordsAfter(workload, engine.dataDir, options);
  const recordsFile = join(engine.dataDir, "paced-records");
  writeFileSync(recordsFile, serialize(records));
  const owner = new Child("./paced-engine-process.ts", engine);
  await owner.hear("open");
  const order: ProducerOrder = {
    logDirectory: join(engine.dataDir, "log"),
    recordsFile,
    perSecond,
    bareRecords: Math.min(records.length, perSecond * Math.min(seconds, 15)),
  };
  const producer = new Child("./producer-process.ts", order);
  const bare = await producer.hear<PacedAppends>("bare");
  owner.tell("start");
  await owner.hear("running");
  producer.tell("go");
  const appends = await producer.hear<PacedAppends>("paced");
  owner.tell("sent");
  await pause(drainMs);
  owner.tell("stop");
  producer.tell("stop");
  const { seen, coresBusy, framesPerSecond } = await owner.hear<PacedEngine>("result");
  await Promise.all([owner.ended(), producer.ended()]);
  const from = perSecond * warmUpSeconds;
  return {
    perSecond,
    seconds,
    coresBusy: rounded(coresBusy),
    framesPerSecond: rounded(framesPerSecond),
    bareAppendMs: percentilesOf(durations(bare, bare.durableMs, Math.min(from, order.bareRecords >> 2))),
    appendMs: percentilesOf(durations(appends, appends.durableMs, from)),
    decisionMs: percentilesOf(durations(appends, timesSeen(records, seen), from)),
  };
}

async function recordsAfter(workload: Workload, dataDir: string, options: PacedOptions): Promise<PacedRecord[]> {
  const wanted = options.perSecond * (options.seconds + options.warmUpSeconds);
  const encoder = await InputEncoder.open(workload, join(dataDir, "registry"), options.partitions);
  const records: PacedRecord[] = [];
  let decided = 0;
  for (const event of workload.events()) {
    if (decided >= workload.preloaded) {
      encoder.add(event);
      const [section] = encoder.take();
      if (section === undefined) throw new TypeError("an event became no record");
      const { topic, partition, bytes } = section;
      records.push({
        topic,
        partition,
        decisionKey: event.decisionKey,
        timeMs: event.timeMs,
        bytes: Buffer.from(bytes),
      });
      if (records.length === wanted) return records;
    }
    if (event.decisionKey !== null) decided++;
  }
  return records;
}

/** When each record's decision was seen; NaN for records that want none. @throws TypeError when one is missing */
function timesSeen(records: readonly PacedRecord[], seen: Seen): number[] {
  const atMs = new Map(seen.keys.map((key, i) => [key, seen.atMs[i] as number]));
  if (atMs.size !== seen.keys.length) throw new TypeError(`${seen.keys.length - atMs.size} decisions came twice`);
  return records.map(({ decisionKey }) => {
    if (decisionKey === null) return Number.NaN;
    const time = atMs.get(decisionKey);
    if (time === undefined) throw new TypeError(`no decision came for ${decisionKey}; ${atMs.size} came`);
    return time;
  });
}

function durations({ dueMs }: PacedAppends, endMs: readonly number[], from: number): number[] {
  const durationsMs: number[] = [];
  for (let i = from; i < dueMs.length; i++) {
    const duration = (endMs[i] as number) - (dueMs[i] as number);
    if (!Number.isNaN(duration)) durationsMs.push(duration);
  }
  return durationsMs;
}

import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Engine, openFileLog } from "../../src/index.ts";
import { ThreadFileLog } from "../../src/log/file-log-thread.ts";
import { hangUp, orderOf, say, toldOf } from "./child.ts";
import { DecisionReader, type Seen } from "./decision-reader.ts";
import type { EngineOrder } from "./engine-process.ts";
import { LogMeter } from "./log-meter.ts";

export interface PacedEngine {
  readonly seen: Seen;
  /** Cores that the process kept busy while it was fed. */
  readonly coresBusy: number;
  /** Frames of the log a second, those of the producer included. */
  readonly framesPerSecond: number;
}

// Owns the journal while another process appends at a fixed pace: first without an engine, then with it.

const { topology, dataDir, threads, decisionsTopic } = orderOf<EngineOrder>();
const meter = new LogMeter();
const log = await openFileLog({ directory: join(dataDir, "log"), meter });
await say("open");
await toldOf("start");
const engine = await Engine.start({ topology, log, dataDir, threads });
while (
  engine.state !== "RUNNING" ||
  engine.tasks.length < engine.partitions ||
  engine.tasks.some(({ lag }) => lag > 0)
) {
  if (engine.state === "ERROR") await engine.finished;
  await pause(20);
}
// As an engine thread reads: without an allocation a look, which would disturb what it measures.
const reading = ThreadFileLog.of(log.threadHandle());
const reader = await DecisionReader.open(reading, decisionsTopic);
const read = reader.run();
const [startMs, cpuBefore, framesBefore] = [performance.now(), process.cpuUsage(), meter.appended.frames];
await say("running");
await toldOf("sent");
const seconds = (performance.now() - startMs) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const framesPerSecond = (meter.appended.frames - framesBefore) / seconds;
await toldOf("stop");
reader.stop();
await read;
await reading.close();
await engine.stop();
await log.close();
const result: PacedEngine = { seen: reader.seen, coresBusy: (user + system) / 1e6 / seconds, framesPerSecond };
await say("result", result);
hangUp();

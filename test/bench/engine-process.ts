import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Engine, openFileLog, type TopologyModule } from "../../src/index.ts";
import { hangUp, orderOf, say } from "./child.ts";
import { decidedIn } from "./decision-reader.ts";
import { type Appended, LogMeter } from "./log-meter.ts";

export interface EngineOrder {
  readonly dataDir: string;
  readonly topology: TopologyModule;
  readonly threads: number;
  readonly decisionsTopic: string;
}

export interface EngineRun {
  readonly decisions: number;
  /** From the start of the process until the last decision was durable. */
  readonly wholeSeconds: number;
  /** Of these, until the first was. */
  readonly startUpSeconds: number;
  /** Durable decisions a second, over `wholeSeconds`. */
  readonly wholePerSecond: number;
  /** The same from the first durable decision on. */
  readonly steadyPerSecond: number;
  readonly cpuSeconds: number;
  readonly peakResidentMb: number;
  /** What the engine wrote to the log. */
  readonly appended: Appended;
}

/** How often the log is asked for its durable end: what first and last decision are exact to. */
const lookMs = 10;

const order = orderOf<EngineOrder>();
const meter = new LogMeter();
const log = await openFileLog({ directory: join(order.dataDir, "log"), meter });
const { topology, dataDir, threads, decisionsTopic } = order;
const engine = await Engine.start({ topology, log, dataDir, threads, settings: { untilEnd: true } });
let running = true;
const finished = engine.finished.finally(() => {
  running = false;
});
finished.catch(() => {});

// Zero of this clock is the start of the process.
let [firstMs, firstCount, lastMs, lastCount] = [0, 0, 0, 0];
while (running) {
  const count = await decidedIn(log, decisionsTopic);
  if (count > lastCount) {
    lastMs = performance.now();
    lastCount = count;
    if (firstCount === 0) [firstMs, firstCount] = [lastMs, count];
  }
  await pause(lookMs);
}
await finished;
const { user, system } = process.cpuUsage();
const decisions = await decidedIn(log, decisionsTopic);
if (decisions > lastCount) lastMs = performance.now();
const run: EngineRun = {
  decisions,
  wholeSeconds: lastMs / 1000,
  startUpSeconds: firstMs / 1000,
  wholePerSecond: (decisions / lastMs) * 1000,
  steadyPerSecond: ((decisions - firstCount) / (lastMs - firstMs)) * 1000,
  cpuSeconds: (user + system) / 1e6,
  peakResidentMb: process.resourceUsage().maxRSS / 1024,
  appended: meter.appended,
};
await log.close();
await say("result", run);
hangUp();

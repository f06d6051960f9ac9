import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Engine, openFileLog } from "../../src/index.ts";
import { hangUp, orderOf, say, toldOf } from "./child.ts";
import { DecisionReader } from "./decision-reader.ts";
import type { EngineOrder } from "./engine-process.ts";

// Owns the journal while another process appends at a fixed pace: first without an engine, then with it.

const { topology, dataDir, threads, decisionsTopic } = orderOf<EngineOrder>();
const log = await openFileLog({ directory: join(dataDir, "log") });
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
const reader = new DecisionReader(log, decisionsTopic);
const reading = reader.run();
await say("running");
await toldOf("stop");
reader.stop();
await reading;
await engine.stop();
await log.close();
await say("result", reader.seen);
hangUp();

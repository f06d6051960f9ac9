import { join } from "node:path";
import { Engine, openFileLog } from "../../src/index.ts";
import { answer, orderOf } from "./child.ts";
import { decidedIn } from "./decision-reader.ts";
import { historiesTopic, historyStore, purchasesTopic } from "./memory-topology.ts";

export interface MemoryEngineOrder {
  readonly dataDir: string;
  readonly partitions: number;
  readonly threads: number;
  readonly cacheMb: number;
}

export interface MemoryProgress {
  /** Purchases whose history is durable. */
  readonly answered: number;
  /** What the engine believes its entities in memory take. */
  readonly cachedBytes: number;
}

// The process whose memory is measured: it owns the journal and runs the engine.

const { dataDir, partitions, threads, cacheMb } = orderOf<MemoryEngineOrder>();
const log = await openFileLog({ directory: join(dataDir, "log") });
await log.createTopic(purchasesTopic, { partitions });
const engine = await Engine.start({
  topology: { module: new URL("./memory-topology.ts", import.meta.url).href, parameters: {} },
  log,
  dataDir,
  threads,
  settings: { cacheBytes: cacheMb * 2 ** 20 },
});
answer({
  running: async () => engine.state === "RUNNING",
  progress: async (): Promise<MemoryProgress> => {
    if (engine.state === "ERROR") await engine.finished;
    const cachedBytes = engine.tasks.reduce((sum, task) => sum + task.cachedBytes, 0);
    return { answered: await decidedIn(log, historiesTopic), cachedBytes };
  },
  keys: () => engine.count(historyStore),
  stop: async () => {
    await engine.stop();
    await log.close();
  },
});

import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { openFileLog, type TopologyModule } from "../../src/index.ts";
import { hangUp, orderOf, say } from "./child.ts";
import { type Appended, LogMeter } from "./log-meter.ts";

/**
 * The floor: what any engine has to do, and nothing else. As many threads as the engine has, each a loop that reads
 * its partitions' input records, decodes them, scores as many rows with the same model in slices of 512, and appends
 * through the same owner as many bytes in as many frames as the engine wrote. No order, no windows, no state.
 */
export interface FloorOrder {
  readonly dataDir: string;
  readonly topology: TopologyModule;
  readonly threads: number;
  readonly partitions: number;
  readonly decisionsTopic: string;
  /** Input records, over all topics. */
  readonly records: number;
  /** Transactions among them. */
  readonly transactions: number;
  readonly appended: Appended;
  /** Rows that the model scored among the engine's, as it saw them: float32, row by row. */
  readonly vectorsFile: string;
  /** Scored rows a transaction: rules decide some without the model. */
  readonly scoredShare: number;
  /** Frames of a thread on their way to the disk: the engine's bound on commits, over the tasks of a thread. */
  readonly framesInFlightMax: number;
}

export interface FloorRun {
  readonly seconds: number;
  readonly perSecond: number;
  readonly cpuSeconds: number;
  readonly appended: Appended;
}

export const floorTopic = "bench-floor";

const order = orderOf<FloorOrder>();
const meter = new LogMeter();
const log = await openFileLog({ directory: join(order.dataDir, "log"), meter });
await log.createTopic(floorTopic, { partitions: order.partitions });

const workers = Array.from({ length: order.threads }, (_, thread) => {
  const handle = log.threadHandle();
  return new Worker(new URL("./floor-thread.ts", import.meta.url), {
    workerData: { order, thread, handle },
    transferList: [handle.port],
  });
});
const said = (kind: string): Promise<unknown> => Promise.all(workers.map((worker) => heard(worker, kind)));
function heard(worker: Worker, kind: string): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on("message", (message) => message === kind && resolve());
    worker.once("error", reject);
  });
}

await said("ready");
const done = said("done");
const before = process.cpuUsage();
const startMs = performance.now();
for (const worker of workers) worker.postMessage("go");
await done;
const seconds = (performance.now() - startMs) / 1000;
const { user, system } = process.cpuUsage(before);
const run: FloorRun = {
  seconds,
  perSecond: order.transactions / seconds,
  cpuSeconds: (user + system) / 1e6,
  appended: meter.appended,
};
for (const worker of workers) worker.postMessage("end");
await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))));
await log.close();
await say("result", run);
hangUp();

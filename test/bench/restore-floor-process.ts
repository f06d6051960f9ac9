import { Worker } from "node:worker_threads";
import { hangUp, orderOf, say } from "./child.ts";

/**
 * The floor of a restore from the log alone: as many threads as the engine has, each a loop that reads its partitions of
 * the commits topic by the same cursors, finds the rows in their changelogs, and puts each under its key into a database
 * a partition, in batches of a mebibyte. No windows, no features, no memory of what was put.
 */
export interface RestoreFloorOrder {
  readonly bootstrapServers: string;
  /** The databases go here. */
  readonly directory: string;
  readonly topic: string;
  readonly partitions: number;
  readonly threads: number;
}

export interface RestoreFloorRun {
  readonly rows: number;
  readonly seconds: number;
}

const order = orderOf<RestoreFloorOrder>();
const workers = Array.from(
  { length: order.threads },
  (_, thread) => new Worker(new URL("./restore-floor-thread.ts", import.meta.url), { workerData: { order, thread } }),
);
const heard = (worker: Worker, kind: string): Promise<number> =>
  new Promise((resolve, reject) => {
    worker.on("message", (message: { kind: string; rows: number }) => message.kind === kind && resolve(message.rows));
    worker.once("error", reject);
  });

await Promise.all(workers.map((worker) => heard(worker, "ready")));
const done = workers.map((worker) => heard(worker, "done"));
const startMs = performance.now();
for (const worker of workers) worker.postMessage("go");
const rows = (await Promise.all(done)).reduce((sum, each) => sum + each, 0);
const seconds = (performance.now() - startMs) / 1000;
const run: RestoreFloorRun = { rows, seconds };
await say("result", run);
hangUp();

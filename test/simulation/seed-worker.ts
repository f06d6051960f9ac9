import { parentPort, workerData } from "node:worker_threads";
import { reportOf } from "./seeds.ts";

// Runs the seeds that it is given, one after the other, and tells of each.

for (const seed of workerData as readonly number[]) {
  parentPort?.postMessage(await reportOf(seed));
  await new Promise((resolve) => setImmediate(resolve));
}

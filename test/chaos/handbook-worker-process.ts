import process from "node:process";
import { batchesInLog, manyBatches, openPlace, runHandbook } from "./handbook-worker.ts";

// The handbook's job in a process of its own, which is killed once task 0 has taken so many records and has so many
// batches in the log of its database: no handler runs, no buffer is flushed, no database is closed.
//
//   node handbook-worker-process.ts DIRECTORY RECORDS BATCHES

const [directory = "", takenMin, batchesMin] = process.argv.slice(2);
await runHandbook(await openPlace(directory), {
  ...manyBatches,
  generation: 1_000_000,
  reached: (taken) => {
    if (taken >= Number(takenMin) && batchesInLog(directory) >= Number(batchesMin))
      process.kill(process.pid, "SIGKILL");
  },
});

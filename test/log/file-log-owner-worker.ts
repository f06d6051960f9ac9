import { parentPort, workerData } from "node:worker_threads";
import { openFileLog } from "../../src/log/file-log.ts";

// Owns a journal in a thread of its own, so that the test's thread is an engine thread. Messages: "handle" -> a handle,
// "close" -> "closed".
const log = await openFileLog(workerData);
parentPort?.on("message", async (message: "handle" | "close") => {
  if (message === "handle") {
    const handle = log.threadHandle();
    parentPort?.postMessage(handle, [handle.port]);
    return;
  }
  await log.close();
  parentPort?.postMessage("closed");
  parentPort?.close();
});

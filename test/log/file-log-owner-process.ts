import process from "node:process";
import { openFileLog } from "../../src/log/file-log.ts";

// Owns the journal of the directory in argv[2] until it is told to close or killed. Says "ready" when it serves.
const log = await openFileLog({ directory: process.argv[2] ?? "", segmentBytes: Number(process.argv[3] ?? 4096) });
process.send?.("ready");
process.on("message", async () => {
  await log.close();
  process.disconnect();
});
// Its parent is gone: nobody needs it.
process.on("disconnect", () => process.exit());

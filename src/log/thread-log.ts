import { type MessagePort, Worker } from "node:worker_threads";
import { type FileLogHandle, OwnedFileLog } from "./file-log.ts";
import { ThreadFileLog } from "./file-log-thread.ts";
import { KafkaLog } from "./kafka-log.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import type { Log } from "./log.ts";

/** A log that the threads of this process can open as well. */
export type SharedLog = OwnedFileLog | KafkaLog;

/** What another thread opens the same log with: travels as worker data. */
export type LogHandle =
  | { readonly kind: "file"; readonly file: FileLogHandle }
  | { readonly kind: "kafka"; readonly kafka: KafkaOptions };

/** The log as a thread of an engine has it. */
export interface ThreadLog extends Log {
  /** From here to `release` what is appended may be held back, so that it goes out together. */
  gather?(): void;
  release?(): void;
}

export function threadHandle(log: SharedLog): LogHandle {
  return log instanceof OwnedFileLog
    ? { kind: "file", file: log.threadHandle() }
    : { kind: "kafka", kafka: log.options };
}

/**
 * Starts a thread of this process that opens the log as well.
 *
 * @param module its module, as `new URL("./thread.ts", import.meta.url)`
 * @param order becomes its worker data @param youngGenerationMb bound on its new objects
 */
export function startThread(module: URL, order: { readonly log: LogHandle }, youngGenerationMb: number): Worker {
  const compiled = new URL(module);
  // The compiler renames what is imported, not what a URL names.
  if (!import.meta.url.endsWith(".ts")) compiled.pathname = compiled.pathname.replace(/\.ts$/, ".js");
  return new Worker(compiled, {
    workerData: order,
    transferList: movedWith(order.log),
    resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
  });
}

/** What has to be moved with a handle, not copied. */
function movedWith(handle: LogHandle): MessagePort[] {
  return handle.kind === "file" ? [handle.file.port] : [];
}

/** @throws KAPPA_LOG_UNAVAILABLE, KAPPA_LOG_REFUSED */
export async function openThreadLog(handle: LogHandle): Promise<ThreadLog> {
  return handle.kind === "file" ? ThreadFileLog.of(handle.file) : await KafkaLog.open(handle.kafka);
}

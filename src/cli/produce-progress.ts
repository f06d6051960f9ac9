import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Log, TransactionSection } from "../log/log.ts";
import { RecordBatchReader, RecordBatchWriter } from "../log/record-batch.ts";
import { existingTopic } from "./data-folder.ts";
import type { FilePlace } from "./row-file.ts";
import { batchesHeld } from "./topic-reader.ts";

/** Where `produce` remembers how far it is in a file: written in the transaction of the rows themselves. */
export const progressTopic = "__kappa-produce";

/** How far a file was produced into a topic. */
export interface ProduceProgress extends FilePlace {
  /** Rows that did not fit and were left out. */
  readonly skipped: number;
}

export const nothingProduced: ProduceProgress = { row: 0, byte: 0, skipped: 0 };

/** Bytes at the start and at the end of a file that tell it from another one of its name and size. */
const sampleBytes = 65_536;

/**
 * Names a file produced into a topic: SHA-256 of the topic, the absolute path, the size, and the first and last 64 KiB.
 * A file that was replaced by another one is another file, so its rows are not taken for rows produced before.
 */
export async function fileIdentity(topic: string, path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    const sample = Buffer.alloc(sampleBytes);
    const identity = createHash("sha256").update(JSON.stringify([topic, path, size]));
    for (const at of [0, Math.max(0, size - sampleBytes)]) {
      const { bytesRead } = await file.read(sample, 0, sampleBytes, at);
      identity.update(sample.subarray(0, bytesRead));
    }
    return identity.digest("hex");
  } catch (error) {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot read ${path}: ${messageOf(error)}`, { path }, error);
  }
}

/** How far the file of an identity was produced; to be asked after its writer was opened, so that nothing is under way. */
export async function readProgress(log: Log, identity: string): Promise<ProduceProgress> {
  const reader = new RecordBatchReader();
  const key = Buffer.from(identity);
  let progress = nothingProduced;
  for await (const batch of batchesHeld(log, await existingTopic(log, progressTopic))) {
    reader.reset(batch.bytes);
    while (reader.next()) {
      if (reader.key()?.equals(key)) progress = JSON.parse(String(reader.value())) as ProduceProgress;
    }
  }
  return progress;
}

/** The section that remembers the progress a transaction makes. */
export function progressSection(identity: string, progress: ProduceProgress, nowMs: number): TransactionSection {
  const writer = new RecordBatchWriter(256);
  const { row, byte, skipped } = progress;
  writer.append(nowMs, Buffer.from(identity), Buffer.from(JSON.stringify({ row, byte, skipped })));
  return { topic: progressTopic, partition: 0, count: 1, minTimeMs: nowMs, maxTimeMs: nowMs, bytes: writer.take() };
}

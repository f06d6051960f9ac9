import { type TopicHash, TopicHasher } from "../../src/cli/topic-hash.ts";
import { batchesHeld, recordCount } from "../../src/cli/topic-reader.ts";
import { type Log, RecordBatchReader } from "../../src/index.ts";
import { readFileLog } from "../../src/log/file-log-socket.ts";

/** What the handbook's job writes. */
export const decisionsTopic = "fraud-decisions";

/** What `kappa topics hash fraud-decisions` prints for a log: the same for the same decisions, in any batches. */
export async function decisionsHash(log: Log): Promise<TopicHash> {
  const hasher = new TopicHasher(decisionsTopic);
  const reader = new RecordBatchReader();
  const topic = await log.topic(decisionsTopic);
  if (topic === undefined) return hasher.result();
  for await (const batch of batchesHeld(log, topic)) {
    reader.reset(batch.bytes);
    while (reader.next()) hasher.add(reader, batch.partition);
  }
  return hasher.result();
}

/** The same, from outside the process that wrote them. */
export async function decisionsHashIn(logDirectory: string): Promise<TopicHash> {
  const log = readFileLog(logDirectory);
  try {
    return await decisionsHash(log);
  } finally {
    await log.close();
  }
}

/** Durable records of the topics, over all their partitions. */
export async function recordsIn(logDirectory: string, topics: readonly string[]): Promise<number> {
  const log = readFileLog(logDirectory);
  try {
    let records = 0;
    for (const name of topics) {
      const topic = await log.topic(name);
      if (topic !== undefined) records += await recordCount(log, topic);
    }
    return records;
  } finally {
    await log.close();
  }
}

import { beginningOfTimeMs } from "../core/time.ts";
import type { Log } from "../log/log.ts";
import { madeAnew } from "./changed-input.ts";
import type { CommitRecord, InputPosition } from "./commit-record.ts";

/**
 * Where a task begins to read its partition of an input: as its last commit says, else at the oldest record held.
 *
 * @throws KAPPA_TOPIC_UNKNOWN; KAPPA_LOG_TRUNCATED when the topic of the commit is gone and another one has its name: an
 *   offset of the one may well be an offset of the other, and everything before it would be skipped without a word
 */
export async function inputStart(
  log: Log,
  topic: string,
  partition: number,
  record: CommitRecord | null,
): Promise<InputPosition> {
  const topicId = (await log.identify?.(topic))?.id;
  const last = record?.inputs[topic];
  if (last?.topicId !== undefined && topicId !== undefined && last.topicId !== topicId)
    throw madeAnew(topic, { partition, offset: last.offset });
  const from = last ?? { offset: Number(await log.startOffset(topic, partition)), orderTimeMs: beginningOfTimeMs };
  return topicId === undefined ? from : { ...from, topicId };
}

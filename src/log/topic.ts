import { KappaError } from "../core/errors.ts";
import type { Topic, TopicConfig } from "./log.ts";

/** Most partitions of one topic. Bounds what a mistyped number can allocate. */
export const partitionsMax = 10_000;

/** The names Kafka allows, so that a topology moves between adapters unchanged. */
const topicName = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;

/** A topic with its defaults filled in. @throws KAPPA_CONFIG_INVALID */
export function topicOf(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): Topic {
  if (!topicName.test(name))
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      `topic name ${JSON.stringify(name)} is not 1 to 249 of a-z A-Z 0-9 . _ -`,
      { topic: name },
    );
  const { partitions, retentionMs = -1, retentionBytes = -1 } = config;
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > partitionsMax)
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      `topic ${name} wants ${partitions} partitions, allowed are 1 to ${partitionsMax}`,
      { topic: name, partitions },
    );
  for (const [option, value] of Object.entries({ retentionMs, retentionBytes }))
    if (!Number.isSafeInteger(value) || value < -1)
      throw new KappaError("KAPPA_CONFIG_INVALID", `${option} of topic ${name} is ${value}, allowed are -1 and up`, {
        topic: name,
      });
  return { name, partitions, retentionMs, retentionBytes };
}

/** @throws KAPPA_TOPIC_MISMATCH unless a topic that exists has the partition count that is wanted */
export function checkSamePartitions(existing: Topic, wanted: Topic): void {
  if (existing.partitions === wanted.partitions) return;
  throw new KappaError(
    "KAPPA_TOPIC_MISMATCH",
    `topic ${wanted.name} has ${existing.partitions} partitions, ${wanted.partitions} are wanted; ` +
      "use another topic or the count it has",
    { topic: wanted.name, existing: existing.partitions, wanted: wanted.partitions },
  );
}

/** The error for a topic or partition that does not exist. */
export function unknownTopic(topic: string, partition: number, known: Topic | undefined): KappaError {
  const message =
    known === undefined
      ? `topic ${topic} does not exist; create it with: kappa topics create ${topic}`
      : `topic ${topic} has ${known.partitions} partitions, there is no partition ${partition}`;
  return new KappaError("KAPPA_TOPIC_UNKNOWN", message, { topic, partition });
}

import { KappaError } from "../core/errors.ts";

const beginAnew = "run under a new application id from the beginning";

/**
 * The error for a topic that is no longer the one that was read.
 *
 * @param was what a position in it is worth nothing for; absent where the topic was only being watched
 */
export function madeAnew(topic: string, was?: { readonly partition: number; readonly offset: number }): KappaError {
  const what =
    was === undefined
      ? "while it was read"
      : `since it was read: position ${was.offset} of partition ${was.partition} is of the one before`;
  const message = `topic ${topic} was deleted and made anew ${what}; ${beginAnew}`;
  return new KappaError("KAPPA_LOG_TRUNCATED", message, { topic, ...was });
}

/**
 * The error for inputs that have another number of partitions than the application was begun with.
 *
 * @param topic absent: all of them have
 */
export function countChanged(partitions: number, before: number, topic?: string): KappaError {
  const what = topic === undefined ? "the inputs have" : `topic ${topic} has`;
  const message =
    `${what} ${partitions} partitions, the application was begun with ${before}; ` +
    `state is cut by partition: ${beginAnew}`;
  return new KappaError("KAPPA_TOPIC_MISMATCH", message, { topic, partitions, before });
}

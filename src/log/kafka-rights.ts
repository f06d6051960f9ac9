import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { KafkaClient } from "./kafka-client.ts";
import { kafkaError } from "./kafka-error.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { KafkaWriter } from "./kafka-writer.ts";

/** Rights that a process has no use for until much later, if at all. */
export interface LateRights {
  /** Transactional id to ask with: one for all who ask. */
  readonly writer: string;
  /** Topics that are written, some of them only when something goes wrong. */
  readonly writes: readonly string[];
  /** Topics whose old records are deleted. */
  readonly trims: readonly string[];
}

/**
 * Finds out whether this client may do what it will only do later, so that a right that is missing shows at the start and
 * not with the first dead letter. Writes and deletes nothing.
 *
 * @throws KAPPA_LOG_REFUSED naming the first right that is missing; KAPPA_LOG_UNAVAILABLE
 */
export async function requireRights(options: KafkaOptions, rights: LateRights, clock: Clock): Promise<void> {
  const client = new KafkaClient(options);
  try {
    for (const topic of rights.trims) await requireDelete(client, topic);
  } finally {
    await client.close();
  }
  try {
    const writer = await KafkaWriter.open(rights.writer, options, clock);
    try {
      await writer.requireWrite(rights.writes);
    } finally {
      await writer.close();
    }
  } catch (error) {
    // Another process that starts at this moment asks the same with the same id.
    if (!(error instanceof KappaError) || error.code !== "KAPPA_TASK_FENCED") throw error;
  }
}

/** Asks to delete what is before the first record there ever was. */
async function requireDelete(client: KafkaClient, topic: string): Promise<void> {
  try {
    const broker = await client.leader(topic, 0);
    await broker.deleteRecords({ topics: [{ topic, partitions: [{ partition: 0, offset: "0" }] }] });
  } catch (error) {
    throw kafkaError(error, `cannot delete records of topic ${topic}`, { topic, right: `Delete on topic ${topic}` });
  }
}

import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import type { Topic, TransactionSection } from "./log.ts";
import { unknownTopic } from "./topic.ts";

/** Most bytes of records in one transaction. A reader has to hold one whole to check it. */
export const transactionBytesMax = 64 * 1024 * 1024;

/** Most sections of one transaction: 64 Ki partitions written at once. */
export const transactionSectionsMax = 65_536;

/** @throws KAPPA_TRANSACTION_TOO_LARGE, before anything is written */
export function checkTransactionBytes(sections: readonly TransactionSection[]): void {
  let bytes = 0;
  for (const section of sections) bytes += section.bytes.length;
  if (bytes <= transactionBytesMax && sections.length <= transactionSectionsMax) return;
  throw new KappaError(
    "KAPPA_TRANSACTION_TOO_LARGE",
    `a transaction of ${bytes} bytes in ${sections.length} sections; ` +
      `the limits are ${transactionBytesMax} and ${transactionSectionsMax}: commit fewer records at once`,
    { bytes, sections: sections.length },
  );
}

/** @throws KAPPA_TOPIC_UNKNOWN when a section names a partition that does not exist */
export function checkSections(
  sections: readonly TransactionSection[],
  topicNamed: (name: string) => Topic | undefined,
): void {
  assert(sections.length > 0, () => "a transaction has no section");
  for (const section of sections) {
    assert(section.count >= 1, () => `a section of ${section.topic} holds ${section.count} records`);
    const topic = topicNamed(section.topic);
    if (topic === undefined || section.partition < 0 || section.partition >= topic.partitions)
      throw unknownTopic(section.topic, section.partition, topic);
  }
}

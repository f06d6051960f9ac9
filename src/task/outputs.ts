import type { TransactionSection } from "../log/log.ts";
import { RecordBatchWriter } from "../log/record-batch.ts";

/** What a task has written since its last commit, by topic and partition. */
export class Outputs {
  readonly #topics = new Map<string, (RecordBatchWriter | undefined)[]>();

  /** The writer of a partition. Look it up once a batch, or keep it: it stays the same for the life of the task. */
  writer(topic: string, partition: number): RecordBatchWriter {
    let partitions = this.#topics.get(topic);
    if (partitions === undefined) {
      partitions = [];
      this.#topics.set(topic, partitions);
    }
    let writer = partitions[partition];
    if (writer === undefined) {
      writer = new RecordBatchWriter();
      partitions[partition] = writer;
    }
    return writer;
  }

  get empty(): boolean {
    for (const partitions of this.#topics.values()) {
      for (const writer of partitions) if (writer !== undefined && writer.count > 0) return false;
    }
    return true;
  }

  get byteLength(): number {
    let bytes = 0;
    for (const partitions of this.#topics.values()) {
      for (const writer of partitions) bytes += writer?.byteLength ?? 0;
    }
    return bytes;
  }

  /** Everything written, as the sections of one transaction. Their bytes are lent: `clear` once they were appended. */
  sections(): TransactionSection[] {
    const sections: TransactionSection[] = [];
    for (const [topic, partitions] of this.#topics) {
      for (let partition = 0; partition < partitions.length; partition++) {
        const writer = partitions[partition];
        if (writer === undefined || writer.count === 0) continue;
        const { count, minTimeMs, maxTimeMs } = writer;
        sections.push({ topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.written() });
      }
    }
    return sections;
  }

  /** The writers start anew. */
  clear(): void {
    for (const partitions of this.#topics.values()) for (const writer of partitions) writer?.clear();
  }
}

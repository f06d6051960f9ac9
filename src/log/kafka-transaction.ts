import type { ProducedBatch } from "./kafka-produce.ts";
import type { KafkaRecordEncoder } from "./kafka-record-encoder.ts";
import type { Appended, TransactionSection } from "./log.ts";

/** What one transaction writes to one partition. */
interface Part {
  readonly topic: string;
  readonly partition: number;
  readonly chunks: Buffer[];
  count: number;
  bytes: number;
  /** Offset of its first record, once the broker has said it. */
  baseOffset: number;
}

/** Where a section of an append went: its part, and its first record counted from the part's first. */
interface Place {
  readonly part: Part;
  readonly first: number;
}

/** A wire batch and the place of its partition among those of the transaction. */
export interface PlacedBatch extends ProducedBatch {
  readonly index: number;
}

/** The appends that one transaction takes, by partition. Holds copies: whoever appended may write over the bytes. */
export class KafkaTransaction {
  readonly #parts: Part[] = [];
  readonly #byName = new Map<string, Part>();
  readonly #appends: Place[][] = [];
  byteLength = 0;

  add(sections: readonly TransactionSection[]): void {
    const places: Place[] = [];
    for (const { topic, partition, count, bytes } of sections) {
      const part = this.#part(topic, partition);
      places.push({ part, first: part.count });
      part.chunks.push(Buffer.from(bytes));
      part.count += count;
      part.bytes += bytes.length;
      this.byteLength += bytes.length;
    }
    this.#appends.push(places);
  }

  #part(topic: string, partition: number): Part {
    const name = partitionName(topic, partition);
    let part = this.#byName.get(name);
    if (part === undefined) {
      part = { topic, partition, chunks: [], count: 0, bytes: 0, baseOffset: -1 };
      this.#byName.set(name, part);
      this.#parts.push(part);
    }
    return part;
  }

  get partitions(): readonly { readonly topic: string; readonly partition: number }[] {
    return this.#parts;
  }

  /** As AddPartitionsToTxn wants them. */
  get topics(): { readonly topic: string; readonly partitions: number[] }[] {
    const topics = Map.groupBy(this.#parts, ({ topic }) => topic);
    return [...topics].map(([topic, parts]) => ({ topic, partitions: parts.map(({ partition }) => partition) }));
  }

  /**
   * Encodes everything, and takes the sequences on.
   * @returns rounds to send one after the other: a request holds one batch a partition
   */
  encode(encoder: KafkaRecordEncoder, sequences: Map<string, number>): PlacedBatch[][] {
    const spans: { readonly round: number; readonly index: number; readonly at: number; readonly end: number }[] = [];
    for (const [index, { topic, partition, chunks, count }] of this.#parts.entries()) {
      const name = partitionName(topic, partition);
      const [first] = chunks;
      const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
      encoder.begin({ count, bytes }, sequences.get(name) ?? 0);
      for (let round = 0; encoder.next(); round++)
        spans.push({ round, index, at: encoder.batchAt, end: encoder.batchEnd });
      sequences.set(name, encoder.nextSequence);
      chunks.length = 0;
    }
    const written = encoder.take();
    const rounds: PlacedBatch[][] = [];
    for (const { round, index, at, end } of spans) {
      const { topic, partition } = this.#parts[index] as Part;
      rounds[round] ??= [];
      rounds[round].push({ topic, partition, index, bytes: written.subarray(at, end) });
    }
    return rounds;
  }

  /** The broker has given a batch of the partition its offset; the first one counts. */
  placed(topic: string, partition: number, baseOffset: number): void {
    const part = this.#part(topic, partition);
    if (part.baseOffset < 0) part.baseOffset = baseOffset;
  }

  /** For each append what it became. */
  appended(): Appended[] {
    return this.#appends.map((places) => ({
      baseOffsets: places.map(({ part, first }) => BigInt(part.baseOffset + first)),
    }));
  }
}

function partitionName(topic: string, partition: number): string {
  return `${topic} ${partition}`;
}

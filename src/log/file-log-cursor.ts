import { setTimeout as sleep } from "node:timers/promises";
import { at, type PartitionIndex, type SegmentIndex } from "./file-log-index.ts";
import type { FileLogReader } from "./file-log-reader.ts";
import type { Cursor, RecordBatch, Visibility } from "./log.ts";
import { skipRecords } from "./record-batch.ts";

/** A position in one partition of the journal: a segment's index and the next section in it. */
export class FileLogCursor implements Cursor {
  readonly topic: string;
  readonly partition: number;
  readonly #reader: FileLogReader;
  readonly #slot: number;
  readonly #visibility: Visibility;
  #position: number;
  #index: SegmentIndex;
  /** Of the next section in `#index`; `size` when all of it was returned. */
  #section: number;

  /** @throws KAPPA_TOPIC_UNKNOWN; KAPPA_LOG_TRUNCATED when `from` is past the end or was removed */
  constructor(reader: FileLogReader, topic: string, partition: number, from: number, visibility: Visibility) {
    this.topic = topic;
    this.partition = partition;
    this.#reader = reader;
    this.#slot = reader.slotOf(topic, partition);
    this.#visibility = visibility;
    this.#position = from;
    if (from > reader.endOffset(this.#slot, "written")) throw reader.outOfRange(topic, partition, from);
    this.#index = this.#locate();
    this.#section = this.#index.partition(this.#slot)?.sectionOf(from) ?? 0;
  }

  get position(): bigint {
    return BigInt(this.#position);
  }

  get end(): bigint {
    return BigInt(this.#reader.endOffset(this.#slot, this.#visibility));
  }

  #locate(): SegmentIndex {
    const index = this.#reader.locate(this.#slot, this.#position);
    if (index === undefined) throw this.#reader.outOfRange(this.topic, this.partition, this.#position);
    return index;
  }

  next(): RecordBatch | undefined {
    const sections = this.#visible() ?? this.#advance();
    return sections === undefined ? undefined : this.#take(sections);
  }

  caughtUp(): boolean {
    return (this.#visible() ?? this.#advance()) === undefined;
  }

  /** What is visible is at hand: nothing has to arrive, it has to be appended. */
  arrival(timeoutMs: number): Promise<void> {
    return sleep(timeoutMs);
  }

  /** The sections of the segment, if the next one is known and visible. */
  #visible(): PartitionIndex | undefined {
    const sections = this.#index.partition(this.#slot);
    if (sections === undefined || this.#section >= sections.size) return undefined;
    const end = this.#reader.visibleEnd(this.#index.segment, this.#visibility);
    return at(sections.frameEnds, this.#section) <= end ? sections : undefined;
  }

  /** Takes in what is new, and goes to the next segment with records of the partition when this one is used up. */
  #advance(): PartitionIndex | undefined {
    this.#reader.refresh();
    const here = this.#visible();
    if (here !== undefined || !this.#index.sealed) return here;
    if (this.#section < (this.#index.partition(this.#slot)?.size ?? 0)) return undefined;
    this.#index = this.#locate();
    this.#section = this.#index.partition(this.#slot)?.sectionOf(this.#position) ?? 0;
    return this.#visible();
  }

  #take(sections: PartitionIndex): RecordBatch {
    const i = this.#section;
    const window = this.#reader.window(this.#index, at(sections.frameStarts, i), at(sections.frameEnds, i));
    if (window === undefined) throw this.#reader.outOfRange(this.topic, this.partition, this.#position);
    const start = at(sections.positions, i) - window.start;
    const whole = window.bytes.subarray(start, start + at(sections.lengths, i));
    const skipped = this.#position - at(sections.baseOffsets, i);
    const batch = {
      topic: this.topic,
      partition: this.partition,
      baseOffset: BigInt(this.#position),
      count: at(sections.counts, i) - skipped,
      bytes: skipped === 0 ? whole : skipRecords(whole, skipped),
    };
    this.#position = sections.endOffset(i);
    this.#section++;
    return batch;
  }

  close(): void {}
}

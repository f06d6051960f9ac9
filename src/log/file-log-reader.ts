import { assert } from "../core/assert.ts";
import { type ByteWindow, corrupt, type FrameVisitor, SegmentBytes } from "./file-log-bytes.ts";
import { type EndsSource, type JournalEnds, noEnds } from "./file-log-ends.ts";
import { frameKind, kindOf, noteOf } from "./file-log-frame.ts";
import { at, firstIndex, SegmentIndex } from "./file-log-index.ts";
import { eachHead, readSidecar, segmentPath } from "./file-log-segment.ts";
import { addSnapshot, addTopic, type TopicNote, TopicTable } from "./file-log-topics.ts";
import type { FileSystem } from "./file-system.ts";
import type { Topic, Visibility } from "./log.ts";
import { outOfRange, recordAtOrAfter } from "./offset-range.ts";
import { unknownTopic } from "./topic.ts";

/** Indexes of sealed segments that are kept. A cursor holds on to its own besides. */
const sealedIndexesMax = 8;

/**
 * The reading side of the journal, for any thread and any process. It follows the newest segment frame by frame as its
 * end moves, and loads the indexes of older segments when a cursor comes by.
 */
export class FileLogReader {
  readonly topics = new TopicTable();
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #bytes: SegmentBytes;
  readonly #source: EndsSource;
  readonly #ends: JournalEnds = noEnds();
  /** The index of the segment that is being written. */
  #active: SegmentIndex | undefined;
  /** Least recently used first. */
  readonly #sealed = new Map<number, SegmentIndex>();
  /** The next offsets at the start of a segment, as its snapshot has them: small, and never dropped. */
  readonly #nextOffsets = new Map<number, readonly number[]>();

  /** @param recycles as of `SegmentBytes` */
  constructor(fileSystem: FileSystem, directory: string, source: EndsSource, recycles: boolean) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#bytes = new SegmentBytes(fileSystem, directory, recycles);
    this.#source = source;
    this.refresh();
  }

  /** Takes in what was written since the last call. Cheap when nothing was. */
  refresh(): void {
    const ends = this.#ends;
    this.#source.read(ends);
    if (ends.writtenSegment === 0) return;
    let active = this.#active;
    if (active?.segment !== ends.writtenSegment) {
      if (active !== undefined) this.#seal(active);
      const nextOffsets = this.#nextOffsetsOf(ends.writtenSegment);
      assert(nextOffsets !== undefined, () => `segment ${ends.writtenSegment} is written and not there`);
      active = new SegmentIndex(ends.writtenSegment, nextOffsets);
      this.#active = active;
    }
    if (active.end < ends.writtenPosition) this.#follow(active, ends.writtenPosition);
  }

  /** Completes an index in place, since cursors hold it, now that its segment will not grow. */
  #seal(index: SegmentIndex): void {
    const length = this.#bytes.length(index.segment);
    if (length !== undefined && index.end < length) this.#follow(index, length);
    index.sealed = true;
    this.#keepSealed(index);
  }

  #keepSealed(index: SegmentIndex): void {
    this.#sealed.delete(index.segment);
    this.#sealed.set(index.segment, index);
    for (const oldest of this.#sealed.keys()) {
      if (this.#sealed.size <= sealedIndexesMax) break;
      this.#sealed.delete(oldest);
    }
  }

  #follow(index: SegmentIndex, end: number): void {
    const stopped = this.#bytes.scan(index.segment, index.end, end, false, new Indexing(index, this.topics));
    if (stopped !== end)
      throw corrupt(segmentPath(this.#directory, index.segment), stopped, "the CRC of a frame head differs");
  }

  #nextOffsetsOf(segment: number): readonly number[] | undefined {
    const known = this.#nextOffsets.get(segment);
    if (known !== undefined) return known;
    const snapshot = this.#bytes.snapshot(segment);
    if (snapshot === undefined) return undefined;
    addSnapshot(this.topics, snapshot);
    this.#nextOffsets.set(segment, snapshot.nextOffsets);
    return snapshot.nextOffsets;
  }

  /** The index of a segment; undefined when retention removed it. */
  #indexOf(segment: number): SegmentIndex | undefined {
    if (this.#active?.segment === segment) return this.#active;
    const known = this.#sealed.get(segment) ?? this.#load(segment);
    if (known !== undefined) this.#keepSealed(known);
    return known;
  }

  #load(segment: number): SegmentIndex | undefined {
    const nextOffsets = this.#nextOffsetsOf(segment);
    if (nextOffsets === undefined) return undefined;
    const index = new SegmentIndex(segment, nextOffsets);
    const sidecar = readSidecar(this.#fileSystem, this.#directory, segment);
    if (sidecar === undefined) {
      const length = this.#bytes.length(segment);
      if (length === undefined) return undefined;
      this.#follow(index, length);
    } else {
      eachHead(sidecar.heads, (head) => index.addFrame(sidecar.heads, head, this.topics));
    }
    index.sealed = true;
    return index;
  }

  topicNamed(name: string): Topic | undefined {
    const known = this.topics.byName(name);
    if (known !== undefined) return known;
    this.refresh();
    return this.topics.byName(name);
  }

  /** @throws KAPPA_TOPIC_UNKNOWN */
  slotOf(topic: string, partition: number): number {
    let slot = this.topics.slotOfPartition(topic, partition);
    if (slot < 0) {
      this.refresh();
      slot = this.topics.slotOfPartition(topic, partition);
    }
    if (slot < 0) throw unknownTopic(topic, partition, this.topics.byName(topic));
    return slot;
  }

  startOffset(slot: number): number {
    this.refresh();
    // Retention may remove the oldest segments while we look.
    for (let segment = this.#ends.oldestSegment; segment <= this.#ends.writtenSegment; segment++) {
      const nextOffsets = this.#nextOffsetsOf(segment);
      if (nextOffsets !== undefined) return nextOffsets[slot] ?? 0;
    }
    return 0;
  }

  endOffset(slot: number, visibility: Visibility): number {
    this.refresh();
    const { writtenSegment, writtenPosition, durableSegment, durablePosition } = this.#ends;
    return visibility === "written"
      ? (this.#indexOf(writtenSegment)?.endOffset(slot, writtenPosition) ?? 0)
      : (this.#indexOf(durableSegment)?.endOffset(slot, durablePosition) ?? 0);
  }

  /** Where visible frames end in a segment. */
  visibleEnd(segment: number, visibility: Visibility): number {
    const last = visibility === "written" ? this.#ends.writtenSegment : this.#ends.durableSegment;
    if (segment < last) return Number.POSITIVE_INFINITY;
    if (segment > last) return 0;
    return visibility === "written" ? this.#ends.writtenPosition : this.#ends.durablePosition;
  }

  /**
   * The segment that holds an offset, or will: the newest one that began at or before it.
   * @returns undefined when retention has removed the offset
   */
  locate(slot: number, offset: number): SegmentIndex | undefined {
    const { oldestSegment, writtenSegment } = this.#ends;
    const after = firstIndex(writtenSegment - oldestSegment + 1, (i) => {
      const nextOffsets = this.#nextOffsetsOf(oldestSegment + i);
      return nextOffsets !== undefined && (nextOffsets[slot] ?? 0) > offset;
    });
    return after === 0 ? undefined : this.#indexOf(oldestSegment + after - 1);
  }

  /** The window with section i of a slot in it, checked; undefined when retention has removed the segment. */
  window(index: SegmentIndex, frameStart: number, frameEnd: number): ByteWindow | undefined {
    return this.#bytes.frame(index.segment, frameStart, frameEnd, index.end);
  }

  offsetForTime(topic: string, partition: number, timeMs: number): number {
    const slot = this.slotOf(topic, partition);
    this.refresh();
    for (let segment = this.#ends.oldestSegment; segment <= this.#ends.durableSegment; segment++) {
      const index = this.#indexOf(segment);
      const sections = index?.partition(slot);
      if (index === undefined || sections === undefined) continue;
      const visible = sections.countUntil(this.visibleEnd(segment, "durable"));
      for (let i = 0; i < visible; i++) {
        if (at(sections.maxTimes, i) < timeMs) continue;
        const window = this.window(index, at(sections.frameStarts, i), at(sections.frameEnds, i));
        if (window === undefined) break;
        const start = at(sections.positions, i) - window.start;
        const bytes = window.bytes.subarray(start, start + at(sections.lengths, i));
        return at(sections.baseOffsets, i) + recordAtOrAfter(bytes, timeMs);
      }
    }
    return this.endOffset(slot, "durable");
  }

  /** The error for an offset of a slot that is not held. */
  outOfRange(topic: string, partition: number, offset: number): Error {
    const slot = this.slotOf(topic, partition);
    const [start, end] = [this.startOffset(slot), this.endOffset(slot, "written")];
    return outOfRange(topic, partition, BigInt(offset), BigInt(start), BigInt(end));
  }

  close(): void {
    this.#bytes.close();
  }
}

/** Adds the frames of a scan to an index, and the topics among them to the table. */
class Indexing implements FrameVisitor {
  readonly #index: SegmentIndex;
  readonly #topics: TopicTable;

  constructor(index: SegmentIndex, topics: TopicTable) {
    this.#index = index;
    this.#topics = topics;
  }

  frame(buffer: Buffer, at: number): void {
    if (kindOf(buffer, at) === frameKind.topic) addTopic(this.#topics, noteOf(buffer, at) as TopicNote);
    this.#index.addFrame(buffer, at, this.#topics);
  }
}

import { assert } from "../core/assert.ts";
import { frameLength, headLength, positionOf, sectionCountOf, sectionLength } from "./file-log-frame.ts";
import type { TopicTable } from "./file-log-topics.ts";

/**
 * The sections of one partition in one segment, as columns in offset order: 44 bytes a section.
 * Section i holds the records [baseOffsets[i], baseOffsets[i] + counts[i]).
 */
export class PartitionIndex {
  size = 0;
  baseOffsets = new Float64Array(8);
  minTimes = new Float64Array(8);
  maxTimes = new Float64Array(8);
  counts = new Uint32Array(8);
  /** Where the bytes of the section begin in the segment. */
  positions = new Uint32Array(8);
  lengths = new Uint32Array(8);
  /** The frame around the section: a section is visible when its whole frame is. */
  frameStarts = new Uint32Array(8);
  frameEnds = new Uint32Array(8);

  /** Takes the section whose directory entry is at `entry` of `buffer`, in a frame whose body is at `bodyAt`. */
  add(buffer: Buffer, entry: number, frameStart: number, bodyAt: number, frameEnd: number): void {
    if (this.size === this.counts.length) this.#grow();
    const i = this.size++;
    this.baseOffsets[i] = buffer.readDoubleLE(entry + 8);
    this.counts[i] = buffer.readUInt32LE(entry + 16);
    this.positions[i] = bodyAt + buffer.readUInt32LE(entry + 20);
    this.lengths[i] = buffer.readUInt32LE(entry + 24);
    this.minTimes[i] = buffer.readDoubleLE(entry + 32);
    this.maxTimes[i] = buffer.readDoubleLE(entry + 40);
    this.frameStarts[i] = frameStart;
    this.frameEnds[i] = frameEnd;
  }

  #grow(): void {
    const capacity = this.counts.length * 2;
    this.baseOffsets = doubled(this.baseOffsets, new Float64Array(capacity));
    this.minTimes = doubled(this.minTimes, new Float64Array(capacity));
    this.maxTimes = doubled(this.maxTimes, new Float64Array(capacity));
    this.counts = doubled(this.counts, new Uint32Array(capacity));
    this.positions = doubled(this.positions, new Uint32Array(capacity));
    this.lengths = doubled(this.lengths, new Uint32Array(capacity));
    this.frameStarts = doubled(this.frameStarts, new Uint32Array(capacity));
    this.frameEnds = doubled(this.frameEnds, new Uint32Array(capacity));
  }

  /** One past the last offset of section i. */
  endOffset(i: number): number {
    return at(this.baseOffsets, i) + at(this.counts, i);
  }

  /** How many sections lie in frames that end at or before `position`. */
  countUntil(position: number): number {
    return firstIndex(this.size, (i) => at(this.frameEnds, i) > position);
  }

  /** The section that holds `offset`, or `size` when that is still to come. */
  sectionOf(offset: number): number {
    return firstIndex(this.size, (i) => this.endOffset(i) > offset);
  }
}

function doubled<Column extends Float64Array | Uint32Array>(from: Column, into: Column): Column {
  into.set(from);
  return into;
}

/** Element of a column that is known to be there. */
export function at(column: Float64Array | Uint32Array, i: number): number {
  const value = column[i];
  assert(value !== undefined, () => `index ${i} of a column of ${column.length}`);
  return value;
}

/** The first index below `size` for which a monotone condition holds, or `size`. */
export function firstIndex(size: number, holds: (i: number) => boolean): number {
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Where every partition's sections are in one segment. */
export class SegmentIndex {
  readonly segment: number;
  /** The next offset of every slot when the segment began; a slot beyond it was created later and began at 0. */
  readonly nextOffsets: readonly number[];
  /** By slot. */
  readonly #partitions: (PartitionIndex | undefined)[] = [];
  /** One past the last frame that is indexed. */
  end = 0;
  /** Whether nothing will be added: a newer segment exists. */
  sealed = false;

  constructor(segment: number, nextOffsets: readonly number[]) {
    this.segment = segment;
    this.nextOffsets = nextOffsets;
  }

  partition(slot: number): PartitionIndex | undefined {
    return this.#partitions[slot];
  }

  /** The offset at which a slot stood when the segment began. */
  startOffset(slot: number): number {
    return this.nextOffsets[slot] ?? 0;
  }

  /** The offset at which a slot stands behind the frames that end at or before `position`. */
  endOffset(slot: number, position: number): number {
    const partition = this.#partitions[slot];
    const count = partition?.countUntil(position) ?? 0;
    return partition === undefined || count === 0 ? this.startOffset(slot) : partition.endOffset(count - 1);
  }

  /** Takes the sections of the frame whose head and directory stand at `at` in `buffer`. */
  addFrame(buffer: Buffer, at: number, topics: TopicTable): void {
    const frameStart = positionOf(buffer, at);
    const sections = sectionCountOf(buffer, at);
    const bodyAt = frameStart + headLength + sections * sectionLength;
    const frameEnd = frameStart + frameLength(buffer, at);
    for (let i = 0; i < sections; i++) {
      const entry = at + headLength + i * sectionLength;
      const slot = topics.slotOf(buffer.readUInt32LE(entry), buffer.readUInt32LE(entry + 4));
      assert(slot >= 0, () => `segment ${this.segment} names a topic that the table does not have`);
      let partition = this.#partitions[slot];
      if (partition === undefined) {
        partition = new PartitionIndex();
        this.#partitions[slot] = partition;
      }
      partition.add(buffer, entry, frameStart, bodyAt, frameEnd);
    }
    this.end = frameEnd;
  }
}

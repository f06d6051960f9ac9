import type { JournalEnds } from "./file-log-ends.ts";
import { appendTimeOf, headLength, sectionCountOf, sectionLength } from "./file-log-frame.ts";
import { eachHead } from "./file-log-segment.ts";
import type { TopicTable } from "./file-log-topics.ts";

/** What a sealed segment holds of one topic. */
interface HeldOfTopic {
  bytes: number;
  lastAppendMs: number;
  /** Partition -> one past its last offset in the segment. */
  readonly endOffsets: Map<number, number>;
}

/** What a sealed segment holds, by topic id. */
export type SegmentContent = ReadonlyMap<number, HeldOfTopic>;

/** Sums up a sealed segment from its heads. */
export function contentOf(heads: Buffer): SegmentContent {
  const content = new Map<number, HeldOfTopic>();
  eachHead(heads, (head) => {
    const appendTimeMs = appendTimeOf(heads, head);
    const sections = sectionCountOf(heads, head);
    for (let i = 0; i < sections; i++) {
      const at = head + headLength + i * sectionLength;
      const topicId = heads.readUInt32LE(at);
      let held = content.get(topicId);
      if (held === undefined) {
        held = { bytes: 0, lastAppendMs: appendTimeMs, endOffsets: new Map() };
        content.set(topicId, held);
      }
      held.bytes += heads.readUInt32LE(at + 24);
      held.lastAppendMs = appendTimeMs;
      held.endOffsets.set(heads.readUInt32LE(at + 4), heads.readDoubleLE(at + 8) + heads.readUInt32LE(at + 16));
    }
  });
  return content;
}

/**
 * Decides which sealed segments may go: the oldest ones, as long as nothing in them is wanted. A section is wanted no
 * more when its topic's `retentionMs` has passed since it was appended, when `retentionBytes` of the topic are held in
 * later segments, or when its owner trimmed beyond it. One journal holds all topics, so one topic that is kept for ever
 * keeps the segments it is in.
 */
export class Retention {
  readonly #topics: TopicTable;
  readonly #contentOf: (segment: number) => SegmentContent | undefined;
  readonly #contents = new Map<number, SegmentContent>();
  /** Topic id -> partition -> offset below which nothing is needed. */
  readonly #trimmed = new Map<number, Map<number, number>>();

  /** @param contentOf reads what a sealed segment holds; undefined when that cannot be told, which keeps it */
  constructor(topics: TopicTable, contentOf: (segment: number) => SegmentContent | undefined) {
    this.#topics = topics;
    this.#contentOf = contentOf;
  }

  trimTo(topicId: number, partition: number, offset: number): void {
    let partitions = this.#trimmed.get(topicId);
    if (partitions === undefined) {
      partitions = new Map();
      this.#trimmed.set(topicId, partitions);
    }
    partitions.set(partition, Math.max(offset, partitions.get(partition) ?? 0));
  }

  /** How many of the oldest segments may be removed at `nowMs`. The newest is never among them. */
  expired({ oldestSegment, durableSegment }: JournalEnds, nowMs: number): number {
    const mayExpire = this.#topics.topics.some((topic) => topic.retentionMs >= 0 || topic.retentionBytes >= 0);
    if (!mayExpire && this.#trimmed.size === 0) return 0;
    let count = 0;
    for (let segment = oldestSegment; segment < durableSegment; segment++) {
      const content = this.#content(segment);
      if (content === undefined) return count;
      for (const [topicId, held] of content)
        if (!this.#expiredOfTopic(topicId, held, segment, durableSegment, nowMs)) return count;
      count++;
    }
    return count;
  }

  /** Forgets a segment that was removed. */
  removed(segment: number): void {
    this.#contents.delete(segment);
  }

  #content(segment: number): SegmentContent | undefined {
    const known = this.#contents.get(segment);
    if (known !== undefined) return known;
    const content = this.#contentOf(segment);
    if (content !== undefined) this.#contents.set(segment, content);
    return content;
  }

  #expiredOfTopic(topicId: number, held: HeldOfTopic, segment: number, durableSegment: number, nowMs: number): boolean {
    const topic = this.#topics.topics[topicId];
    if (topic === undefined) return false;
    if (topic.retentionMs >= 0 && held.lastAppendMs + topic.retentionMs <= nowMs) return true;
    const trimmed = this.#trimmed.get(topicId);
    if (trimmed !== undefined) {
      let needed = false;
      for (const [partition, end] of held.endOffsets) needed ||= (trimmed.get(partition) ?? 0) < end;
      if (!needed) return true;
    }
    if (topic.retentionBytes < 0) return false;
    let later = 0;
    for (let next = segment + 1; next < durableSegment && later < topic.retentionBytes; next++)
      later += this.#content(next)?.get(topicId)?.bytes ?? 0;
    return later >= topic.retentionBytes;
  }
}

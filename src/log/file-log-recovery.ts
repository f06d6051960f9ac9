import { join } from "node:path";
import { corrupt, type FrameVisitor, SegmentBytes } from "./file-log-bytes.ts";
import { type DurableEnd, readDurableEnd } from "./file-log-durable-end.ts";
import { durableEndOf, frameKind, headLength, kindOf, magicBytes, noteOf, sequenceOf } from "./file-log-frame.ts";
import { SegmentIndex } from "./file-log-index.ts";
import { HeadCollector, listSegments, segmentPath, sidecarPath, writeSidecar } from "./file-log-segment.ts";
import { addSnapshot, addTopic, type TopicNote, TopicTable } from "./file-log-topics.ts";
import type { FileSystem } from "./file-system.ts";

/** The journal as it stands after recovery: whole, durable, ready to go on. */
export interface RecoveredJournal {
  readonly topics: TopicTable;
  /** The next offset of every slot. */
  readonly nextOffsets: number[];
  readonly oldestSegment: number;
  readonly segment: number;
  /** Where the next frame goes. */
  readonly position: number;
  /** Of the next frame. */
  readonly sequence: number;
  /** Heads and directories of the newest segment. */
  readonly heads: HeadCollector;
  /** Bytes of a torn tail that were cut off. */
  readonly truncatedBytes: number;
}

/**
 * Reads the newest segment of a journal that nobody owns, cuts off a torn tail and makes the rest durable. Older
 * segments were fsynced before the newest came to be; readers check them frame by frame.
 *
 * A damaged frame ends the journal if it may be the remains of a write that was never fsynced. It is corruption if it
 * was durable once. Two witnesses know: the `durable` file, and every later frame, which says how far the segment was
 * durable when it was written. (That a later frame is whole proves nothing alone: of two frames in one unfinished
 * write, a power cut may keep the second.)
 *
 * @returns undefined when there is no journal
 * @throws KAPPA_LOG_CORRUPT
 */
export async function recoverJournal(fileSystem: FileSystem, directory: string): Promise<RecoveredJournal | undefined> {
  for (const name of fileSystem.list(directory))
    if (name.endsWith(".tmp")) await fileSystem.remove(join(directory, name));
  const segments = listSegments(fileSystem, directory);
  const durable = readDurableEnd(fileSystem, directory);
  const [oldestSegment, newest] = [segments[0], segments.at(-1)];
  if (newest === undefined || oldestSegment === undefined) {
    if (durable === undefined) return undefined;
    throw corrupt(segmentPath(directory, durable.segment), 0, "the segment is missing");
  }
  checkContiguous(directory, segments, durable);
  const bytes = new SegmentBytes(fileSystem, directory, false);
  try {
    const names = new Set(fileSystem.list(directory).map((name) => join(directory, name)));
    for (const sealed of segments.slice(0, -1))
      if (!names.has(sidecarPath(directory, sealed))) await restoreSidecar(fileSystem, directory, bytes, sealed);
    return await recoverNewest(fileSystem, directory, bytes, oldestSegment, newest, durable);
  } finally {
    bytes.close();
  }
}

function checkContiguous(directory: string, segments: readonly number[], durable: DurableEnd | undefined): void {
  const first = segments[0] ?? 0;
  const missing = segments.findIndex((segment, i) => segment !== first + i);
  if (missing >= 0) throw corrupt(segmentPath(directory, first + missing), 0, "the segment is missing");
  const newest = first + segments.length - 1;
  if (durable !== undefined && durable.segment > newest)
    throw corrupt(segmentPath(directory, durable.segment), 0, "the segment is missing");
}

/** A crash right after a rotation leaves the segment before without a sidecar. */
async function restoreSidecar(
  fileSystem: FileSystem,
  directory: string,
  bytes: SegmentBytes,
  segment: number,
): Promise<void> {
  const length = bytes.length(segment) ?? 0;
  const heads = new HeadCollector();
  const stopped = bytes.scan(segment, 0, length, false, { frame: (buffer, at) => heads.add(buffer, at) });
  if (stopped !== length) throw corrupt(segmentPath(directory, segment), stopped, "a frame of a sealed segment");
  await writeSidecar(fileSystem, directory, segment, length, heads.bytes);
}

async function recoverNewest(
  fileSystem: FileSystem,
  directory: string,
  bytes: SegmentBytes,
  oldestSegment: number,
  segment: number,
  durable: DurableEnd | undefined,
): Promise<RecoveredJournal> {
  const path = segmentPath(directory, segment);
  const length = bytes.length(segment) ?? 0;
  // A segment gets its name after its snapshot is durable.
  const snapshot = bytes.snapshot(segment);
  if (snapshot === undefined) throw corrupt(path, 0, "the segment is missing");
  const replay = new Replay(segment, snapshot.nextOffsets);
  addSnapshot(replay.topics, snapshot);
  const position = bytes.scan(segment, 0, length, true, replay);
  const durableEnd = Math.max(
    durable?.segment === segment ? durable.position : 0,
    position < length ? durableEndSeenBehind(bytes, segment, position, length) : 0,
  );
  if (durableEnd > position)
    throw corrupt(path, position, `a frame that was durable, up to byte ${durableEnd}, is not whole`);
  const file = await fileSystem.openForWriting(path);
  try {
    if (position < length) await file.truncate(position);
    await file.datasync();
  } finally {
    await file.close();
  }
  return {
    topics: replay.topics,
    nextOffsets: replay.nextOffsets(position),
    oldestSegment,
    segment,
    position,
    sequence: replay.sequence + 1,
    heads: replay.heads,
    truncatedBytes: length - position,
  };
}

/** The furthest durable end that any sound head behind a damaged frame tells of. */
function durableEndSeenBehind(bytes: SegmentBytes, segment: number, damaged: number, length: number): number {
  let furthest = 0;
  for (let position = damaged + 1; position + headLength <= length; position++) {
    const window = bytes.window(segment, position, position + headLength, length);
    if (window === undefined) break;
    const found = window.bytes.indexOf(magicBytes, position - window.start);
    if (found < 0) {
      // The magic may begin in the last bytes of the window: the next one starts with them.
      position = Math.max(position, window.start + window.bytes.length - magicBytes.length);
      continue;
    }
    position = window.start + found;
    const head = bytes.head(segment, position, length);
    if (head !== undefined) furthest = Math.max(furthest, durableEndOf(head.bytes, position - head.start));
  }
  return furthest;
}

/** Takes in the frames of the newest segment. */
class Replay implements FrameVisitor {
  readonly topics = new TopicTable();
  readonly heads = new HeadCollector();
  readonly #index: SegmentIndex;
  sequence = 0;

  constructor(segment: number, nextOffsets: readonly number[]) {
    this.#index = new SegmentIndex(segment, nextOffsets);
  }

  frame(buffer: Buffer, at: number): void {
    if (kindOf(buffer, at) === frameKind.topic) addTopic(this.topics, noteOf(buffer, at) as TopicNote);
    this.#index.addFrame(buffer, at, this.topics);
    this.heads.add(buffer, at);
    this.sequence = sequenceOf(buffer, at);
  }

  nextOffsets(position: number): number[] {
    return Array.from({ length: this.topics.slotCount }, (_, slot) => this.#index.endOffset(slot, position));
  }
}

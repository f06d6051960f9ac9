import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import {
  bodyStands,
  frameKind,
  frameLength,
  headAndDirectoryLength,
  headLength,
  headStandsAt,
  kindOf,
  noteOf,
} from "./file-log-frame.ts";
import { segmentPath } from "./file-log-segment.ts";
import type { SnapshotNote } from "./file-log-topics.ts";
import type { FileSystem, ReadableFile } from "./file-system.ts";

/** Bytes read at once. Frames are read whole, so a window around a larger frame is as large as the frame. */
const windowBytes = 256 * 1024;
/** Bytes of windows that are kept, the newest always: 16 of them, and every look goes through them. */
const keptBytesMax = 4 * 1024 * 1024;
/** Segments whose files stay open. */
const openFilesMax = 16;

/** A run of bytes of one segment, read once and never changed: slices of it may be handed out. */
export interface ByteWindow {
  readonly segment: number;
  readonly start: number;
  readonly memory: Buffer;
  /** What of its memory was read so far: more may follow, so that the end of a log is not read again and again. */
  bytes: Buffer;
  /** Starts of the frames within whose CRCs were checked. */
  readonly checked: Set<number>;
}

/**
 * Reads segments of a journal through a small set of windows, so that cursors which follow each other closely share one
 * read. Every frame is checked against its CRCs once per window before any of it is handed out.
 */
export class SegmentBytes {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  /** In the order of opening, which is the order of closing. */
  readonly #files = new Map<number, ReadableFile>();
  readonly #recycles: boolean;
  #windows: ByteWindow[] = [];
  #keptBytes = 0;
  /** Memory of a window that was let go. */
  #spare: Buffer | undefined;

  /** @param recycles whether the memory of windows is used again: slices of one then hold only until the next is made */
  constructor(fileSystem: FileSystem, directory: string, recycles: boolean) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#recycles = recycles;
  }

  /** undefined when retention removed the segment. */
  #file(segment: number): ReadableFile | undefined {
    const open = this.#files.get(segment);
    if (open !== undefined) return open;
    const file = this.#fileSystem.openForReading(segmentPath(this.#directory, segment));
    if (file === undefined) return undefined;
    this.#files.set(segment, file);
    for (const [oldest, oldestFile] of this.#files) {
      if (this.#files.size <= openFilesMax) break;
      oldestFile.close();
      this.#files.delete(oldest);
    }
    return file;
  }

  /** Length of a segment; undefined when retention removed it. */
  length(segment: number): number | undefined {
    return this.#file(segment)?.size();
  }

  /**
   * The window that holds at least [start, end), read up to `limit` while it is cheap. `limit` is where written bytes
   * end: what is beyond may change and is never read. undefined when retention removed the segment.
   */
  window(segment: number, start: number, end: number, limit: number): ByteWindow | undefined {
    assert(end <= limit, () => `bytes ${start} to ${end} of segment ${segment} are wanted, ${limit} are written`);
    for (let i = this.#windows.length - 1; i >= 0; i--) {
      const kept = this.#windows[i];
      if (kept?.segment === segment && kept.start <= start && end <= kept.start + kept.bytes.length) return kept;
    }
    const file = this.#file(segment);
    if (file === undefined) return undefined;
    const last = this.#windows.at(-1);
    if (last?.segment === segment && last.start <= start && end <= last.start + last.memory.length) {
      this.#fill(last, file, end, limit);
      return last;
    }
    const memory = this.#memoryOf(Math.max(end - start, windowBytes));
    const window = { segment, start, memory, bytes: memory.subarray(0, 0), checked: new Set<number>() };
    this.#fill(window, file, end, limit);
    this.#keep(window);
    return window;
  }

  /** Reads on where the window ends, as far as its memory goes. */
  #fill(window: ByteWindow, file: ReadableFile, end: number, limit: number): void {
    const { segment, start, memory, bytes } = window;
    const readEnd = Math.min(limit, start + memory.length);
    const length = bytes.length + file.read(memory.subarray(bytes.length, readEnd - start), start + bytes.length);
    if (length < end - start)
      throw this.#corrupt(segment, start, `the file ends at ${start + length}, ${end} bytes are durable`);
    window.bytes = memory.subarray(0, length);
  }

  #memoryOf(length: number): Buffer {
    const spare = this.#spare;
    if (spare?.length !== length) return Buffer.allocUnsafeSlow(length);
    this.#spare = undefined;
    return spare;
  }

  #keep(window: ByteWindow): void {
    this.#windows.push(window);
    this.#keptBytes += window.memory.length;
    while (this.#keptBytes > keptBytesMax && this.#windows.length > 1) {
      const { memory } = this.#windows.shift() as ByteWindow;
      this.#keptBytes -= memory.length;
      if (this.#recycles && memory.length === windowBytes) this.#spare = memory;
    }
  }

  /** The window with the frame [start, end), checked whole. undefined when retention removed the segment. */
  frame(segment: number, start: number, end: number, limit: number): ByteWindow | undefined {
    const window = this.window(segment, start, end, limit);
    if (window === undefined || window.checked.has(start)) return window;
    const at = start - window.start;
    if (!headStandsAt(window.bytes, at, segment, start) || !bodyStands(window.bytes, at))
      throw this.#corrupt(segment, start, "the CRC of its frame differs");
    window.checked.add(start);
    return window;
  }

  /** The snapshot that begins a segment. undefined when retention removed the segment. */
  snapshot(segment: number): SnapshotNote | undefined {
    const limit = this.length(segment);
    if (limit === undefined) return undefined;
    const head = limit < headLength ? undefined : this.window(segment, 0, headLength, limit);
    const end = head === undefined ? limit + 1 : frameLength(head.bytes, 0);
    if (end > limit) throw this.#corrupt(segment, 0, `it has ${limit} bytes, its snapshot frame should have ${end}`);
    const window = this.frame(segment, 0, end, limit);
    if (window === undefined) return undefined;
    if (kindOf(window.bytes, 0) !== frameKind.snapshot) throw this.#corrupt(segment, 0, "it begins without a snapshot");
    return noteOf(window.bytes, 0) as SnapshotNote;
  }

  /** A window with a sound head and directory at `position`, if there is one. */
  head(segment: number, position: number, limit: number): ByteWindow | undefined {
    if (position + headLength > limit) return undefined;
    const first = this.window(segment, position, position + headLength, limit);
    if (first === undefined) return undefined;
    const end = position + headAndDirectoryLength(first.bytes, position - first.start);
    const window = end > limit ? undefined : this.window(segment, position, end, limit);
    if (window === undefined) return undefined;
    return headStandsAt(window.bytes, position - window.start, segment, position) ? window : undefined;
  }

  /**
   * Visits the frames of [from, end) in order. Heads are checked, and bodies too with `bodies`; the body of a frame is
   * in the buffer that is visited when it is small, or with `bodies`.
   *
   * @returns where it stopped: `end`, or the start of a frame that is not whole and sound
   */
  scan(segment: number, from: number, end: number, bodies: boolean, visit: FrameVisitor): number {
    let position = from;
    while (end - position >= headLength) {
      let window = this.window(segment, position, position + headLength, end);
      if (window === undefined) return position;
      let at = position - window.start;
      // A directory or a body that leaves the window is read again from the start of its frame, as far as it must be.
      let needed = position + headAndDirectoryLength(window.bytes, at);
      const whole = position + frameLength(window.bytes, at);
      if (whole > end) return position;
      if (bodies || whole - position <= windowBytes) needed = whole;
      window = this.window(segment, position, needed, end);
      if (window === undefined) return position;
      at = position - window.start;
      if (!headStandsAt(window.bytes, at, segment, position)) return position;
      if (bodies && !bodyStands(window.bytes, at)) return position;
      visit.frame(window.bytes, at);
      position = whole;
    }
    return position;
  }

  #corrupt(segment: number, position: number, what: string): KappaError {
    return corrupt(segmentPath(this.#directory, segment), position, what);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
    this.#windows = [];
  }
}

export interface FrameVisitor {
  /** A frame whose head stands at `at` in `buffer`. */
  frame(buffer: Buffer, at: number): void;
}

/** The error for bytes that were whole once and are not now. */
export function corrupt(path: string, position: number, what: string): KappaError {
  return new KappaError(
    "KAPPA_LOG_CORRUPT",
    `${path} is damaged at byte ${position}: ${what}; restore the file from a copy, or start with an empty directory`,
    { path, position },
  );
}

import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { EndsSource, JournalEnds } from "./file-log-ends.ts";
import type { FileSystem, ReadableFile, WritableFile } from "./file-system.ts";

/**
 * How far the journal is durable, as other processes learn it: the file `durable` of 24 bytes, overwritten in place
 * after fsyncs and never fsynced itself.
 *
 *     | magic u32 | crc u32 of what follows | oldestSegment u32 | segment u32 | position u32 | pid u32 |
 *
 * A lost or older content says less than is true, which is safe; a torn one fails its CRC. What it does say was fsynced:
 * recovery takes it as evidence that a frame which is damaged now was whole once.
 */
const fileName = "durable";
const fileLength = 24;
/** "KPFD" as a little-endian u32. */
const magic = 0x4446504b;

export interface DurableEnd {
  readonly oldestSegment: number;
  readonly segment: number;
  readonly position: number;
  /** The process that owned the journal when this was written. */
  readonly pid: number;
}

/** Writes the durable end at most once in `gapMs`, with the newest value, whenever it moved. */
export class DurableEndPublisher {
  readonly #file: WritableFile;
  readonly #pid: number;
  readonly #gapMs: number;
  #next: JournalEnds | undefined;
  #publishing: Promise<void> | undefined;
  #closed = false;

  static async open(fileSystem: FileSystem, directory: string, pid: number, gapMs = 2): Promise<DurableEndPublisher> {
    const path = join(directory, fileName);
    // Opened without emptying it: until the first publication the old content is still true.
    const file = fileSystem.list(directory).includes(fileName)
      ? await fileSystem.openForWriting(path)
      : await fileSystem.create(path);
    return new DurableEndPublisher(file, pid, gapMs);
  }

  private constructor(file: WritableFile, pid: number, gapMs: number) {
    this.#file = file;
    this.#pid = pid;
    this.#gapMs = gapMs;
  }

  /** Says that `ends` are durable. The object is read when it is written, so it may move on until then. */
  publish(ends: JournalEnds): void {
    this.#next = ends;
    this.#publishing ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      for (let ends = this.#next; ends !== undefined; ends = this.#next) {
        this.#next = undefined;
        await this.#file.write([encode(ends, this.#pid)], 0);
        if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, this.#gapMs));
      }
    } catch {
      // Readers in other processes fall behind; the journal itself is not touched by this file.
    } finally {
      this.#publishing = undefined;
    }
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#publishing;
    await this.#file.close();
  }
}

function encode(ends: JournalEnds, pid: number): Buffer {
  const bytes = Buffer.alloc(fileLength);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(ends.oldestSegment, 8);
  bytes.writeUInt32LE(ends.durableSegment, 12);
  bytes.writeUInt32LE(ends.durablePosition, 16);
  bytes.writeUInt32LE(pid, 20);
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

function decode(bytes: Buffer): DurableEnd | undefined {
  if (bytes.readUInt32LE(0) !== magic || bytes.readUInt32LE(4) !== crc32(bytes.subarray(8))) return undefined;
  return {
    oldestSegment: bytes.readUInt32LE(8),
    segment: bytes.readUInt32LE(12),
    position: bytes.readUInt32LE(16),
    pid: bytes.readUInt32LE(20),
  };
}

/** @returns undefined when the file is missing, or torn by a power cut or by a write that is under way */
export function readDurableEnd(fileSystem: FileSystem, directory: string): DurableEnd | undefined {
  const file = fileSystem.openForReading(join(directory, fileName));
  if (file === undefined) return undefined;
  try {
    return readFrom(file);
  } finally {
    file.close();
  }
}

function readFrom(file: ReadableFile): DurableEnd | undefined {
  const bytes = Buffer.alloc(fileLength);
  return file.read(bytes, 0) === fileLength ? decode(bytes) : undefined;
}

/** Between two looks at the file while a reader waits, in ms. */
const pollMs = 5;

/** The ends as a process sees them that does not own the journal: it polls the file. Written means durable here. */
export class PublishedEnds implements EndsSource {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  #file: ReadableFile | undefined;
  #last: DurableEnd | undefined;
  #seen: DurableEnd | undefined;
  #closed = false;

  constructor(fileSystem: FileSystem, directory: string) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#look();
    this.#seen = this.#last;
  }

  #look(): void {
    this.#file ??= this.#fileSystem.openForReading(join(this.#directory, fileName));
    const end = this.#file === undefined ? undefined : readFrom(this.#file);
    if (end !== undefined) this.#take(end);
  }

  /** Takes the ends that came with an answer of the owner: they are newer than the file. */
  heard(ends: JournalEnds): void {
    const { oldestSegment, durableSegment, durablePosition } = ends;
    this.#take({ oldestSegment, segment: durableSegment, position: durablePosition, pid: this.#last?.pid ?? 0 });
  }

  /** The ends never go back. */
  #take(end: DurableEnd): void {
    const last = this.#last;
    if (
      last === undefined ||
      end.segment > last.segment ||
      (end.segment === last.segment && end.position > last.position) ||
      end.oldestSegment > last.oldestSegment
    )
      this.#last = end;
  }

  read(into: JournalEnds): void {
    this.#look();
    const last = this.#last;
    if (last === undefined) return;
    into.oldestSegment = last.oldestSegment;
    into.writtenSegment = last.segment;
    into.writtenPosition = last.position;
    into.durableSegment = last.segment;
    into.durablePosition = last.position;
  }

  async changed(timeoutMs: number): Promise<void> {
    this.#look();
    for (let waitedMs = 0; this.#last === this.#seen && waitedMs < timeoutMs && !this.#closed; waitedMs += pollMs) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(pollMs, timeoutMs - waitedMs)));
      if (!this.#closed) this.#look();
    }
    this.#seen = this.#last;
  }

  close(): void {
    this.#closed = true;
    this.#file?.close();
  }
}

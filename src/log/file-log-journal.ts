import { channel } from "node:diagnostics_channel";
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Counter, Histogram, Meter } from "../core/meter.ts";
import type { JournalEnds } from "./file-log-ends.ts";
import {
  encodeNote,
  type FramePlace,
  frameKind,
  headLength,
  placeFrame,
  sectionCountOf,
  sectionLength,
} from "./file-log-frame.ts";
import type { RecoveredJournal } from "./file-log-recovery.ts";
import { HeadCollector, segmentPath, writeSidecar } from "./file-log-segment.ts";
import type { TopicTable } from "./file-log-topics.ts";
import type { FileSystem, WritableFile } from "./file-system.ts";
import type { Topic } from "./log.ts";

/** Bytes and frames of one write: what one pass of the event loop may spend on patching. */
const groupBytesMax = 8 * 1024 * 1024;
const groupFramesMax = 512;

/** Where tests and tools can watch the journal's steps; nothing is published while nobody listens. */
const steps = channel("kappa:journal");

/** A frame on its way into the journal. */
export interface PendingFrame {
  readonly bytes: Buffer;
  /** Who is told, with the token it gave. */
  readonly origin: FrameOrigin;
  readonly token: number;
  /** Filled in when the frame is placed. */
  readonly baseOffsets: number[];
}

/** Where frames come from. */
export interface FrameOrigin {
  /** A frame is durable, or lost. Outcomes may be collected until `flush`. */
  settled(frame: PendingFrame, error: KappaError | undefined): void;
  /** All frames of one fsync were told. */
  flush(): void;
}

export interface JournalOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly segmentBytes: number;
  /** Told whenever the ends moved. */
  readonly publish: (ends: JournalEnds, durableMoved: boolean) => void;
  /** Told when a segment is complete. */
  readonly sealed: (segment: number) => void;
}

/**
 * The writing side of the journal, in the thread that owns it. Two loops run beside each other:
 *
 *     queue --place, writev--> written --fdatasync--> durable, acknowledged
 *
 * Frames that arrive during a write go out together in the next; all that was written before an fdatasync began is
 * settled by it. So under load groups grow by themselves, and a lone frame waits for nothing.
 */
export class Journal {
  readonly topics: TopicTable;
  readonly ends: JournalEnds;
  readonly #options: JournalOptions;
  /** The next offset of every slot. */
  readonly #nextOffsets: number[];
  readonly #place: FramePlace;
  #file: WritableFile;
  #heads: HeadCollector;
  #queue: PendingFrame[] = [];
  #written: PendingFrame[] = [];
  #writing: Promise<void> | undefined;
  #syncing: Promise<void> | undefined;
  #sealing: Promise<void> = Promise.resolve();
  #failure: KappaError | undefined;
  #closed: KappaError | undefined;
  #submittedCount = 0;
  #settledCount = 0;
  /** Who waits for the first `count` frames to be settled, ascending. */
  readonly #waiters: { readonly count: number; readonly resolve: () => void }[] = [];
  /** Whether the segment holds nothing but its snapshot. */
  #fresh = false;
  readonly #syncSeconds: Histogram;
  readonly #appendedBytes: Counter;
  readonly #appendedFrames: Counter;

  constructor(recovered: RecoveredJournal, file: WritableFile, options: JournalOptions) {
    const { segment, position, sequence, oldestSegment } = recovered;
    this.topics = recovered.topics;
    this.ends = {
      oldestSegment,
      writtenSegment: segment,
      writtenPosition: position,
      durableSegment: segment,
      durablePosition: position,
    };
    this.#options = options;
    this.#nextOffsets = recovered.nextOffsets;
    this.#heads = recovered.heads;
    this.#place = { segment, position, durableEnd: position, sequence, appendTimeMs: 0 };
    this.#file = file;
    this.#syncSeconds = options.meter.histogram("kappa_log_sync_seconds");
    this.#appendedBytes = options.meter.counter("kappa_log_appended_bytes_total");
    this.#appendedFrames = options.meter.counter("kappa_log_appended_frames_total");
    options.publish(this.ends, true);
  }

  /** Why nothing more is taken, if so: a failure, or the end. */
  get failure(): KappaError | undefined {
    return this.#failure ?? this.#closed;
  }

  /** Queues a frame. Its directory must name known partitions (`checkDirectory`). */
  submit(frame: PendingFrame): void {
    const { failure } = this;
    if (failure !== undefined) {
      frame.origin.settled(frame, failure);
      frame.origin.flush();
      return;
    }
    this.#submittedCount++;
    this.#queue.push(frame);
    this.#writing ??= this.#writeQueued();
  }

  /** Adds a topic; the frame that says so is settled with its origin like any other. */
  addTopic(topic: Topic, origin: FrameOrigin, token: number): void {
    const id = this.topics.add(topic);
    for (let i = 0; i < topic.partitions; i++) this.#nextOffsets.push(0);
    this.submit({ bytes: encodeNote(frameKind.topic, { id, topic }), origin, token, baseOffsets: [] });
  }

  /** Resolves when everything submitted so far is settled: durable, or lost. */
  settled(): Promise<void> {
    if (this.#settledCount === this.#submittedCount) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ count: this.#submittedCount, resolve }));
  }

  #settle(frames: readonly PendingFrame[], error: KappaError | undefined): void {
    const origins = new Set<FrameOrigin>();
    for (const frame of frames) {
      frame.origin.settled(frame, error);
      origins.add(frame.origin);
    }
    for (const origin of origins) origin.flush();
    this.#settledCount += frames.length;
    const waiting = this.#waiters.findIndex((waiter) => waiter.count > this.#settledCount);
    for (const waiter of this.#waiters.splice(0, waiting < 0 ? this.#waiters.length : waiting)) waiter.resolve();
  }

  async #writeQueued(): Promise<void> {
    try {
      while (this.#queue.length > 0 && this.#failure === undefined) {
        const next = this.#queue[0];
        if (next !== undefined && !this.#fits(next)) await this.#rotate();
        else await this.#writeGroup();
      }
    } catch (error) {
      this.#fail(error, []);
    } finally {
      this.#writing = undefined;
    }
  }

  /** A segment takes any one frame behind its snapshot, however small it is set. */
  #fits(frame: PendingFrame): boolean {
    const { position } = this.#place;
    return position + frame.bytes.length <= this.#options.segmentBytes || this.#fresh;
  }

  async #writeGroup(): Promise<void> {
    const place = this.#place;
    const start = place.position;
    const group: PendingFrame[] = [];
    const buffers: Buffer[] = [];
    place.appendTimeMs = this.#options.clock.now();
    for (const frame of this.#queue) {
      if (group.length > 0 && (group.length === groupFramesMax || place.position - start >= groupBytesMax)) break;
      if (!this.#fits(frame)) break;
      this.#placeNext(frame);
      this.#fresh = false;
      group.push(frame);
      buffers.push(frame.bytes);
    }
    this.#queue = this.#queue.slice(group.length);
    this.#watched("write");
    try {
      await this.#file.write(buffers, start);
    } catch (error) {
      this.#fail(error, group);
      return;
    }
    if (this.#failure !== undefined) {
      this.#settle(group, this.#failure);
      return;
    }
    // Only now: an fdatasync that is running may have begun before the bytes were there.
    for (const frame of group) this.#written.push(frame);
    this.#appendedFrames.add(group.length);
    this.#appendedBytes.add(place.position - start);
    this.ends.writtenPosition = place.position;
    this.#options.publish(this.ends, false);
    this.#syncing ??= this.#syncWritten();
  }

  /** Gives a frame its offsets and its place. */
  #placeNext(frame: PendingFrame): void {
    const { bytes, baseOffsets } = frame;
    const sections = sectionCountOf(bytes, 0);
    for (let i = 0; i < sections; i++) {
      const at = headLength + i * sectionLength;
      const slot = this.topics.slotOf(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4));
      const offset = this.#nextOffsets[slot];
      assert(offset !== undefined, () => `slot ${slot} has no next offset`);
      bytes.writeDoubleLE(offset, at + 8);
      this.#nextOffsets[slot] = offset + bytes.readUInt32LE(at + 16);
      baseOffsets.push(offset);
    }
    const place = this.#place;
    place.durableEnd = this.ends.durableSegment === place.segment ? this.ends.durablePosition : 0;
    placeFrame(bytes, place);
    this.#heads.add(bytes, 0);
    place.position += bytes.length;
    place.sequence++;
  }

  /** Says that a step begins, with the sequence of the next frame that will be placed. */
  #watched(step: "write" | "sync"): void {
    if (steps.hasSubscribers) steps.publish({ step, sequence: this.#place.sequence });
  }

  async #syncWritten(): Promise<void> {
    const { clock, publish } = this.#options;
    while (this.#written.length > 0 && this.#failure === undefined) {
      const frames = this.#written;
      this.#written = [];
      const { writtenPosition } = this.ends;
      const startMs = clock.monotonic();
      this.#watched("sync");
      try {
        await this.#file.datasync();
      } catch (error) {
        this.#fail(error, frames);
        break;
      }
      this.#syncSeconds.observe((clock.monotonic() - startMs) / 1000);
      this.ends.durablePosition = writtenPosition;
      publish(this.ends, true);
      this.#settle(frames, undefined);
    }
    this.#syncing = undefined;
  }

  /**
   * Seals the segment and begins the next. The old one is durable first, and the new one gets its name only when its
   * snapshot is: so whatever a crash leaves, every segment but the newest is whole, and the newest explains itself.
   */
  async #rotate(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    if (this.#failure !== undefined) return;
    const { fileSystem, directory, sealed } = this.#options;
    const place = this.#place;
    const [old, oldLength, heads, oldFile] = [place.segment, place.position, this.#heads, this.#file];
    place.segment++;
    place.position = 0;
    const started = await beginSegment(
      fileSystem,
      directory,
      place,
      this.topics,
      this.#nextOffsets,
      this.#options.clock,
    );
    this.#file = started.file;
    this.#heads = started.heads;
    this.#fresh = true;
    this.ends.writtenSegment = this.ends.durableSegment = place.segment;
    this.ends.writtenPosition = this.ends.durablePosition = place.position;
    this.#options.publish(this.ends, true);
    this.#sealing = this.#sealing
      .then(() => oldFile.close())
      .then(() => writeSidecar(fileSystem, directory, old, oldLength, heads.bytes))
      .then(
        () => sealed(old),
        (error) => this.#fail(error, []),
      );
  }

  /**
   * After a failed write or fsync nobody knows what the disk holds, and a second fsync may succeed without having
   * written: the journal takes no more, and recovery will find out.
   */
  #fail(error: unknown, frames: readonly PendingFrame[]): void {
    const { directory } = this.#options;
    this.#failure ??= new KappaError(
      "KAPPA_LOG_FAILED",
      `writing the log in ${directory} failed: ${messageOf(error)}; mend the disk and start again`,
      { directory },
      error,
    );
    const lost = [...frames, ...this.#written, ...this.#queue];
    this.#written = [];
    this.#queue = [];
    this.#settle(lost, this.#failure);
    // Readers that wait for more learn of it.
    this.#options.publish(this.ends, false);
  }

  /** Makes everything submitted durable and lets go of the files. Later frames are refused. */
  async close(): Promise<void> {
    this.#closed ??= new KappaError("KAPPA_LOG_CLOSED", `the log in ${this.#options.directory} is closed`);
    await this.settled();
    await this.#writing;
    await this.#syncing;
    await this.#sealing;
    await this.#file.close().catch(() => {});
  }
}

/**
 * Creates the segment that `place` points at, with its snapshot, durable in content and in name. `place` moves behind
 * the snapshot.
 */
export async function beginSegment(
  fileSystem: FileSystem,
  directory: string,
  place: FramePlace,
  topics: TopicTable,
  nextOffsets: readonly number[],
  clock: Clock,
): Promise<{ readonly file: WritableFile; readonly heads: HeadCollector }> {
  const snapshot = encodeNote(frameKind.snapshot, { topics: topics.topics, nextOffsets });
  placeFrame(snapshot, { ...place, durableEnd: 0, appendTimeMs: clock.now() });
  const path = segmentPath(directory, place.segment);
  const file = await fileSystem.create(`${path}.tmp`);
  await file.write([snapshot], 0);
  await file.datasync();
  await fileSystem.rename(`${path}.tmp`, path);
  await fileSystem.syncDirectory(directory);
  place.position = snapshot.length;
  place.sequence++;
  const heads = new HeadCollector();
  heads.add(snapshot, 0);
  return { file, heads };
}

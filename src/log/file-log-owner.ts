import { join } from "node:path";
import process from "node:process";
import { ClassicLevel } from "classic-level";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { DurableEndPublisher, readDurableEnd } from "./file-log-durable-end.ts";
import { SharedEnds } from "./file-log-ends.ts";
import { beginSegment, Journal } from "./file-log-journal.ts";
import { type RecoveredJournal, recoverJournal } from "./file-log-recovery.ts";
import { contentOf, Retention } from "./file-log-retention.ts";
import { readSidecar, segmentPath, sidecarPath } from "./file-log-segment.ts";
import { JournalServer } from "./file-log-server.ts";
import { type SessionHost, WriterRegistry } from "./file-log-session.ts";
import { TopicTable } from "./file-log-topics.ts";
import type { FileSystem } from "./file-system.ts";
import { unknownTopic } from "./topic.ts";

export interface FileLogOwnerOptions {
  readonly directory: string;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly segmentBytes: number;
  readonly retentionCheckMs: number;
}

/**
 * What the one process that owns a journal has: its lock, the journal, who may append, retention, and the ends it
 * publishes to its threads (`ends`) and to other processes (the `durable` file).
 */
export class FileLogOwner implements SessionHost {
  readonly ends: SharedEnds;
  readonly journal: Journal;
  readonly writers = new WriterRegistry();
  readonly #options: FileLogOwnerOptions;
  readonly #lock: ClassicLevel;
  readonly #publisher: DurableEndPublisher;
  readonly #retention: Retention;
  readonly #checking: NodeJS.Timeout;
  #server: JournalServer | undefined;
  #removing: Promise<void> = Promise.resolve();

  /** @throws KAPPA_LOG_LOCKED when another process, or this one, owns the directory; KAPPA_LOG_CORRUPT */
  static async open(options: FileLogOwnerOptions): Promise<FileLogOwner> {
    const { directory, fileSystem } = options;
    await fileSystem.makeDirectory(directory);
    const lock = await acquireLock(fileSystem, directory);
    try {
      const recovered = (await recoverJournal(fileSystem, directory)) ?? (await beginJournal(options));
      const file = await fileSystem.openForWriting(segmentPath(directory, recovered.segment));
      const publisher = await DurableEndPublisher.open(fileSystem, directory, process.pid);
      const owner = new FileLogOwner(options, lock, recovered, file, publisher);
      owner.#server = await JournalServer.listen(fileSystem, directory, owner);
      return owner;
    } catch (error) {
      await lock.close();
      throw error;
    }
  }

  private constructor(
    options: FileLogOwnerOptions,
    lock: ClassicLevel,
    recovered: RecoveredJournal,
    file: ConstructorParameters<typeof Journal>[1],
    publisher: DurableEndPublisher,
  ) {
    const { directory, fileSystem, clock, meter, segmentBytes } = options;
    this.#options = options;
    this.#lock = lock;
    this.#publisher = publisher;
    this.ends = new SharedEnds();
    this.journal = new Journal(recovered, file, {
      fileSystem,
      directory,
      clock,
      meter,
      segmentBytes,
      publish: (ends, durableMoved) => {
        this.ends.publish(ends);
        if (durableMoved) publisher.publish(ends);
      },
      sealed: () => this.#removeExpired(),
    });
    this.#retention = new Retention(this.journal.topics, (segment) => {
      const sidecar = readSidecar(fileSystem, directory, segment);
      return sidecar === undefined ? undefined : contentOf(sidecar.heads);
    });
    this.#checking = setInterval(() => this.#removeExpired(), options.retentionCheckMs);
    this.#checking.unref();
  }

  trimTo(topic: string, partition: number, offset: number): void {
    const { topics } = this.journal;
    const known = topics.byName(topic);
    if (known === undefined || topics.slotOfPartition(topic, partition) < 0)
      throw unknownTopic(topic, partition, known);
    this.#retention.trimTo(topics.idOf(topic), partition, offset);
    this.#removeExpired();
  }

  #removeExpired(): void {
    this.#removing = this.#removing.then(() => this.#removeOldest()).catch(() => {});
  }

  /**
   * Readers are told first, so that those who come late know why a file is gone. One segment after the other, each
   * durable: a power cut leaves a journal without gaps.
   */
  async #removeOldest(): Promise<void> {
    const { directory, fileSystem, clock } = this.#options;
    const { ends } = this.journal;
    for (let count = this.#retention.expired(ends, clock.now()); count > 0; count--) {
      const segment = ends.oldestSegment++;
      this.ends.publish(ends);
      this.#publisher.publish(ends);
      await fileSystem.remove(segmentPath(directory, segment));
      await fileSystem.syncDirectory(directory);
      await fileSystem.remove(sidecarPath(directory, segment));
      this.#retention.removed(segment);
    }
  }

  /** Makes everything submitted durable and gives up the lock. */
  async close(): Promise<void> {
    clearInterval(this.#checking);
    await this.#server?.close();
    await this.journal.close();
    await this.#removing;
    await this.#publisher.close();
    this.ends.close();
    await this.#lock.close();
  }
}

/**
 * The lock is that of a small LevelDB: the operating system drops it with the process, however that dies, and it
 * excludes a second opening in the same process as well.
 */
async function acquireLock(fileSystem: FileSystem, directory: string): Promise<ClassicLevel> {
  const lock = new ClassicLevel(join(directory, "lock"));
  try {
    await lock.open();
    return lock;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!(cause instanceof Error && "code" in cause && cause.code === "LEVEL_LOCKED")) throw error;
    const pid = readDurableEnd(fileSystem, directory)?.pid;
    const owner = pid === undefined ? "another process" : `process ${pid}`;
    throw new KappaError(
      "KAPPA_LOG_LOCKED",
      `${directory} is owned by ${owner}; stop it, or use another directory`,
      { directory, pid },
      error,
    );
  }
}

async function beginJournal(options: FileLogOwnerOptions): Promise<RecoveredJournal> {
  const { directory, fileSystem, clock } = options;
  const topics = new TopicTable();
  const place = { segment: 1, position: 0, durableEnd: 0, sequence: 1, appendTimeMs: 0 };
  const { file, heads } = await beginSegment(fileSystem, directory, place, topics, [], clock);
  await file.close();
  return {
    topics,
    nextOffsets: [],
    oldestSegment: 1,
    segment: place.segment,
    position: place.position,
    sequence: place.sequence,
    heads,
    truncatedBytes: 0,
  };
}

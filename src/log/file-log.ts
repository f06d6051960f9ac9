import { MessageChannel, type MessagePort } from "node:worker_threads";
import { type Clock, systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { type Meter, noMeter } from "../core/meter.ts";
import { ClientTransport, JournalClient } from "./file-log-client.ts";
import { FileLogCursor } from "./file-log-cursor.ts";
import type { EndsSource } from "./file-log-ends.ts";
import { FileLogOwner } from "./file-log-owner.ts";
import type { JournalEnvelope, JournalRequest } from "./file-log-protocol.ts";
import { FileLogReader } from "./file-log-reader.ts";
import { JournalSession, type SessionHost } from "./file-log-session.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import type { Cursor, Log, Topic, TopicConfig, Visibility, Writer } from "./log.ts";
import { checkSamePartitions, topicOf } from "./topic.ts";

/**
 * The embedded log as one thread sees it: a reader of the journal's segments, and a client of the journal's owner. The
 * thread that opened the journal, the other threads of its process and other processes differ only in what carries
 * their requests and where they learn the ends.
 */
export class FileLog implements Log {
  readonly #directory: string;
  readonly #reader: FileLogReader;
  readonly #ends: EndsSource;
  readonly #client: JournalClient;
  #closing: Promise<void> | undefined;

  constructor(
    directory: string,
    fileSystem: FileSystem,
    ends: EndsSource,
    connect: (client: () => JournalClient) => ClientTransport,
    recycles = false,
  ) {
    this.#directory = directory;
    this.#ends = ends;
    this.#reader = new FileLogReader(fileSystem, directory, ends, recycles);
    this.#client = new JournalClient(
      this.#reader,
      connect(() => this.#client),
    );
  }

  async createTopic(name: string, config: Partial<TopicConfig> & Pick<TopicConfig, "partitions">): Promise<void> {
    const topic = topicOf(name, config);
    const existing = this.#reader.topicNamed(name);
    if (existing !== undefined) checkSamePartitions(existing, topic);
    else await this.#client.createTopic(topic);
  }

  async topic(name: string): Promise<Topic | undefined> {
    return this.#reader.topicNamed(name);
  }

  async topics(): Promise<readonly Topic[]> {
    this.#reader.refresh();
    return this.#reader.topics.topics;
  }

  openWriter(id: string): Promise<Writer> {
    return this.#client.openWriter(id);
  }

  async openCursor(topic: string, partition: number, from: bigint, visibility: Visibility): Promise<Cursor> {
    return new FileLogCursor(this.#reader, topic, partition, Number(from), visibility);
  }

  async startOffset(topic: string, partition: number): Promise<bigint> {
    return BigInt(this.#reader.startOffset(this.#reader.slotOf(topic, partition)));
  }

  async endOffset(topic: string, partition: number, visibility: Visibility): Promise<bigint> {
    return BigInt(this.#reader.endOffset(this.#reader.slotOf(topic, partition), visibility));
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<bigint> {
    return BigInt(this.#reader.offsetForTime(topic, partition, timeMs));
  }

  async trimTo(topic: string, partition: number, offset: bigint): Promise<void> {
    this.#reader.slotOf(topic, partition);
    await this.#client.trimTo(topic, partition, Number(offset));
  }

  changed(timeoutMs: number): Promise<void> {
    return this.#ends.changed(timeoutMs);
  }

  /** Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#client.close(this.#directory);
    this.#reader.close();
    this.#ends.close();
  }
}

export interface FileLogOptions {
  /** Holds the journal and nothing else. Created when missing. */
  readonly directory: string;
  /** A segment is sealed when the next frame would make it larger. Bytes, at most 1 GiB, default 64 MiB. */
  readonly segmentBytes?: number;
  /** How often expired segments are looked for, besides whenever one is sealed. Default 60 s. */
  readonly retentionCheckMs?: number;
  readonly clock?: Clock;
  readonly meter?: Meter;
  readonly fileSystem?: FileSystem;
}

/** With one transaction more a position still fits in 31 bits. */
const segmentBytesMax = 1024 * 1024 * 1024;

/** Bytes of frames that a thread may have under way without an allocation: what a light load needs. */
const ringBytes = 1024 * 1024;

/** What another thread of the owner's process needs: post it with `transferList: [handle.port]`. */
export interface FileLogHandle {
  readonly directory: string;
  readonly ends: SharedArrayBuffer;
  /** For a `FrameRing`. */
  readonly frames: SharedArrayBuffer;
  readonly port: MessagePort;
}

/** The embedded log in the thread that owns its journal. */
export class OwnedFileLog extends FileLog {
  readonly #owner: FileLogOwner;
  readonly #directory: string;
  readonly #ports = new Set<MessagePort>();
  #ending: Promise<void> | undefined;

  constructor(owner: FileLogOwner, options: { readonly directory: string; readonly fileSystem: FileSystem }) {
    super(options.directory, options.fileSystem, owner.ends, (client) => new DirectTransport(owner, client));
    this.#owner = owner;
    this.#directory = options.directory;
  }

  /** A handle for one more thread. */
  threadHandle(): FileLogHandle {
    const { port1, port2 } = new MessageChannel();
    const session = new JournalSession(this.#owner, (reply) => port1.postMessage(reply));
    const frames = new SharedArrayBuffer(ringBytes);
    port1.on("message", (envelopes: readonly JournalEnvelope[]) => {
      for (const { request, frame } of envelopes) {
        if (frame === undefined) session.receive(request, undefined);
        else if (frame instanceof ArrayBuffer) session.receive(request, Buffer.from(frame));
        else session.receive(request, Buffer.from(frames, frame.at, frame.length));
      }
    });
    port1.on("close", () => this.#ports.delete(port1));
    this.#ports.add(port1);
    return { directory: this.#directory, ends: this.#owner.ends.memory, frames, port: port2 };
  }

  override close(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    await super.close();
    await this.#owner.close();
    for (const port of this.#ports) port.close();
  }
}

/** Calls the owner in its own thread. */
class DirectTransport extends ClientTransport {
  readonly #session: JournalSession;

  constructor(host: SessionHost, client: () => JournalClient) {
    super();
    this.#session = new JournalSession(host, (reply) => client().receive(reply));
  }

  send(request: JournalRequest, frame: Buffer | undefined): void {
    this.#session.receive(request, frame);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Opens the embedded log of a directory and owns it until `close` or the end of the process. A torn tail that a crash
 * left is cut off.
 *
 * @throws KAPPA_LOG_LOCKED; KAPPA_LOG_CORRUPT; KAPPA_CONFIG_INVALID
 */
export async function openFileLog(options: FileLogOptions): Promise<OwnedFileLog> {
  const { directory, segmentBytes = 64 * 1024 * 1024, retentionCheckMs = 60_000 } = options;
  const { clock = systemClock, meter = noMeter, fileSystem = nodeFileSystem } = options;
  if (!Number.isInteger(segmentBytes) || segmentBytes < 1 || segmentBytes > segmentBytesMax)
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      `segmentBytes is ${segmentBytes}, allowed are 1 to ${segmentBytesMax}`,
    );
  const owner = await FileLogOwner.open({ directory, fileSystem, clock, meter, segmentBytes, retentionCheckMs });
  return new OwnedFileLog(owner, { directory, fileSystem });
}

import type { MessagePort } from "node:worker_threads";
import { KappaError } from "../core/errors.ts";
import { FileLog, type FileLogHandle } from "./file-log.ts";
import { ClientTransport, type JournalClient } from "./file-log-client.ts";
import { SharedEnds } from "./file-log-ends.ts";
import type { JournalEnvelope, JournalReply, JournalRequest } from "./file-log-protocol.ts";
import { nodeFileSystem } from "./file-system.ts";
import { FrameRing } from "./frame-ring.ts";

/** Bytes of frames that a thread gathers at most before it sends them. */
const gatheredBytesMax = 64 * 1024;

/**
 * The embedded log in another thread of the process that owns it: an engine thread. Close it before the owner. What a
 * cursor returns holds until a cursor of this log is asked for more: copy what is to stay.
 */
export class ThreadFileLog extends FileLog {
  readonly #transport: PortTransport;

  static of({ directory, ends, frames, port }: FileLogHandle): ThreadFileLog {
    const transport = new PortTransport(port, new FrameRing(frames));
    return new ThreadFileLog(directory, new SharedEnds(ends), transport);
  }

  private constructor(directory: string, ends: SharedEnds, transport: PortTransport) {
    super(directory, nodeFileSystem, ends, (client) => transport.connect(directory, client), true);
    this.#transport = transport;
  }

  /**
   * Appends go out together from here to `release`, while they are small: what the tasks of a thread commit in one round
   * is then one message, one write and one fsync.
   */
  gather(): void {
    this.#transport.gather();
  }

  release(): void {
    this.#transport.release();
  }
}

/**
 * Frames are encoded here, in the thread, into memory that the owner shares or that moves to it: no copy, no work there
 * per byte.
 */
class PortTransport extends ClientTransport {
  readonly #port: MessagePort;
  readonly #ring: FrameRing;
  #envelopes: JournalEnvelope[] = [];
  #gatheredBytes = 0;
  #gathering = false;

  constructor(port: MessagePort, ring: FrameRing) {
    super();
    this.#port = port;
    this.#ring = ring;
  }

  override allocate(length: number): Buffer {
    // A large frame is worth an allocation: it would use up the ring.
    const shared = length <= gatheredBytesMax ? this.#ring.take(length) : undefined;
    return shared ?? Buffer.allocUnsafeSlow(length);
  }

  override settled(frame: Buffer): void {
    if (this.#ring.holds(frame)) this.#ring.free(frame);
  }

  connect(directory: string, client: () => JournalClient): this {
    this.#port.on("message", (reply: JournalReply) => client().receive(reply));
    this.#port.on("close", () =>
      client().fail(new KappaError("KAPPA_LOG_CLOSED", `the log in ${directory} is closed`, { directory })),
    );
    return this;
  }

  send(request: JournalRequest, frame: Buffer | undefined): void {
    this.#envelopes.push({ request, frame: frame === undefined ? undefined : this.#placeOf(frame) });
    this.#gatheredBytes += frame?.length ?? gatheredBytesMax;
    if (!this.#gathering || this.#gatheredBytes >= gatheredBytesMax) this.flush();
  }

  #placeOf(frame: Buffer): JournalEnvelope["frame"] {
    if (this.#ring.holds(frame)) return { at: frame.byteOffset, length: frame.length };
    return frame.buffer as ArrayBuffer;
  }

  gather(): void {
    this.#gathering = true;
  }

  release(): void {
    this.#gathering = false;
    this.flush();
  }

  override flush(): void {
    const envelopes = this.#envelopes;
    if (envelopes.length === 0) return;
    this.#envelopes = [];
    this.#gatheredBytes = 0;
    const moved: ArrayBuffer[] = [];
    for (const { frame } of envelopes) if (frame instanceof ArrayBuffer) moved.push(frame);
    this.#port.postMessage(envelopes, moved);
  }

  close(): Promise<void> {
    this.flush();
    this.#port.close();
    return Promise.resolve();
  }
}

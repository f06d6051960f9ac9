import { KappaError } from "../core/errors.ts";
import { encodeTransaction } from "./file-log-frame.ts";
import { errorOf, type JournalReply, type JournalRequest, type Outcome } from "./file-log-protocol.ts";
import type { FileLogReader } from "./file-log-reader.ts";
import type { Appended, Topic, TransactionSection, Writer } from "./log.ts";
import { checkSections, checkTransactionBytes } from "./transaction.ts";

/**
 * Carries requests to the owner of the journal; replies come to `JournalClient.receive`. One that shares memory with the
 * owner, or gathers what it sends, says so by its own `allocate`, `settled` and `flush`.
 */
export abstract class ClientTransport {
  /** Takes over the frame. */
  abstract send(request: JournalRequest, frame: Buffer | undefined): void;
  abstract close(): Promise<void>;

  /** Memory for a frame of so many bytes. */
  allocate(length: number): Buffer {
    return Buffer.allocUnsafeSlow(length);
  }

  /** The owner has answered for a frame: it needs its memory no more. */
  settled(_frame: Buffer): void {}

  /** Sends what is gathered: somebody waits for the answers. */
  flush(): void {}
}

/** Bytes of frames that may be on their way to the owner unanswered; further ones wait here. */
const unansweredBytesMax = 32 * 1024 * 1024;

interface Waiting {
  /** Of an append. */
  readonly frame: Buffer | undefined;
  /** Kept apart: the memory of a frame that moved to the owner has no length here any more. */
  readonly frameBytes: number;
  resolve(values: readonly number[]): void;
  reject(error: KappaError): void;
}

/** An append that waits for room. */
interface Held {
  readonly writer: JournalWriter;
  readonly frame: Buffer;
  readonly waiting: Waiting;
}

/** The appending side, in any thread or process: encodes frames, sends them, and matches the outcomes. */
export class JournalClient {
  readonly #reader: FileLogReader;
  readonly #transport: ClientTransport;
  readonly #waiting = new Map<number, Waiting>();
  readonly #writers = new Set<JournalWriter>();
  #held: Held[] = [];
  #unansweredBytes = 0;
  #token = 0;
  #failure: KappaError | undefined;

  readonly #topicIdOf: (name: string) => number;
  readonly #allocate: (length: number) => Buffer;

  constructor(reader: FileLogReader, transport: ClientTransport) {
    this.#reader = reader;
    this.#transport = transport;
    this.#topicIdOf = (name) => reader.topics.idOf(name);
    this.#allocate = (length) => transport.allocate(length);
  }

  async createTopic(topic: Topic): Promise<void> {
    await this.#ask((token) => ({ kind: "create-topic", token, topic }));
  }

  async openWriter(id: string): Promise<Writer> {
    const [number] = await this.#ask((token) => ({ kind: "open-writer", token, id }));
    const writer = new JournalWriter(id, number ?? -1, this);
    this.#writers.add(writer);
    return writer;
  }

  async trimTo(topic: string, partition: number, offset: number): Promise<void> {
    await this.#ask((token) => ({ kind: "trim", token, topic, partition, offset }));
  }

  #ask(requestOf: (token: number) => JournalRequest): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      const token = this.#token++;
      this.#waiting.set(token, { frame: undefined, frameBytes: 0, resolve, reject });
      this.#transport.send(requestOf(token), undefined);
    });
  }

  /** Sends a transaction, now or when there is room. Called in the order of the writer's appends. */
  append(writer: JournalWriter, sections: readonly TransactionSection[]): Promise<readonly number[]> {
    checkTransactionBytes(sections);
    checkSections(sections, (name) => this.#reader.topicNamed(name));
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      const frame = encodeTransaction(sections, this.#topicIdOf, this.#allocate);
      const waiting = { frame, frameBytes: frame.length, resolve, reject };
      if (this.#held.length > 0 || this.#full(frame)) this.#held.push({ writer, frame, waiting });
      else this.#send(writer, frame, waiting);
    });
  }

  #full(frame: Buffer): boolean {
    return this.#unansweredBytes > 0 && this.#unansweredBytes + frame.length > unansweredBytesMax;
  }

  #send(writer: JournalWriter, frame: Buffer, waiting: Waiting): void {
    const token = this.#token++;
    this.#waiting.set(token, waiting);
    this.#unansweredBytes += frame.length;
    this.#transport.send({ kind: "append", token, writer: writer.number }, frame);
  }

  receive(reply: JournalReply): void {
    for (const outcome of reply.outcomes) this.#settle(outcome);
    let sent = 0;
    for (const { writer, frame, waiting } of this.#held) {
      if (this.#full(frame)) break;
      this.#send(writer, frame, waiting);
      sent++;
    }
    if (sent > 0) this.#held = this.#held.slice(sent);
  }

  #settle(outcome: Outcome): void {
    const waiting = this.#waiting.get(outcome.token);
    if (waiting === undefined) return;
    this.#waiting.delete(outcome.token);
    if (waiting.frame !== undefined) {
      this.#unansweredBytes -= waiting.frameBytes;
      this.#transport.settled(waiting.frame);
    }
    if ("error" in outcome) waiting.reject(errorOf(outcome.error));
    else waiting.resolve(outcome.values);
  }

  /** Ends everything: nothing more will be heard of the owner. What was sent may have arrived. */
  fail(error: KappaError): void {
    this.#failure ??= error;
    const lost = [...this.#waiting.values(), ...this.#held.map((held) => held.waiting)];
    this.#waiting.clear();
    this.#held = [];
    for (const waiting of lost) waiting.reject(this.#failure);
  }

  flush(): void {
    this.#transport.flush();
  }

  /** Waits for what is under way, then refuses the rest. */
  async close(directory: string): Promise<void> {
    await Promise.all([...this.#writers].map((writer) => writer.close()));
    this.#failure ??= new KappaError("KAPPA_LOG_CLOSED", `the log in ${directory} is closed`, { directory });
    await this.#transport.close();
    this.fail(this.#failure);
  }

  forget(writer: JournalWriter): void {
    this.#writers.delete(writer);
  }
}

class JournalWriter implements Writer {
  readonly id: string;
  /** What the owner of the journal calls it. */
  readonly number: number;
  readonly #client: JournalClient;
  #failure: KappaError | undefined;
  #underWay = new Set<Promise<unknown>>();

  constructor(id: string, number: number, client: JournalClient) {
    this.id = id;
    this.number = number;
    this.#client = client;
  }

  async append(sections: readonly TransactionSection[]): Promise<Appended> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      const sent = this.#client.append(this, sections);
      this.#underWay.add(sent);
      try {
        return { baseOffsets: (await sent).map(BigInt) };
      } finally {
        this.#underWay.delete(sent);
      }
    } catch (error) {
      if (!(error instanceof KappaError)) throw error;
      if (error.code !== "KAPPA_TRANSACTION_TOO_LARGE") this.#failure ??= error;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#client.flush();
    await Promise.allSettled(this.#underWay);
    this.#client.forget(this);
  }
}

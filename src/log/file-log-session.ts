import { KappaError, messageOf } from "../core/errors.ts";
import type { JournalEnds } from "./file-log-ends.ts";
import { frameKind, frameLength, headLength, kindOf, sectionCountOf, sectionLength } from "./file-log-frame.ts";
import type { FrameOrigin, Journal, PendingFrame } from "./file-log-journal.ts";
import { type JournalReply, type JournalRequest, type Outcome, plainError } from "./file-log-protocol.ts";
import type { TopicTable } from "./file-log-topics.ts";
import { checkSamePartitions } from "./topic.ts";

/** Who may append: of all writers of an id, the one that was opened last. */
export class WriterRegistry {
  /** The number of the newest writer of an id. */
  readonly #newest = new Map<string, number>();
  #opened = 0;
  readonly #failures = new Map<number, KappaError>();

  /** @returns the number of the new writer; every older one of the id is fenced */
  open(id: string): number {
    const number = this.#opened++;
    const old = this.#newest.get(id);
    if (old !== undefined)
      this.fail(old, new KappaError("KAPPA_TASK_FENCED", `a newer writer ${id} was opened`, { writer: id }));
    this.#newest.set(id, number);
    return number;
  }

  /** Ends a writer. The first error stays. */
  fail(number: number, error: KappaError): void {
    if (!this.#failures.has(number)) this.#failures.set(number, error);
  }

  /** Why a writer may not append, if it may not. */
  failureOf(number: number): KappaError | undefined {
    return this.#failures.get(number);
  }
}

/** What the sessions of one journal share. */
export interface SessionHost {
  readonly journal: Journal;
  readonly writers: WriterRegistry;
  trimTo(topic: string, partition: number, offset: number): void;
}

/** One appending side as the owner sees it: takes its requests and collects what it must be told. */
export class JournalSession implements FrameOrigin {
  readonly #host: SessionHost;
  readonly #reply: (reply: JournalReply) => void;
  #outcomes: Outcome[] = [];

  constructor(host: SessionHost, reply: (reply: JournalReply) => void) {
    this.#host = host;
    this.#reply = reply;
  }

  /** @param frame comes with an append */
  receive(request: JournalRequest, frame: Buffer | undefined): void {
    switch (request.kind) {
      case "append":
        this.#append(request.token, request.writer, frame);
        break;
      case "open-writer": {
        const number = this.#host.writers.open(request.id);
        // What the predecessor has in the queue is settled before its successor may begin.
        this.#answerAfter(this.#host.journal.settled(), request.token, [number]);
        break;
      }
      case "create-topic":
        this.#createTopic(request);
        break;
      case "trim":
        this.#trim(request);
        break;
      default:
        request satisfies never;
    }
  }

  #append(token: number, writer: number, bytes: Buffer | undefined): void {
    const { journal, writers } = this.#host;
    let failure = writers.failureOf(writer);
    if (failure === undefined && (bytes === undefined || !fitsJournal(bytes, journal.topics))) {
      failure = new KappaError("KAPPA_LOG_FAILED", "a frame arrived that does not fit the journal", { writer });
      writers.fail(writer, failure);
    }
    if (failure !== undefined) this.#answer({ token, error: plainError(failure) });
    else if (bytes !== undefined) journal.submit({ bytes, origin: this, token, baseOffsets: [] });
  }

  #createTopic({ token, topic }: JournalRequest & { kind: "create-topic" }): void {
    const { journal } = this.#host;
    const existing = journal.topics.byName(topic.name);
    if (existing === undefined) {
      journal.addTopic(topic, this, token);
      return;
    }
    try {
      checkSamePartitions(existing, topic);
      this.#answerAfter(journal.settled(), token, []);
    } catch (error) {
      this.#answer({ token, error: plainError(asKappaError(error)) });
    }
  }

  #trim({ token, topic, partition, offset }: JournalRequest & { kind: "trim" }): void {
    try {
      this.#host.trimTo(topic, partition, offset);
      this.#answer({ token, values: [] });
    } catch (error) {
      this.#answer({ token, error: plainError(asKappaError(error)) });
    }
  }

  #answerAfter(settled: Promise<void>, token: number, values: readonly number[]): void {
    settled
      .then(() => this.#host.journal.failure)
      .then((failure) =>
        this.#answer(failure === undefined ? { token, values } : { token, error: plainError(failure) }),
      )
      .catch((error) => this.#answer({ token, error: plainError(asKappaError(error)) }));
  }

  #answer(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    this.flush();
  }

  settled({ token, baseOffsets }: PendingFrame, error: KappaError | undefined): void {
    this.#outcomes.push(error === undefined ? { token, values: baseOffsets } : { token, error: plainError(error) });
  }

  flush(): void {
    if (this.#outcomes.length === 0) return;
    const ends: JournalEnds = this.#host.journal.ends;
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    this.#reply({ outcomes, ends });
  }
}

function asKappaError(error: unknown): KappaError {
  return error instanceof KappaError ? error : new KappaError("KAPPA_LOG_FAILED", messageOf(error), {}, error);
}

/** Whether the frame is a transaction whose lengths agree and whose partitions exist. */
function fitsJournal(frame: Buffer, topics: TopicTable): boolean {
  if (frame.length < headLength || kindOf(frame, 0) !== frameKind.transaction) return false;
  const sections = sectionCountOf(frame, 0);
  if (headLength + sections * sectionLength > frame.length || frameLength(frame, 0) !== frame.length) return false;
  const bodyLength = frame.length - headLength - sections * sectionLength;
  for (let i = 0; i < sections; i++) {
    const at = headLength + i * sectionLength;
    if (topics.slotOf(frame.readUInt32LE(at), frame.readUInt32LE(at + 4)) < 0) return false;
    if (frame.readUInt32LE(at + 20) + frame.readUInt32LE(at + 24) > bodyLength) return false;
  }
  return true;
}

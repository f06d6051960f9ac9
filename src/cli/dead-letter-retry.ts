import type { Log, Topic, TransactionSection, Writer } from "../log/log.ts";
import { RecordBatchReader, RecordBatchWriter } from "../log/record-batch.ts";
import { type DeadLetterFilter, type DeadLetterRecord, deadLetterOf, retryHeaders } from "./dead-letter-record.ts";
import { recordAt } from "./record-finder.ts";
import { batchesHeld } from "./topic-reader.ts";

export interface RetryOptions {
  readonly log: Log;
  /** Dead letters of the application. */
  readonly topic: Topic;
  /** Remembers which were sent again: a record a dead letter, written with it, keyed by its position. */
  readonly retriesTopic: string;
  readonly wanted: DeadLetterFilter;
  /** Dead letters sent at most. */
  readonly max: number;
  /** A record that died this often is left alone. */
  readonly maxAttempts: number;
  /** null sends nothing and only counts. */
  readonly writer: Writer | null;
  readonly nowMs: number;
}

/** Why dead letters were not sent again, and how many. */
export interface RetryResult {
  /** Sent, or to be sent, by source topic. */
  readonly sent: ReadonlyMap<string, number>;
  readonly retriedBefore: number;
  readonly tooManyAttempts: number;
  /** Of internal stages: the input record they come from is not known. */
  readonly internal: number;
  /** Cut, and the source record is gone. */
  readonly sourceGone: number;
  /** Records of the topic that are no dead letters. */
  readonly strange: number;
}

/** Dead letters of one transaction. */
const batchLetters = 500;
/** Bytes of records in one transaction, about; one record has at most 1 MiB of value, or it was cut. */
const batchBytes = 8 * 1024 * 1024;

/**
 * Sends dead letters to where they came from, bytes as they were. Each goes out in one transaction with the note that it
 * did, so a retry that is killed and started again sends none twice.
 */
export class DeadLetterRetry {
  readonly #options: RetryOptions;
  readonly #retried: ReadonlySet<string>;
  readonly #sent = new Map<string, number>();
  readonly #writers = new Map<
    string,
    { readonly topic: string; readonly partition: number; readonly writer: RecordBatchWriter }
  >();
  #pending = 0;
  #retriedBefore = 0;
  #tooManyAttempts = 0;
  #internal = 0;
  #sourceGone = 0;
  #strange = 0;

  private constructor(options: RetryOptions, retried: ReadonlySet<string>) {
    this.#options = options;
    this.#retried = retried;
  }

  /** Reads which were sent before, and sends the others. */
  static async run(options: RetryOptions): Promise<RetryResult> {
    return new DeadLetterRetry(options, await retriedPositions(options.log, options.retriesTopic)).#run();
  }

  async #run(): Promise<RetryResult> {
    const { log, topic, max } = this.#options;
    const reader = new RecordBatchReader();
    let left = max;
    for await (const batch of batchesHeld(log, topic)) {
      if (left === 0) break;
      reader.reset(batch.bytes);
      for (let offset = Number(batch.baseOffset); left > 0 && reader.next(); offset++) {
        if (await this.#take(reader, batch.partition, offset)) left--;
        if (this.#pending >= batchLetters || this.#pendingBytes() >= batchBytes) await this.#send();
      }
    }
    await this.#send();
    return {
      sent: this.#sent,
      retriedBefore: this.#retriedBefore,
      tooManyAttempts: this.#tooManyAttempts,
      internal: this.#internal,
      sourceGone: this.#sourceGone,
      strange: this.#strange,
    };
  }

  /** @returns whether the dead letter is sent again */
  async #take(reader: RecordBatchReader, partition: number, offset: number): Promise<boolean> {
    let letter: DeadLetterRecord;
    try {
      letter = deadLetterOf(reader, partition, offset);
    } catch {
      this.#strange++;
      return false;
    }
    if (!this.#options.wanted(letter)) return false;
    if (this.#retried.has(positionText(letter))) this.#retriedBefore++;
    else if (letter.internal) this.#internal++;
    else if (letter.attempts >= this.#options.maxAttempts) this.#tooManyAttempts++;
    else return await this.#write(letter, reader);
    return false;
  }

  async #write(letter: DeadLetterRecord, reader: RecordBatchReader): Promise<boolean> {
    const { log, retriesTopic, nowMs } = this.#options;
    const target = await log.topic(letter.sourceTopic);
    const source =
      letter.cut && target !== undefined
        ? (await recordAt(log, target, letter.sourcePartition, letter.sourceOffset))?.reader
        : reader;
    if (target === undefined || letter.sourcePartition >= target.partitions || source === undefined) {
      this.#sourceGone++;
      return false;
    }
    this.#sent.set(target.name, (this.#sent.get(target.name) ?? 0) + 1);
    const headers = retryHeaders(source.headers(), letter);
    this.#writerOf(target.name, letter.sourcePartition).append(source.timestamp, source.key(), source.value(), headers);
    this.#writerOf(retriesTopic, letter.partition).append(nowMs, Buffer.from(positionText(letter)), null);
    this.#pending++;
    return true;
  }

  #writerOf(topic: string, partition: number): RecordBatchWriter {
    const id = `${partition} ${topic}`;
    let entry = this.#writers.get(id);
    if (entry === undefined) {
      entry = { topic, partition, writer: new RecordBatchWriter() };
      this.#writers.set(id, entry);
    }
    return entry.writer;
  }

  #pendingBytes(): number {
    let bytes = 0;
    for (const { writer } of this.#writers.values()) bytes += writer.byteLength;
    return bytes;
  }

  async #send(): Promise<void> {
    if (this.#pending === 0) return;
    const sections: TransactionSection[] = [];
    for (const { topic, partition, writer } of this.#writers.values()) {
      if (writer.count === 0) continue;
      const { count, minTimeMs, maxTimeMs } = writer;
      sections.push({ topic, partition, count, minTimeMs, maxTimeMs, bytes: writer.take() });
    }
    this.#pending = 0;
    await this.#options.writer?.append(sections);
  }
}

/** Positions of the dead letters that were sent again. */
async function retriedPositions(log: Log, name: string): Promise<ReadonlySet<string>> {
  const retried = new Set<string>();
  const topic = await log.topic(name);
  if (topic === undefined) return retried;
  const reader = new RecordBatchReader();
  for await (const batch of batchesHeld(log, topic)) {
    reader.reset(batch.bytes);
    while (reader.next()) retried.add(String(reader.key()));
  }
  return retried;
}

function positionText({ partition, offset }: DeadLetterRecord): string {
  return `${partition}:${offset}`;
}

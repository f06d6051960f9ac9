import { setImmediate as turn } from "node:timers/promises";
import { transactionSchema } from "../../schemas/records.ts";
import { AvroSerde, type KnownSchemas } from "../codec/avro-serde.ts";
import { KappaError } from "../core/errors.ts";
import type { FileLog } from "../log/file-log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import { existingTopic } from "./data-folder.ts";
import { NumberSet, transactionNumber } from "./demo-ids.ts";
import { batchesHeld } from "./topic-reader.ts";

/** What the log itself says became of the transactions. */
export interface Audit {
  /** Different transactions in the input. */
  readonly sent: number;
  /** Records of transactions that were there before. */
  readonly sentTwice: number;
  /** Different transactions decided. */
  readonly decided: number;
  /** Decisions beyond the first of a transaction, or on one that nobody sent: 0, or exactly-once is broken. */
  readonly doubled: number;
  /** Transactions that ended as dead letters. */
  readonly dead: number;
  /** Of the first `due` transactions, those neither decided nor dead: 0, or something was lost. */
  readonly lost: number;
}

/** Records between two turns of the event loop: a few ms, so that the log goes on being served. */
const recordsAtOnce = 2000;

/** Reads the log from its beginning, what is durable of it, and compares ids. */
export class DemoAudit {
  readonly #log: FileLog;
  readonly #transactions: AvroSerde<{ readonly tx_id: string }>;
  readonly #topics: { readonly decisions: string; readonly deadLetters: string };
  readonly #reader = new RecordBatchReader();

  constructor(
    log: FileLog,
    registry: KnownSchemas,
    topics: { readonly decisions: string; readonly deadLetters: string },
  ) {
    this.#log = log;
    this.#transactions = new AvroSerde(transactionSchema, -1, registry);
    this.#topics = topics;
  }

  /** @param due transactions, from the first on, whose decisions are awaited by now */
  async run(due: number): Promise<Audit> {
    const sent = new NumberSet();
    const decided = new NumberSet();
    const dead = new NumberSet();
    let doubled = 0;
    // Outputs first: what they hold must then be among the inputs.
    await this.#each(this.#topics.decisions, (reader) => {
      const number = transactionNumber(keyOf(reader));
      if (number < 0 || !decided.add(number)) doubled++;
    });
    await this.#each(this.#topics.deadLetters, (reader) => {
      const number = this.#deadTransaction(reader);
      if (number >= 0) dead.add(number);
    });
    const records = await this.#each("transactions", (reader) => {
      const { tx_id } = this.#transactions.decode(reader.buffer, reader.valueAt, reader.valueEnd);
      const number = transactionNumber(tx_id);
      if (number >= 0) sent.add(number);
    });
    let lost = 0;
    for (let number = 0; number < due; number++) if (!decided.has(number) && !dead.has(number)) lost++;
    for (let number = 0; number < decided.end; number++) if (decided.has(number) && !sent.has(number)) doubled++;
    return { sent: sent.size, sentTwice: records - sent.size, decided: decided.size, doubled, dead: dead.size, lost };
  }

  async #each(name: string, take: (reader: RecordBatchReader) => void): Promise<number> {
    const reader = this.#reader;
    let count = 0;
    for await (const batch of batchesHeld(this.#log, await existingTopic(this.#log, name))) {
      reader.reset(batch.bytes);
      while (reader.next()) take(reader);
      const before = count;
      count += batch.count;
      if (Math.floor(count / recordsAtOnce) > Math.floor(before / recordsAtOnce)) await turn();
    }
    return count;
  }

  /** The number of the transaction that died; -1 for a label without its transaction. */
  #deadTransaction(reader: RecordBatchReader): number {
    const headers = new Map(reader.headers().map(({ name, value }) => [name, Buffer.from(value).toString()]));
    const value = reader.value();
    if (value === null || headers.get("kappa.dlq.reason") === "orphan") return -1;
    if (headers.get("kappa.dlq.format") === "json") {
      const parsed: unknown = JSON.parse(value.toString());
      return typeof parsed === "object" && parsed !== null && "tx_id" in parsed
        ? transactionNumber(String(parsed.tx_id))
        : -1;
    }
    if (headers.get("__streams.errors.topic") !== "transactions") return -1;
    try {
      return transactionNumber(this.#transactions.decode(value, 0, value.length).tx_id);
    } catch (error) {
      if (error instanceof KappaError) return -1;
      throw error;
    }
  }
}

function keyOf(reader: RecordBatchReader): string {
  return reader.buffer.toString("utf8", reader.keyAt, reader.keyEnd);
}

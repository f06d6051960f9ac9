import type { RecordSchema } from "../codec/record-schema.ts";
import type { Serde } from "../codec/serde.ts";
import type { Clock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import type { Log, Writer } from "../log/log.ts";
import {
  fileIdentity,
  nothingProduced,
  type ProduceProgress,
  progressSection,
  readProgress,
} from "./produce-progress.ts";
import { RowEncoder } from "./row-encoder.ts";
import type { RowChunk, RowFields, RowFile } from "./row-file.ts";
import { openRowFile } from "./row-file-opener.ts";
import type { Terminal } from "./terminal.ts";

export interface FileProducerOptions {
  readonly topic: string;
  readonly partitions: number;
  readonly log: Log;
  readonly clock: Clock;
  readonly terminal: Terminal;
  readonly key: string;
  readonly time: string | null;
}

export interface ProducedFile {
  readonly path: string;
  readonly serde: Serde<RowFields>;
  readonly schema: RecordSchema<RowFields> | null;
  /** Whether rows that do not fit are counted and left out, instead of ending everything. */
  readonly skipUnfit: boolean;
  /** Where to start, counted from 1; null goes on where the file's last call was. */
  readonly firstRow: number | null;
}

export interface ProduceResult {
  /** Records appended by this call. */
  readonly appended: number;
  /** Rows that an earlier call had dealt with. */
  readonly before: number;
  /** Rows left out, earlier calls included. */
  readonly skipped: number;
  /** What was wrong with the first row that this call left out. */
  readonly firstFault: string | undefined;
}

/** Transactions on their way to the disk. */
const inFlightMax = 4;

/**
 * Appends files to a topic. Each transaction carries a chunk of rows and the place behind them, so what is in the log
 * says where to go on; the writer is named after the file, so two processes that produce the same one do not mix.
 */
export class FileProducer {
  readonly #options: FileProducerOptions;

  constructor(options: FileProducerOptions) {
    this.#options = options;
  }

  /**
   * @throws KAPPA_RECORD_INVALID naming row, field and how many rows are in the log, unless such rows are skipped;
   *   KAPPA_FILE_INVALID; what appending throws
   */
  async produce(options: ProducedFile): Promise<ProduceResult> {
    const { log, topic, terminal } = this.#options;
    const identity = await fileIdentity(topic, options.path);
    const file = await openRowFile(options.path);
    let writer: Writer | undefined;
    try {
      writer = await log.openWriter(`kappa-produce-${identity}`);
      const from = options.firstRow === null ? await readProgress(log, identity) : nothingProduced;
      const progress = terminal.progress(topic, file.total, file.unit);
      try {
        return await this.#append(file, writer, identity, from, options, (done) => progress.update(done));
      } finally {
        progress.end();
      }
    } catch (error) {
      if (!(error instanceof KappaError) || error.recovery !== "retry") throw error;
      const message = `${error.message}; start the same command again: it goes on where it was`;
      throw new KappaError(error.code, message, error.context, error);
    } finally {
      await writer?.close();
      await file.close();
    }
  }

  async #append(
    file: RowFile,
    writer: Writer,
    identity: string,
    from: ProduceProgress,
    options: ProducedFile,
    report: (done: number) => void,
  ): Promise<ProduceResult> {
    const { topic, partitions, key, time, clock } = this.#options;
    const { serde, schema } = options;
    const encoder = new RowEncoder({
      topic,
      partitions,
      key,
      time,
      nowMs: clock.now(),
      serde,
      schema,
      untyped: file.untyped,
    });
    const underWay: Promise<unknown>[] = [];
    const faults = new RowFaults(options, from);
    const firstRow = Math.max(from.row, (options.firstRow ?? 1) - 1);
    let row = from.row;
    for await (const chunk of file.chunks(from)) {
      this.#encode(chunk, row, firstRow, encoder, faults);
      row = chunk.end.row;
      const progress = { ...chunk.end, skipped: faults.skipped };
      const appended = writer.append([...encoder.take(), progressSection(identity, progress, clock.now())]);
      appended.catch(() => {}); // it is awaited later: until then its failure must not end the process
      underWay.push(appended);
      if (underWay.length >= inFlightMax) await underWay.shift();
      report(file.doneAt(chunk.end));
    }
    await Promise.all(underWay);
    const appended = Math.max(0, row - firstRow) - (faults.skipped - from.skipped);
    return { appended, before: firstRow, skipped: faults.skipped, firstFault: faults.first };
  }

  /** @param chunkRow row of the file that the chunk begins with @param firstRow the first one that is wanted */
  #encode({ rows }: RowChunk, chunkRow: number, firstRow: number, encoder: RowEncoder, faults: RowFaults): void {
    for (let i = Math.max(0, firstRow - chunkRow); i < rows.length; i++) {
      const row = rows[i] as RowFields | KappaError;
      if (row instanceof KappaError) {
        faults.take(row, chunkRow + i, chunkRow);
        continue;
      }
      try {
        encoder.add(row);
      } catch (error) {
        if (!(error instanceof KappaError) || error.code !== "KAPPA_RECORD_INVALID") throw error;
        faults.take(error, chunkRow + i, chunkRow);
      }
    }
  }
}

/** What becomes of rows that do not fit. */
class RowFaults {
  skipped: number;
  first: string | undefined;
  readonly #options: ProducedFile;

  constructor(options: ProducedFile, from: ProduceProgress) {
    this.#options = options;
    this.skipped = from.skipped;
  }

  /** @param index of the row from 0; people count from 1 @param appended rows that are in the log, or on their way */
  take(error: KappaError, index: number, appended: number): void {
    const fault = `row ${index + 1}: ${error.message}`;
    if (!this.#options.skipUnfit) {
      const { path } = this.#options;
      const message =
        `${path} ${fault}; the first ${appended} rows are in the log: ` +
        `start again with --on-error skip, or mend the file and start again with --first-row ${appended + 1}`;
      throw new KappaError("KAPPA_RECORD_INVALID", message, { ...error.context, path, row: index + 1 }, error);
    }
    this.first ??= fault;
    this.skipped++;
  }
}

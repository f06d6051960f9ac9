import { KappaError } from "../../src/core/errors.ts";
import { kafkaError, typeOf } from "../../src/log/kafka-error.ts";
import type { Appended, TransactionSection, Writer } from "../../src/log/log.ts";
import { checkTransactionBytes } from "../../src/log/transaction.ts";
import type { ProcessLog } from "./process-log.ts";
import type { Batch, SimulatedPartition } from "./simulated-partition.ts";

/** How long the coordinator may say that it is busy, in ms; as in `kafka-writer.ts`. */
const patienceMs = 30_000;

interface Part {
  readonly topic: string;
  readonly partition: number;
  readonly chunks: Buffer[];
  count: number;
  baseOffset: number;
}

interface Pending {
  readonly parts: Map<string, Part>;
  readonly appends: {
    readonly places: readonly { readonly part: Part; readonly first: number }[];
    readonly resolve: (appended: Appended) => void;
    readonly reject: (error: KappaError) => void;
  }[];
}

/**
 * What `KafkaWriter` does, request by request: one transaction at a time, what is appended meanwhile goes into the next,
 * and after any error the writer is done for, whatever the coordinator may still decide.
 */
export class SimulatedWriter implements Writer {
  readonly id: string;
  readonly #log: ProcessLog;
  readonly #waiting: Pending[] = [];
  /** Of the next record by partition. */
  readonly #sequences = new Map<SimulatedPartition, number>();
  #epoch = -1;
  #failure: KappaError | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  private constructor(id: string, log: ProcessLog) {
    this.id = id;
    this.#log = log;
  }

  static async open(id: string, log: ProcessLog): Promise<SimulatedWriter> {
    const writer = new SimulatedWriter(id, log);
    const { cluster, transactionTimeoutMs } = log;
    try {
      await writer.#patiently(async () => {
        writer.#epoch = await writer.#ask("InitProducerId", () => cluster.initProducer(id, transactionTimeoutMs));
      });
      return writer;
    } catch (error) {
      throw kafkaError(error, `cannot open writer ${id}`, { writer: id });
    }
  }

  #ask<Answer>(kind: string, handle: () => Answer): Promise<Answer> {
    const { network, incarnation, cluster } = this.#log;
    return network.request(incarnation, cluster.coordinatorOf(this.id), kind, handle);
  }

  async #patiently(request: () => Promise<void>): Promise<void> {
    const { incarnation, clock } = this.#log;
    const endMs = clock.monotonic() + patienceMs;
    for (let waitMs = 1; ; waitMs = Math.min(20, waitMs * 2)) {
      try {
        await request();
        return;
      } catch (error) {
        if (typeOf(error) !== "CONCURRENT_TRANSACTIONS" || clock.monotonic() > endMs || this.#closed) throw error;
      }
      await incarnation.sleep(waitMs);
    }
  }

  append(sections: readonly TransactionSection[]): Promise<Appended> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#closed) throw new KappaError("KAPPA_LOG_CLOSED", `writer ${this.id} is closed`, { writer: this.id });
      checkTransactionBytes(sections);
      let last = this.#waiting.at(-1);
      if (last === undefined) {
        last = { parts: new Map(), appends: [] };
        this.#waiting.push(last);
      }
      last.appends.push({ places: gathered(last.parts, sections), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    await Promise.resolve();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#commit(next);
        for (const { places, resolve } of next.appends)
          resolve({ baseOffsets: places.map(({ part, first }) => BigInt(part.baseOffset + first)) });
      } catch (error) {
        this.#failure ??= kafkaError(error, `writer ${this.id} failed`, { writer: this.id });
        for (const { reject } of next.appends) reject(this.#failure);
      }
    }
    this.#running = undefined;
  }

  async #commit({ parts }: Pending): Promise<void> {
    const { cluster, network, incarnation } = this.#log;
    const own = { id: this.id, epoch: this.#epoch };
    const placed = [...parts.values()].map((part) => ({ part, at: this.#log.partition(part.topic, part.partition) }));
    await this.#patiently(() =>
      this.#ask("AddPartitionsToTxn", () =>
        cluster.addPartitions(
          own,
          placed.map(({ at }) => at),
        ),
      ),
    );
    const numbered = placed.map(({ part, at }) => ({ part, at, batch: this.#batch(part, at) }));
    const byLeader = Map.groupBy(numbered, ({ at }) => at.leader);
    const sent = [...byLeader].map(([leader, batches]) =>
      network.request(incarnation, leader, "Produce", () =>
        batches.map(({ at, batch }) => cluster.produce(own, at, batch)),
      ),
    );
    const answers = await Promise.all(sent);
    for (const [i, batches] of [...byLeader.values()].entries())
      for (const [j, { part }] of batches.entries()) part.baseOffset = answers[i]?.[j] as number;
    await this.#ask("EndTxn", () => cluster.endTransaction(own, true));
  }

  #batch({ chunks, count }: Part, at: SimulatedPartition): Batch {
    const sequence = this.#sequences.get(at) ?? 0;
    this.#sequences.set(at, sequence + count);
    const [first] = chunks;
    const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
    return { sequence, count, bytes };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }
}

function gathered(
  parts: Map<string, Part>,
  sections: readonly TransactionSection[],
): { readonly part: Part; readonly first: number }[] {
  return sections.map(({ topic, partition, count, bytes }) => {
    const name = `${topic} ${partition}`;
    let part = parts.get(name);
    if (part === undefined) {
      part = { topic, partition, chunks: [], count: 0, baseOffset: -1 };
      parts.set(name, part);
    }
    const first = part.count;
    part.chunks.push(Buffer.from(bytes));
    part.count += count;
    return { part, first };
  });
}

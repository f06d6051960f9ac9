import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { test } from "vitest";
import { KafkaRecordDecoder } from "../../src/log/kafka-record-decoder.ts";
import {
  appendTime,
  markerBatch,
  type PlacedRecord,
  readRecords,
  setOf,
  transactional,
  type WireRecord,
  wireBatch,
} from "./kafka-wire.ts";

/** A partition as a broker fills it: which transaction a record belongs to is known here, not found out. */
class Partition {
  readonly wires: { readonly offset: number; readonly endOffset: number; readonly bytes: Buffer }[] = [];
  readonly records: { readonly record: PlacedRecord; readonly transaction: Transaction | undefined }[] = [];
  readonly transactions: Transaction[] = [];
  readonly #open = new Map<number, Transaction>();
  #endOffset = 0;
  #written = 0;

  /** Producer 0 writes without a transaction. Compaction takes what is not kept. */
  write(producer: number, kept: readonly boolean[], codec: number, append: boolean): void {
    const baseOffset = this.#endOffset;
    let transaction = this.#open.get(producer);
    if (producer > 0 && transaction === undefined) {
      transaction = { producer, firstOffset: baseOffset, markerOffset: Number.POSITIVE_INFINITY, aborted: false };
      this.#open.set(producer, transaction);
      this.transactions.push(transaction);
    }
    const maxTimeMs = 1_700_000_500_000;
    const records: (WireRecord & { offsetDelta: number })[] = [];
    kept.forEach((stays, offsetDelta) => {
      if (!stays) return;
      const number = this.#written++;
      const timeMs = 1_700_000_000_000 + ((number * 7919) % 100_000);
      const record = { timeMs, key: null, value: Buffer.from(`record ${number}`), headers: [] };
      records.push({ ...record, offsetDelta });
      const seen = append ? { ...record, timeMs: maxTimeMs } : record;
      this.records.push({ record: { ...seen, offset: baseOffset + offsetDelta }, transaction });
    });
    const compress = codec === 1 ? gzipSync : zstdCompressSync;
    this.#add(
      kept.length,
      wireBatch({
        baseOffset,
        records,
        lastOffsetDelta: kept.length - 1,
        attributes: (producer > 0 ? transactional : 0) | (append ? appendTime : 0) | codec,
        maxTimeMs,
        ...(producer > 0 ? { producerId: BigInt(producer), producerEpoch: 0, baseSequence: 0 } : {}),
        ...(codec === 0 ? {} : { compress }),
      }),
    );
  }

  end(producer: number, aborted: boolean): void {
    const transaction = this.#open.get(producer);
    if (transaction === undefined) return;
    transaction.aborted = aborted;
    transaction.markerOffset = this.#endOffset;
    this.#open.delete(producer);
    this.#add(1, markerBatch(this.#endOffset, BigInt(producer), aborted ? "abort" : "commit"));
  }

  /** Compaction took whole batches. */
  skip(offsets: number): void {
    this.#endOffset += offsets;
  }

  #add(offsets: number, bytes: Buffer): void {
    const offset = this.#endOffset;
    this.#endOffset += offsets;
    this.wires.push({ offset, endOffset: this.#endOffset, bytes });
  }
}

interface Transaction {
  readonly producer: number;
  readonly firstOffset: number;
  markerOffset: number;
  aborted: boolean;
}

const producers = 3;

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.nat({ max: producers }),
        fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(0, 0, 1, 4),
        fc.nat({ max: 4 }),
      )
      .map(([producer, dropped, codec, append]) => (partition: Partition) => {
        const kept = dropped.map((each) => each > 0);
        partition.write(producer, kept, codec, append === 0);
      }),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: producers }), fc.boolean()).map(
      ([producer, aborted]) =>
        (partition: Partition) =>
          partition.end(producer, aborted),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 9 }).map((offsets) => (partition: Partition) => partition.skip(offsets)),
  },
);

test("a reader sees what was committed and nothing else, wherever it begins and wherever the response ends", () => {
  let hidden = 0;
  let again = 0;
  let beyond = 0;
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: "max" }),
      fc.array(fc.boolean(), { minLength: producers, maxLength: producers }),
      fc.nat(),
      fc.nat(),
      fc.boolean(),
      (steps, lastAborted, from, cut, shuffled) => {
        const partition = new Partition();
        for (const run of steps) run(partition);
        // A broker gives a committed reader nothing of an open transaction.
        for (const [i, aborted] of lastAborted.entries()) partition.end(i + 1, aborted);
        const { wires } = partition;
        if (wires.length === 0) return;

        const fetched = wires.slice(from % wires.length);
        const first = fetched[0];
        assert.ok(first !== undefined);
        const fetchOffset = first.offset + (from % (first.endOffset - first.offset));
        const all = Buffer.concat(fetched.map(({ bytes }) => bytes));
        const cutAt = cut % (all.length + 1);
        let nextOffset = fetchOffset;
        let length = 0;
        for (const { bytes, endOffset } of fetched) {
          length += bytes.length;
          if (length <= cutAt) nextOffset = endOffset;
        }

        const abortedTransactions = partition.transactions
          .filter(({ aborted, markerOffset }) => aborted && markerOffset >= fetchOffset)
          .map(({ producer, firstOffset }) => ({ producerId: BigInt(producer), firstOffset }));
        if (shuffled) abortedTransactions.reverse();
        const decoder = new KafkaRecordDecoder();
        for (const committedOnly of [true, false]) {
          const batches = decoder.decode(
            setOf(all.subarray(0, cutAt), { fetchOffset, abortedTransactions, committedOnly }),
          );
          const expected = partition.records.filter(
            ({ record: { offset }, transaction }) =>
              offset >= fetchOffset && offset < nextOffset && !(committedOnly && transaction?.aborted),
          );
          assert.deepEqual(
            readRecords(batches),
            expected.map(({ record }) => record),
          );
          assert.equal(decoder.nextOffset, nextOffset);
          assert.ok(batches.every(({ count }) => count > 0));
        }

        hidden += partition.records.filter(({ transaction }) => transaction?.aborted).length;
        for (let producer = 1; producer <= producers; producer++) {
          const own = partition.transactions.filter((each) => each.producer === producer);
          if (
            own
              .map(({ aborted }) => aborted)
              .join()
              .includes("true,false,true")
          )
            again++;
        }
        if (partition.transactions.some(({ aborted, markerOffset }) => aborted && markerOffset >= nextOffset)) beyond++;
      },
    ),
    { numRuns: 500 },
  );
  assert.ok(hidden > 500 && again > 50 && beyond > 50, `${hidden} hidden, ${again} again, ${beyond} beyond`);
});

test("a control batch that compaction left without its record ends no transaction, as for the Java consumer", () => {
  const value = (text: string): WireRecord => ({ timeMs: 0, key: null, value: Buffer.from(text), headers: [] });
  const of = { attributes: transactional, producerId: 1n, producerEpoch: 0, baseSequence: 0 };
  const wire = Buffer.concat([
    wireBatch({ ...of, baseOffset: 0, records: [value("a")] }),
    wireBatch({ ...of, baseOffset: 1, records: [], lastOffsetDelta: 0, attributes: 0x30 }),
    wireBatch({ ...of, baseOffset: 2, records: [value("b")] }),
  ]);
  const abortedTransactions = [{ producerId: 1n, firstOffset: 0 }];
  assert.deepEqual(new KafkaRecordDecoder().decode(setOf(wire, { abortedTransactions })), []);
});

test("records outside of a transaction are seen, though their producer has one that was aborted", () => {
  const value = { timeMs: 0, key: null, value: Buffer.from("a"), headers: [] };
  const wire = wireBatch({ producerId: 1n, producerEpoch: 0, baseSequence: 0, records: [value] });
  const abortedTransactions = [{ producerId: 1n, firstOffset: 0 }];
  assert.equal(new KafkaRecordDecoder().decode(setOf(wire, { abortedTransactions })).length, 1);
});

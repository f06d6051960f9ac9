import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { type DecodedBatch, KafkaRecordDecoder, type KafkaRecordSet } from "../../src/log/kafka-record-decoder.ts";
import { KafkaRecordEncoder } from "../../src/log/kafka-record-encoder.ts";
import { RecordBatchReader, RecordBatchWriter } from "../../src/log/record-batch.ts";
import { transactional, type WireRecord, wireBatch } from "./kafka-wire.ts";

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
const time = fc.oneof(
  fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
  fc.maxSafeInteger(),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 }),
);
const plainObjects = { noNullPrototype: true };
const header = fc.record({ name: fc.string({ unit: "binary", maxLength: 20 }), value: bytes(40) }, plainObjects);
const record: fc.Arbitrary<WireRecord> = fc.record(
  {
    timeMs: time,
    key: fc.option(bytes(40)),
    value: fc.option(fc.oneof(bytes(40), bytes(400))),
    headers: fc.array(header, { maxLength: 3 }),
  },
  plainObjects,
);
const records = fc.array(record, { minLength: 1, maxLength: 60 });

function sectionOf(list: readonly WireRecord[]): { count: number; bytes: Buffer } {
  const writer = new RecordBatchWriter(16);
  for (const { timeMs, key, value, headers } of list)
    writer.append(
      timeMs,
      key,
      value,
      headers.map(({ name, value }) => ({ name, value: value ?? Buffer.alloc(0) })),
    );
  return { count: writer.count, bytes: writer.take() };
}

/** What a reader of the decoded batches gets, with the offset of each record. */
function readAll(batches: readonly DecodedBatch[]): (WireRecord & { offset: number })[] {
  const reader = new RecordBatchReader();
  const read: (WireRecord & { offset: number })[] = [];
  for (const batch of batches) {
    reader.reset(batch.bytes);
    const times: number[] = [];
    for (let i = 0; reader.next(); i++) {
      times.push(reader.timestamp);
      read.push({
        offset: batch.baseOffset + i,
        timeMs: reader.timestamp,
        key: reader.key(),
        value: reader.value(),
        headers: reader.headers().map(({ name, value }) => ({ name, value: Buffer.from(value) })),
      });
    }
    assert.equal(times.length, batch.count);
    assert.equal(Math.min(...times), batch.minTimeMs);
    assert.equal(Math.max(...times), batch.maxTimeMs);
  }
  return read;
}

function setOf(wire: Buffer, more: Partial<KafkaRecordSet> = {}): KafkaRecordSet {
  return {
    topic: "payments",
    partition: 3,
    bytes: wire,
    fetchOffset: 0,
    committedOnly: true,
    abortedTransactions: [],
    ...more,
  };
}

test("a batch is written byte for byte as the protocol says", () => {
  fc.assert(
    fc.property(records, (list) => {
      const encoder = new KafkaRecordEncoder({ producerId: 77n, producerEpoch: 3, transactional: true });
      encoder.begin(sectionOf(list), 5);
      const expected: Buffer[] = [];
      for (let at = 0; encoder.next(); at += encoder.batchCount)
        expected.push(
          wireBatch({
            records: list.slice(at, at + encoder.batchCount),
            attributes: transactional,
            producerId: 77n,
            producerEpoch: 3,
            baseSequence: 5 + at,
          }),
        );
      assert.deepEqual(encoder.written(), Buffer.concat(expected));
      assert.equal(encoder.nextSequence, 5 + list.length);
    }),
  );
});

test("what was written is read again, whatever the size of the batches and wherever the bytes are cut off", () => {
  fc.assert(
    fc.property(records, fc.integer({ min: 1, max: 2000 }), fc.nat(), fc.nat(), (list, maxBatchBytes, cut, skip) => {
      const encoder = new KafkaRecordEncoder({
        producerId: -1n,
        producerEpoch: -1,
        transactional: false,
        maxBatchBytes,
      });
      encoder.begin(sectionOf(list), -1);
      const ends: { bytes: number; offset: number }[] = [{ bytes: 0, offset: 0 }];
      for (let offset = 0; encoder.next(); ) {
        encoder.written().writeBigInt64BE(BigInt(offset), encoder.batchAt);
        offset += encoder.batchCount;
        ends.push({ bytes: encoder.batchEnd, offset });
        assert.ok(encoder.batchEnd - encoder.batchAt <= maxBatchBytes || encoder.batchCount === 1);
      }
      const wire = encoder.take();
      const cutAt = cut % (wire.length + 1);
      const whole = ends.findLast(({ bytes }) => bytes <= cutAt)?.offset ?? 0;
      const fetchOffset = skip % (whole + 1);

      const decoder = new KafkaRecordDecoder();
      const read = readAll(decoder.decode(setOf(wire.subarray(0, cutAt), { fetchOffset })));
      assert.deepEqual(read, list.map((each, offset) => ({ offset, ...each })).slice(fetchOffset, whole));
      assert.equal(decoder.nextOffset, whole);
    }),
  );
});

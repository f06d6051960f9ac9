import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { test } from "vitest";
import { crc32c } from "../../src/core/crc32c.ts";
import { KappaError } from "../../src/core/errors.ts";
import { type KafkaCompression, kafkaCompressions } from "../../src/log/kafka-compression.ts";
import { KafkaRecordDecoder } from "../../src/log/kafka-record-decoder.ts";
import { KafkaRecordEncoder } from "../../src/log/kafka-record-encoder.ts";
import { RecordBatchReader, RecordBatchWriter } from "../../src/log/record-batch.ts";
import {
  type PlacedRecord,
  plainCrc32c,
  readRecords,
  setOf,
  transactional,
  varint,
  type WireBatch,
  type WireRecord,
  wireBatch,
} from "./kafka-wire.ts";

const plainObjects = { noNullPrototype: true };
const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
const header = fc.record({ name: fc.string({ unit: "binary", maxLength: 20 }), value: bytes(40) }, plainObjects);
const record: fc.Arbitrary<WireRecord> = fc.record(
  {
    timeMs: fc.oneof(
      fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
      fc.maxSafeInteger(),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 }),
    ),
    key: fc.option(bytes(40)),
    value: fc.option(fc.oneof(bytes(40), bytes(400))),
    headers: fc.array(header, { maxLength: 3 }),
  },
  plainObjects,
);
const records = fc.array(record, { minLength: 1, maxLength: 60 });
const compression = fc.constantFrom<KafkaCompression>("none", "gzip", "snappy", "lz4", "zstd");

const noProducer = { producerId: -1n, producerEpoch: -1, transactional: false };

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

function plainRecord(value: string | Buffer, timeMs = 1_700_000_000_000): WireRecord {
  return { timeMs, key: null, value: Buffer.from(value), headers: [] };
}

test("CRC-32C is that of RFC 3720, wherever the bytes begin", () => {
  assert.equal(crc32c(Buffer.alloc(32), 0, 32), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff), 0, 32), 0x62a8ab43);
  assert.equal(crc32c(Buffer.from("..123456789."), 2, 11), 0xe3069283);
  fc.assert(fc.property(bytes(100), (some) => assert.equal(crc32c(some, 0, some.length), plainCrc32c(some))));
});

test("a batch is written byte for byte as the protocol says", () => {
  fc.assert(
    fc.property(records, (list) => {
      const encoder = new KafkaRecordEncoder({ producerId: 2n ** 62n + 1n, producerEpoch: 3, transactional: true });
      encoder.begin(sectionOf(list), 5);
      const expected: Buffer[] = [];
      // Times too far apart for one batch make several.
      for (let at = 0; encoder.next(); at += encoder.batchCount)
        expected.push(
          wireBatch({
            records: list.slice(at, at + encoder.batchCount),
            attributes: transactional,
            producerId: 2n ** 62n + 1n,
            producerEpoch: 3,
            baseSequence: 5 + at,
          }),
        );
      assert.deepEqual(encoder.written(), Buffer.concat(expected));
      assert.equal(encoder.nextSequence, 5 + list.length);
    }),
  );
});

test("what was written is read again, whatever the codec and the size of batches and wherever the bytes are cut", () => {
  fc.assert(
    fc.property(
      records,
      compression,
      fc.integer({ min: 1, max: 3000 }),
      fc.nat(),
      fc.nat(),
      (list, codec, ...sizes) => {
        const [maxBatchBytes, cut, skip] = sizes;
        const encoder = new KafkaRecordEncoder({ ...noProducer, maxBatchBytes, compression: codec });
        encoder.begin(sectionOf(list), -1);
        const ends = [{ bytes: 0, offset: 0 }];
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
        const read = readRecords(decoder.decode(setOf(wire.subarray(0, cutAt), { fetchOffset })));
        assert.deepEqual(read, placed(list).slice(fetchOffset, whole));
        assert.equal(decoder.nextOffset, whole);
      },
    ),
  );
});

function placed(list: readonly WireRecord[], from = 0): PlacedRecord[] {
  return list.map((each, i) => ({ offset: from + i, ...each }));
}

test("records keep their times however far they are apart", () => {
  const list: WireRecord[] = [plainRecord("base", 0)];
  for (let bits = 0; bits < 53; bits++)
    for (const distance of [2 ** bits - 1, 2 ** bits, 1 - 2 ** bits, -(2 ** bits)])
      list.push(plainRecord("", distance));
  const encoder = new KafkaRecordEncoder(noProducer);
  encoder.begin(sectionOf(list), -1);
  assert.equal(encoder.next(), true);
  assert.deepEqual(encoder.written(), wireBatch({ records: list }));
  assert.equal(encoder.next(), false);
  assert.deepEqual(readRecords(new KafkaRecordDecoder().decode(setOf(encoder.written()))), placed(list));
});

test("sections of several partitions share a buffer, and what was taken is not written again", () => {
  const lists = [["a", "b"], ["c"], ["d"]].map((values) => values.map((value) => plainRecord(value)));
  const encoder = new KafkaRecordEncoder(noProducer);
  const places: { at: number; end: number }[] = [];
  for (const list of lists.slice(0, 2)) {
    encoder.begin(sectionOf(list), -1);
    while (encoder.next()) places.push({ at: encoder.batchAt, end: encoder.batchEnd });
  }
  const taken = encoder.take();
  encoder.begin(sectionOf(lists[2] ?? []), -1);
  assert.equal(encoder.next(), true);

  const decoder = new KafkaRecordDecoder();
  const read = [...places.map(({ at, end }) => taken.subarray(at, end)), encoder.written()].map((wire) =>
    readRecords(decoder.decode(setOf(wire))),
  );
  assert.deepEqual(
    read,
    lists.map((list) => placed(list)),
  );
  encoder.clear();
  assert.equal(encoder.written().length, 0);
});

test("sequences go on over the batches of a section and wrap behind 2^31 - 1", () => {
  const encoder = new KafkaRecordEncoder({ producerId: 9n, producerEpoch: 0, transactional: false, maxBatchBytes: 1 });
  encoder.begin(sectionOf(["a", "b", "c", "d"].map((value) => plainRecord(value))), 2 ** 31 - 2);
  const sequences: number[] = [];
  while (encoder.next()) sequences.push(encoder.written().readInt32BE(encoder.batchAt + 53));
  assert.deepEqual(sequences, [2 ** 31 - 2, 2 ** 31 - 1, 0, 1]);
  assert.equal(encoder.nextSequence, 2);
});

test("batches are filled up to their limit to the byte, and a record above it goes alone", () => {
  const list = [400, 400, 5000, 10, 10].map((size) => plainRecord(Buffer.alloc(size)));
  const two = wireBatch({ records: list.slice(0, 2) }).length;
  for (const [maxBatchBytes, expected] of [
    [two, [2, 1, 2]],
    [two - 1, [1, 1, 1, 2]],
  ] as const) {
    const encoder = new KafkaRecordEncoder({ ...noProducer, maxBatchBytes });
    encoder.begin(sectionOf(list), -1);
    const counts: number[] = [];
    while (encoder.next()) counts.push(encoder.batchCount);
    assert.deepEqual(counts, expected);
  }
});

test("a batch that would not become smaller is left uncompressed", () => {
  for (const codec of ["gzip", "snappy", "lz4", "zstd"] as const) {
    const encoder = new KafkaRecordEncoder({ ...noProducer, compression: codec });
    for (const [value, expected] of [
      ["x", 0],
      ["x".repeat(1000), kafkaCompressions[codec]],
    ] as const) {
      encoder.begin(sectionOf([plainRecord(value)]), -1);
      encoder.next();
      assert.equal(encoder.written().readInt16BE(encoder.batchAt + 21), expected, `${codec} of ${value.length}`);
      encoder.next();
    }
  }
});

test("a time that no i64 holds is a bug of ours, not a record", () => {
  for (const timeMs of [Number.NaN, Number.POSITIVE_INFINITY, 0.5, 2 ** 53]) {
    const encoder = new KafkaRecordEncoder(noProducer);
    encoder.begin(sectionOf([plainRecord("a", timeMs)]), -1);
    assert.throws(() => encoder.next(), /invariant broken: a record has the time/);
  }
});

test("decoded bytes stay as they are when the response and the decoder are used again", () => {
  const decoder = new KafkaRecordDecoder();
  for (const compress of [undefined, (plain: Buffer) => gzipSync(plain)]) {
    const batch: WireBatch = { records: [plainRecord("first")], attributes: compress === undefined ? 0 : 1 };
    const wire = wireBatch(compress === undefined ? batch : { ...batch, compress });
    const batches = decoder.decode(setOf(wire));
    wire.fill(0);
    decoder.decode(setOf(wireBatch({ records: [plainRecord("second")] })));
    assert.deepEqual(readRecords(batches), placed([plainRecord("first")]));
  }
});

test("batches without a gap between them come out as one", () => {
  const wires = [0, 2, 4, 7, 9].map((baseOffset) =>
    wireBatch({ baseOffset, records: [plainRecord("a"), plainRecord("b")] }),
  );
  const batches = new KafkaRecordDecoder().decode(setOf(Buffer.concat(wires)));
  assert.deepEqual(
    batches.map(({ baseOffset, count }) => [baseOffset, count]),
    [
      [0, 6],
      [7, 4],
    ],
  );
});

test("a null header value becomes an empty one; names and values of any length keep theirs", () => {
  const headers = [
    { name: "null", value: null },
    ...[0, 1, 127, 128, 40_000].map((length) => ({ name: "n".repeat(length), value: Buffer.alloc(length, 7) })),
  ];
  const wire = wireBatch({ records: [{ ...plainRecord("a"), headers }] });
  const [read] = readRecords(new KafkaRecordDecoder().decode(setOf(wire)));
  assert.deepEqual(
    read?.headers,
    headers.map(({ name, value }) => ({ name, value: value ?? Buffer.alloc(0) })),
  );
});

/** Asserts that the bytes are refused, and returns the error. */
function refusal(wire: Buffer): KappaError {
  try {
    new KafkaRecordDecoder().decode(setOf(wire));
  } catch (error) {
    assert.ok(error instanceof KappaError, String(error));
    return error;
  }
  assert.fail("was decoded");
}

test("a batch with any bit turned over is refused, with the place it has", () => {
  const good = wireBatch({ records: [plainRecord("first")] });
  const batch = wireBatch({ baseOffset: 1, records: [plainRecord("second"), plainRecord("third")] });
  // What comes before the checksum is not covered by it: offset, length, leader epoch, magic.
  for (let at = 17; at < batch.length; at++) {
    const damaged = Buffer.from(batch);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
    const error = refusal(Buffer.concat([good, damaged]));
    assert.equal(error.code, "KAPPA_LOG_CORRUPT");
    assert.deepEqual(error.context, { topic: "payments", partition: 3, offset: 1 });
    assert.match(error.message, /^batch at offset 1 of payments-3 has CRC-32C [0-9a-f]{8}, its head says [0-9a-f]{8};/);
  }
});

test("the leader epoch, which brokers write over, does not count", () => {
  const list = [plainRecord("a")];
  const wire = wireBatch({ records: list });
  wire.writeInt32BE(1234, 12);
  assert.deepEqual(readRecords(new KafkaRecordDecoder().decode(setOf(wire))), placed(list));
});

test("a batch that contradicts itself under a good checksum is refused, or gives whole records", () => {
  let refused = 0;
  let read = 0;
  const damage = fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(records, damage, fc.boolean(), (list, changes, headToo) => {
      const wire = wireBatch({ records: list });
      const from = headToo ? 21 : 61;
      for (const { at, byte } of changes) wire[from + (at % (wire.length - from))] = byte;
      wire.writeUInt32BE(plainCrc32c(wire.subarray(21)), 17);
      try {
        const reader = new RecordBatchReader();
        for (const batch of new KafkaRecordDecoder().decode(setOf(wire))) {
          let count = 0;
          reader.reset(batch.bytes);
          for (; reader.next(); count++) assert.ok(reader.headers().length === reader.headerCount);
          assert.equal(count, batch.count);
        }
        read++;
      } catch (error) {
        assert.ok(error instanceof KappaError, error instanceof Error ? error.stack : String(error));
        refused++;
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(refused > 100 && read > 100, `${refused} refused, ${read} read`);
});

test("a batch whose records do not fit together is refused, and the message says what does not", () => {
  const list = [plainRecord("a"), plainRecord("b")];
  const deltas = (...offsets: number[]) => list.map((each, i) => ({ ...each, offsetDelta: offsets[i] ?? 0 }));
  const changed = (change: (plain: Buffer) => Buffer) => wireBatch({ records: list.slice(0, 1), compress: change });
  // The one record of `changed`: | length 7 | attributes | time | offset | key -1 | value 1 | "a" | headers 0 |
  const cases: [Buffer, RegExp][] = [
    [wireBatch({ records: deltas(1, 1) }), /has offset 1 behind 1, ends at 1/],
    [wireBatch({ records: deltas(1, 0), lastOffsetDelta: 1 }), /has offset 0 behind 1, ends at 1/],
    [wireBatch({ records: deltas(0, 5), lastOffsetDelta: 1 }), /has offset 5 behind 0, ends at 1/],
    [wireBatch({ records: list, lastOffsetDelta: -1 }), /ends at offset -1/],
    [changed((plain) => Buffer.concat([plain, Buffer.alloc(1)])), /has 1 bytes behind its 1 records/],
    [
      changed((plain) => Buffer.concat([varint(8), plain.subarray(1), Buffer.alloc(1)])),
      /has bytes behind the record at 0/,
    ],
    [changed((plain) => Buffer.concat([varint(9), plain.subarray(1), Buffer.alloc(1)])), /has a record of 9 bytes/],
    [
      changed((plain) => Buffer.concat([varint(12), plain.subarray(1, 4), varint(2 ** 30), Buffer.alloc(4)])),
      /has a key or value that ends outside the record at 0/,
    ],
    [
      changed((plain) => Buffer.concat([varint(11), plain.subarray(1, 5), varint(2 ** 30), Buffer.alloc(2)])),
      /has a key or value that ends outside the record at 0/,
    ],
    [changed((plain) => Buffer.concat([plain.subarray(0, 7), varint(1)])), /has a header outside the record at 0/],
    [changed((plain) => plain.subarray(0, 6)), /says 1 records in 6 bytes/],
  ];
  for (const [wire, message] of cases) {
    const error = refusal(wire);
    assert.equal(error.code, "KAPPA_LOG_CORRUPT");
    assert.match(error.message, message);
  }
});

test("a batch that compaction left empty is passed over, whatever codec it names", () => {
  const decoder = new KafkaRecordDecoder();
  for (let codec = 0; codec <= 4; codec++) {
    const wire = wireBatch({ baseOffset: 10, records: [], lastOffsetDelta: 4, attributes: codec });
    assert.deepEqual(decoder.decode(setOf(wire)), []);
    assert.equal(decoder.nextOffset, 15);
  }
});

test("a response that does not hold its first batch whole leaves the position where it is", () => {
  const wire = wireBatch({ baseOffset: 7, records: [plainRecord("a")] });
  const decoder = new KafkaRecordDecoder();
  for (let end = 0; end < wire.length; end++) {
    assert.deepEqual(decoder.decode(setOf(wire.subarray(0, end), { fetchOffset: 7 })), []);
    assert.equal(decoder.nextOffset, 7);
  }
});

test("a batch of a magic to come, or shorter than its head, is refused", () => {
  const future = wireBatch({ records: [plainRecord("a")], magic: 3 });
  assert.match(refusal(future).message, /has magic 3, known is 2/);
  const short = wireBatch({ records: [plainRecord("a")] });
  short.writeInt32BE(48, 8);
  assert.match(refusal(short).message, /is 48 bytes long, its head alone 49/);
  const far = wireBatch({ records: [plainRecord("a")] });
  far.writeBigInt64BE(2n ** 53n, 0);
  assert.match(refusal(far).message, /ends at offset 9007199254740992/);
});

test("a record that the layout of the log cannot hold is refused by its number of headers or the length of a name", () => {
  const many = Array.from({ length: 0x10000 }, () => ({ name: "", value: null }));
  const long = [{ name: "n".repeat(0x10000), value: null }];
  for (const [headers, message] of [
    [many, /has 65536 headers in the record at 0, limit 65535/],
    [long, /has a header name of 65536 bytes in the record at 0, limit 65535/],
  ] as const) {
    const error = refusal(wireBatch({ records: [{ ...plainRecord("a"), headers }] }));
    assert.equal(error.code, "KAPPA_LOG_FAILED");
    assert.match(error.message, message);
  }
});

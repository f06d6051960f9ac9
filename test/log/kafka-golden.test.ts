import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { KafkaRecordDecoder } from "../../src/log/kafka-record-decoder.ts";
import { type PlacedRecord, readRecords, setOf } from "./kafka-wire.ts";

// What the Java client wrote; test/golden/kafka/README.md says how.

const time = 1_700_000_000_000;

function golden(name: string): Buffer {
  return readFileSync(new URL(`../golden/kafka/${name}.bin`, import.meta.url));
}

function record(offset: number, key: string | null, value: string | null, timeMs = time): PlacedRecord {
  const bytes = (text: string | null) => (text === null ? null : Buffer.from(text));
  return { offset, timeMs, key: bytes(key), value: bytes(value), headers: [] };
}

const small = [
  record(1000, "key", "value"),
  record(1001, null, "no key", time - 7),
  record(1002, "tombstone", null, time + 86_400_000_000),
  {
    ...record(1003, "", ""),
    headers: [
      { name: "größe", value: Buffer.from("zwölf") },
      { name: "null", value: Buffer.alloc(0) },
      { name: "", value: Buffer.alloc(0) },
    ],
  },
  ...Array.from({ length: 20 }, (_, i) =>
    record(1004 + i, `card-${i % 3}`, `{"card":"card-${i % 3}","amount":${i * 100}}`, time + i * 1000),
  ),
];

for (const codec of ["none", "gzip", "snappy", "lz4", "zstd"])
  test(`records that Java wrote with ${codec} are read as they are`, () => {
    const decoder = new KafkaRecordDecoder();
    const batches = decoder.decode(setOf(golden(`small-${codec}`), { fetchOffset: 1000 }));
    assert.deepEqual(readRecords(batches), small);
    assert.equal(decoder.nextOffset, 1024);
  });

for (const codec of ["gzip", "snappy", "lz4", "zstd"])
  test(`a record of several blocks that Java wrote with ${codec} is put together`, () => {
    const [large] = readRecords(new KafkaRecordDecoder().decode(setOf(golden(`large-${codec}`))));
    const value = Buffer.from(Array.from({ length: 80_000 }, (_, i) => (i % 101) ^ (i >> 12)));
    assert.deepEqual(large?.value, value);
    assert.deepEqual(large?.key, Buffer.from("large"));
  });

test("a batch with append times gives all its records the time of the append", () => {
  const batches = new KafkaRecordDecoder().decode(setOf(golden("append-time"), { fetchOffset: 50 }));
  assert.deepEqual(readRecords(batches), [record(50, "a", "1", time + 5000), record(51, "b", "2", time + 5000)]);
});

test("of the transactions that Java wrote, the committed ones are read", () => {
  const abortedTransactions = [
    { producerId: 7n, firstOffset: 0 },
    { producerId: 7n, firstOffset: 8 },
    { producerId: 8n, firstOffset: 9 },
  ];
  const decoder = new KafkaRecordDecoder();
  const batches = decoder.decode(setOf(golden("transactions"), { abortedTransactions }));
  assert.deepEqual(readRecords(batches), [
    record(2, null, "8-committed-2"),
    record(3, null, "plain-3"),
    record(5, null, "7-committed-5"),
  ]);
  assert.equal(decoder.nextOffset, 12);

  const uncommitted = readRecords(
    decoder.decode(setOf(golden("transactions"), { abortedTransactions, committedOnly: false })),
  );
  assert.deepEqual(
    uncommitted.map(({ offset }) => offset),
    [0, 1, 2, 3, 5, 8, 9, 11],
  );
});

test("what a cleaner of Java left is read at its offsets", () => {
  const decoder = new KafkaRecordDecoder();
  const batches = decoder.decode(setOf(golden("compacted")));
  assert.deepEqual(readRecords(batches), [
    record(0, "k0", "v0", time),
    record(3, "k3", "v3", time + 3),
    record(6, "k6", null, time + 6),
    record(9, "k9", "v9", time + 9),
    record(12, "k12", "v12", time + 12),
    record(13, "k13", "v13", time + 13),
    record(14, "k14", "v14", time + 14),
  ]);
  assert.deepEqual(
    batches.map(({ baseOffset, count }) => [baseOffset, count]),
    [
      [0, 1],
      [3, 1],
      [6, 1],
      [9, 1],
      [12, 3],
    ],
  );
  assert.equal(decoder.nextOffset, 15);
});

test("the format before Kafka 0.11 is refused, and the message says which setting writes it", () => {
  assert.throws(
    () => new KafkaRecordDecoder().decode(setOf(golden("magic-1"))),
    (error: unknown) =>
      error instanceof KappaError &&
      error.code === "KAPPA_LOG_FAILED" &&
      error.message.includes("magic 1, known is 2") &&
      error.message.includes("log.message.format.version"),
  );
});

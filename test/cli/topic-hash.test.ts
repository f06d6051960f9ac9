import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { test } from "vitest";
import { TopicHasher } from "../../src/cli/topic-hash.ts";
import { KappaError } from "../../src/core/errors.ts";
import { RecordBatchReader, RecordBatchWriter } from "../../src/log/record-batch.ts";

interface PlainRecord {
  readonly key: string | null;
  readonly timeMs: number;
  readonly value: Buffer | null;
}

/** As docs/command-line.md defines it, with a Map and BigInt. */
function defined(records: readonly PlainRecord[]): string {
  const chains = new Map<string | null, Buffer>();
  const field = (bytes: Buffer | null): Buffer => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes === null ? -1 : bytes.length);
    return Buffer.concat([length, bytes ?? Buffer.alloc(0)]);
  };
  for (const { key, timeMs, value } of records) {
    const time = Buffer.alloc(8);
    time.writeBigInt64BE(BigInt(timeMs));
    const content = value !== null && value.length >= 5 && value[0] === 0 ? value.subarray(5) : value;
    const before = chains.get(key) ?? Buffer.alloc(32);
    const parts = [before, field(key === null ? null : Buffer.from(key)), time, field(content)];
    chains.set(key, createHash("sha256").update(Buffer.concat(parts)).digest());
  }
  let sum = 0n;
  for (const chain of chains.values()) sum += BigInt(`0x${chain.toString("hex")}`);
  return (sum % 2n ** 256n).toString(16).padStart(64, "0");
}

/** @param partitionOf of a key: what the topic is cut by */
function hashOf(records: readonly PlainRecord[], partitionOf: (key: string | null) => number = () => 0): string {
  const hasher = new TopicHasher("t");
  const partitions = Map.groupBy(records, ({ key }) => partitionOf(key));
  for (const [partition, held] of partitions) {
    const reader = new RecordBatchReader();
    const writer = new RecordBatchWriter();
    for (const { key, timeMs, value } of held) writer.append(timeMs, key === null ? null : Buffer.from(key), value);
    reader.reset(writer.take());
    while (reader.next()) hasher.add(reader, partition);
  }
  return hasher.result().hash;
}

const recordArbitrary: fc.Arbitrary<PlainRecord> = fc.record({
  key: fc.option(fc.string({ maxLength: 3 })),
  timeMs: fc.maxSafeInteger(),
  value: fc.option(fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes))),
});
const records = fc.array(recordArbitrary, { minLength: 1, maxLength: 60 });

test("the hash is the one that the documentation defines", () => {
  fc.assert(fc.property(records, (held) => assert.equal(hashOf(held), defined(held))));
});

test("the hash does not depend on partitioning or on how keys interleave", () => {
  fc.assert(
    fc.property(records, fc.integer({ min: 1, max: 5 }), (held, partitions) => {
      const whole = hashOf(held);
      assert.equal(
        hashOf(held, (key) => (key === null ? 0 : key.length % partitions)),
        whole,
      );
      const byKey = [...Map.groupBy(held, ({ key }) => key).values()].flat();
      assert.equal(hashOf(byKey), whole);
    }),
  );
});

test("a lost, a doubled and a changed record, and two of a key that changed places, give another hash", () => {
  fc.assert(
    fc.property(records, fc.nat(), (held, pick) => {
      const whole = hashOf(held);
      const at = pick % held.length;
      const record = held[at] as PlainRecord;
      assert.notEqual(hashOf(held.toSpliced(at, 1)), whole);
      assert.notEqual(hashOf(held.toSpliced(at, 0, record)), whole);
      assert.notEqual(hashOf(held.with(at, { ...record, timeMs: record.timeMs === 0 ? 1 : 0 })), whole);
      const next = held.findIndex(
        (other, i) => i > at && other.key === record.key && defined([other]) !== defined([record]),
      );
      if (next < 0) return;
      const swapped = held.with(at, held[next] as PlainRecord).with(next, record);
      assert.notEqual(hashOf(swapped), whole);
    }),
  );
});

test("a schema id does not count, what is written with it does", () => {
  const value = (id: number, content: number): PlainRecord => ({
    key: "k",
    timeMs: 1,
    value: Buffer.from([0, 0, 0, 0, id, content]),
  });
  assert.equal(hashOf([value(1, 7)]), hashOf([value(2, 7)]));
  assert.notEqual(hashOf([value(1, 7)]), hashOf([value(1, 8)]));
});

test("a key in two partitions is refused with both, and so are records without key", () => {
  for (const key of ["a", null]) {
    const hasher = new TopicHasher("t");
    const writer = new RecordBatchWriter();
    writer.append(0, key === null ? null : Buffer.from(key), null);
    const reader = new RecordBatchReader();
    reader.reset(writer.take());
    reader.next();
    hasher.add(reader, 0);
    assert.throws(
      () => hasher.add(reader, 3),
      (error) =>
        error instanceof KappaError && error.code === "KAPPA_TOPIC_MISMATCH" && error.message.includes("0 and 3"),
    );
  }
});

test("many keys are told apart, each in its flat place", () => {
  const held = Array.from({ length: 20_000 }, (_, i) => ({
    key: `key-${i % 10_000}`,
    timeMs: i,
    value: Buffer.from([1, i & 0xff]),
  }));
  assert.equal(hashOf(held), defined(held));
});

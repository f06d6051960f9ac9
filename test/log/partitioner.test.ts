import assert from "node:assert/strict";
import { createRequire } from "node:module";
import fc from "fast-check";
import { test } from "vitest";
import { murmur2, partitionOf } from "../../src/log/partitioner.ts";

const kafkaMurmur2 = createRequire(import.meta.url)("kafkajs/src/producer/partitioners/default/murmur2.js") as (
  key: Buffer,
) => number;

test("murmur2 gives what the Kafka client gives, for any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.equal(murmur2(bytes), kafkaMurmur2(Buffer.from(bytes)));
    }),
  );
});

test("a key is partitioned by the bytes of its text, number or not", () => {
  const key = fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.double({ noNaN: true }), fc.maxSafeInteger());
  fc.assert(
    fc.property(key, fc.integer({ min: 1, max: 64 }), (value, partitions) => {
      const expected = (kafkaMurmur2(Buffer.from(String(value))) & 0x7fffffff) % partitions;
      assert.equal(partitionOf(value, partitions), expected);
    }),
  );
});

// Values computed by org.apache.kafka.common.utils.Utils.murmur2, as Kafka's own UtilsTest lists them.
test("murmur2 gives the values that Kafka's own test lists", () => {
  const listed: [string, number][] = [
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
  ];
  for (const [text, hash] of listed) assert.equal(murmur2(Buffer.from(text)), hash, text);
});

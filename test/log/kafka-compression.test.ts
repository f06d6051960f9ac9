import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import {
  type KafkaCompression,
  KafkaCompressor,
  KafkaDecompressor,
  kafkaCompressions,
} from "../../src/log/kafka-compression.ts";
import { KafkaRecordDecoder } from "../../src/log/kafka-record-decoder.ts";
import { setOf, wireBatch } from "./kafka-wire.ts";

const codecs = ["gzip", "snappy", "lz4", "zstd"] as const;
const written = ["snappy", "lz4"] as const;

/** Bytes with repetitions near and far, over several blocks of 64 KiB, and stretches without any. */
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 40 }).map((literals) => ({ literals, distance: 0, length: 0 })),
      fc.record({
        literals: fc.uint8Array({ minLength: 1, maxLength: 1 }),
        distance: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 100_000 })),
        length: fc.oneof(fc.nat({ max: 70 }), fc.nat({ max: 60_000 })),
      }),
    ),
    { maxLength: 30, size: "max" },
  )
  .map((parts) => {
    const made = Buffer.alloc(parts.reduce((sum, { literals, length }) => sum + literals.length + length, 0));
    let to = 0;
    for (const { literals, distance, length } of parts) {
      made.set(literals, to);
      to += literals.length;
      for (const end = to + length; to < end; to++) made[to] = made[to - 1 - (distance % to)] ?? 0;
    }
    return made;
  });

/** Bytes that do not repeat. */
function noiseOf(length: number): Buffer {
  const noise = Buffer.alloc(length);
  let word = 1;
  for (let i = 0; i < length; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    noise[i] = word >>> 24;
  }
  return noise;
}

function packed(codec: KafkaCompression, plain: Buffer): Buffer {
  return Buffer.from(new KafkaCompressor(codec).compress(plain, 0, plain.length));
}

function unpacked(codec: KafkaCompression, bytes: Buffer): Buffer {
  return new KafkaDecompressor().decompress(kafkaCompressions[codec], bytes, 0, bytes.length);
}

for (const codec of codecs)
  test(`what ${codec} packed it unpacks, from the middle of a buffer and with memory used before`, () => {
    const compressor = new KafkaCompressor(codec);
    const decompressor = new KafkaDecompressor();
    fc.assert(
      fc.property(bytes, fc.nat({ max: 9 }), (plain, before) => {
        const around = Buffer.concat([Buffer.alloc(before, 1), plain, Buffer.alloc(5, 2)]);
        const result = compressor.compress(around, before, before + plain.length);
        const aside = Buffer.concat([Buffer.alloc(before, 3), result, Buffer.alloc(5, 4)]);
        const again = decompressor.decompress(kafkaCompressions[codec], aside, before, before + result.length);
        assert.ok(again.equals(plain));
        assert.ok(result.length <= plain.length * 1.05 + 64, `${plain.length} became ${result.length}`);
      }),
    );
  });

test("bytes that do not repeat cost LZ4 and Snappy a few percent at most, and repeated ones become few", () => {
  const noise = noiseOf(200_000);
  for (const codec of written) {
    assert.ok(packed(codec, noise).length < 201_000);
    assert.ok(packed(codec, Buffer.alloc(200_000, "abcdefg")).length < 11_000);
  }
});

test("LZ4 blocks that refer to earlier ones, are stored as they are, and carry checksums and a size are read", () => {
  const frame = Buffer.concat([
    Buffer.from([0x04, 0x22, 0x4d, 0x18]),
    // Version 1, blocks depend on each other, block checksum, content size, content checksum; blocks of 256 KiB.
    Buffer.from([0x5c, 0x50, ...[12, 0, 0, 0, 0, 0, 0, 0], 0xee]),
    Buffer.from([4, 0, 0, 0x80, ...Buffer.from("abcd"), 1, 1, 1, 1]),
    // No literals, 7 bytes from 4 before, then the one literal a block ends with.
    Buffer.from([5, 0, 0, 0, 0x03, 4, 0, 0x10, 0x21, 2, 2, 2, 2]),
    Buffer.from([0, 0, 0, 0, 3, 3, 3, 3]),
  ]);
  assert.equal(unpacked("lz4", frame).toString(), "abcdabcdabc!");
});

test("Snappy is read without a frame, and with copies from any distance", () => {
  const far = Buffer.alloc(70_000, "0123456789");
  const raw = Buffer.concat([
    Buffer.from([0xf9, 0xa2, 0x04]),
    // 70,000 literals whose number takes three bytes, then copies of 4 from 2, of 3 from 10 and of 2 from 70,000.
    Buffer.from([62 << 2, 0x6f, 0x11, 0x01]),
    far,
    Buffer.from([0b000_000_01, 2]),
    Buffer.from([((3 - 1) << 2) | 2, 10, 0]),
    Buffer.from([((2 - 1) << 2) | 3, 0x70, 0x11, 0x01, 0x00]),
  ]);
  const expected = Buffer.concat([far, Buffer.from("8989"), Buffer.from("456"), Buffer.from("78")]);
  assert.deepEqual(unpacked("snappy", raw).subarray(69_990).toString(), expected.subarray(69_990).toString());
});

/** A frame of one block of at most 64 KiB. */
function lz4Frame(...block: number[]): Buffer {
  const frame = Buffer.from([4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0, ...block, 0, 0, 0, 0]);
  frame.writeUInt32LE(block.length, 7);
  return frame;
}

test("LZ4 that reaches outside of its block, or outside of what it says, is refused", () => {
  const a = 0x61;
  assert.equal(unpacked("lz4", lz4Frame(0x10, a, 1, 0, 0x10, a)).toString(), "aaaaaa");
  // 15 literals and more bytes of 255 each: 66,000 in a block that may have 65,536.
  const many = Math.ceil(66_000 / 255);
  const cases: [Buffer, RegExp][] = [
    [lz4Frame(0x10, a, 2, 0, 0x10, a), /distance of 2 at 1/],
    [lz4Frame(0x10, a, 0, 0, 0x10, a), /distance of 0 at 1/],
    [lz4Frame(0x30, a), /literals behind the end/],
    [lz4Frame(0x10, a, 1), /ends within a sequence/],
    [lz4Frame(0x10, a, 1, 0), /does not end with literals/],
    [lz4Frame(0x1f, a, 1, 0, ...Array<number>(many).fill(255), 0, 0x10, a), /larger than its frame says/],
    [
      lz4Frame(0xf0, ...Array<number>(many).fill(255), 0, ...Array<number>(many * 255 + 15).fill(a)),
      /larger than its frame says/,
    ],
    [Buffer.from([4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 5, 0, 0, 0, a]), /cut off/],
    [Buffer.from([4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]), /without end/],
    [Buffer.from([4, 0x22, 0x4d, 0x18, 0x61, 0x40, 0x82, 0, 0, 0, 0]), /flags 61/],
    [Buffer.from([4, 0x22, 0x4d, 0x19, 0x60, 0x40, 0x82, 0, 0, 0, 0]), /no LZ4 frame/],
  ];
  for (const [frame, message] of cases) assert.throws(() => unpacked("lz4", frame), message);
});

test("an LZ4 block ends as its format wants: with five literals, after a match that began twelve bytes before", () => {
  for (let length = 1; length < 100; length++) {
    const frame = packed("lz4", Buffer.alloc(length));
    if (frame.readUInt32LE(7) >= 0x80000000) continue;
    // The last sequence is a token with the number of literals, and these.
    assert.equal(frame.at(-4 - 6), 0x50, `length ${length}`);
  }
});

test("Snappy that reaches outside of its block, or outside of what it says, is refused", () => {
  const a = 0x61;
  const near = (length: number) => ((length - 4) << 2) | 1;
  assert.equal(unpacked("snappy", Buffer.from([6, 0, a, near(5), 1])).toString(), "aaaaaa");
  const cases: [number[], RegExp][] = [
    [[6, 0, a, near(5), 2], /copy of 5 from 2 before 1/],
    [[6, 0, a, near(5), 0], /copy of 5 from 0 before 1/],
    [[5, 0, a, near(5), 1], /copy of 5 from 1 before 1/],
    [[7, 0, a, near(5), 1], /block of 6 bytes that says 7/],
    [[6, 0, a, near(5)], /copy of 5 from/],
    [[1, 4, a, a], /2 Snappy literals at 0/],
    [[3, 8, a, a], /3 Snappy literals at 0/],
    [[90, 61 << 2, 80], /ends within an element/],
    [[0x80], /without length/],
    // A distance of 2^24: its fourth byte counts.
    [[6, 0, a, (4 << 2) | 3, 1, 0, 0, 1], /copy of 5 from 16777217 before 1/],
  ];
  for (const [block, message] of cases) assert.throws(() => unpacked("snappy", Buffer.from(block)), message);

  // Frames of two chunks: the second must not reach into the first.
  const frame = (...chunk: number[]) =>
    Buffer.from([0x82, ...Buffer.from("SNAPPY"), 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 1, 0, a, 0, 0, 0, ...chunk]);
  assert.equal(unpacked("snappy", frame(5, 6, 0, a, near(5), 1)).toString(), "aaaaaaa");
  assert.throws(() => unpacked("snappy", frame(5, 6, 0, a, near(5), 2)), /copy of 5 from 2 before 1/);
  assert.throws(() => unpacked("snappy", frame(6, 6, 0, a, near(5), 1)), /cut off/);
});

for (const codec of codecs)
  test(`damaged bytes of ${codec} are an error or other bytes, never more than they may be`, () => {
    let errors = 0;
    const damage = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), cut: fc.nat({ max: 9 }) });
    fc.assert(
      fc.property(bytes, damage, (plain, { at, byte, cut }) => {
        const damaged = packed(codec, plain);
        damaged[at % damaged.length] = byte;
        try {
          const again = unpacked(codec, damaged.subarray(0, damaged.length - cut));
          assert.ok(again.length <= Math.max(1 << 20, damaged.length * 100));
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
          assert.ok(!/outside buffer bounds|out of range/i.test(error.message), error.message);
          errors++;
        }
      }),
      { numRuns: 200 },
    );
    assert.ok(errors > 50, `${errors} errors`);
  });

/** Packs a batch of one record, and says how long its records are unpacked. */
function bomb(codec: KafkaCompression, value: Buffer): { wire: Buffer; plainLength: number } {
  let plainLength = 0;
  const compress = (plain: Buffer) => {
    plainLength = plain.length;
    return codec === "gzip" ? gzipSync(plain) : codec === "zstd" ? zstdCompressSync(plain) : packed(codec, plain);
  };
  const records = [{ timeMs: 0, key: null, value, headers: [] }];
  const wire = wireBatch({ records, attributes: kafkaCompressions[codec], compress });
  return { wire, plainLength };
}

/** Bytes of a record besides its value, when that is longer than 2^20 - 64. */
const recordOverhead = 11;

test("a batch may unpack to 100 times its size, and to 1 MiB always", () => {
  for (const codec of ["gzip", "lz4", "zstd"] as const) {
    const decoder = new KafkaRecordDecoder();
    const most = bomb(codec, Buffer.alloc((1 << 20) - recordOverhead));
    assert.equal(most.plainLength, 1 << 20);
    assert.equal(decoder.decode(setOf(most.wire)).length, 1);

    const more = bomb(codec, Buffer.alloc((1 << 20) - recordOverhead + 1));
    assert.throws(
      () => decoder.decode(setOf(more.wire)),
      (error: unknown) =>
        error instanceof KappaError &&
        error.code === "KAPPA_LOG_CORRUPT" &&
        error.context.topic === "payments" &&
        /1048576/.test(error.message),
    );
  }
});

test("no batch may unpack to more than 64 MiB, however large it is", () => {
  // 1 MiB of noise, so that it is not the ratio that refuses.
  for (const codec of ["snappy", "lz4", "zstd"] as const) {
    const value = Buffer.alloc(64 << 20);
    noiseOf(1 << 20).copy(value);
    const { wire } = bomb(codec, value);
    assert.throws(
      () => new KafkaRecordDecoder().decode(setOf(wire)),
      (error: unknown) =>
        error instanceof KappaError && error.code === "KAPPA_LOG_CORRUPT" && /67108864/.test(error.message),
    );
  }
});

test("a codec that does not exist is refused", () => {
  const records = [{ timeMs: 0, key: null, value: null, headers: [] }];
  assert.throws(
    () => new KafkaRecordDecoder().decode(setOf(wireBatch({ records, attributes: 5 }))),
    /cannot be unpacked from 7 bytes of codec 5/,
  );
});

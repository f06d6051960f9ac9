import { copyBytes, repeatBytes } from "../core/byte-copies.ts";
import type { ScratchBytes } from "../core/scratch-bytes.ts";
import { matchMin, type RepeatedBytes } from "./repeated-bytes.ts";

/**
 * LZ4 frames, in JavaScript: the packages that decode them at once, without a promise, either allocate what a frame
 * unpacks to before they know how much that is, or do not look where they write.
 *
 *     frame     | magic u32 | flags u8 | block maximum u8 | contentSize u64? | dictionary u32? | checksum u8 | blocks
 *     block     | length u32, top bit: not compressed | bytes | checksum u32? |    a length of 0 ends the frame
 *     sequence  | token u8: literals and match length, 4 bits each, 15 goes on in bytes | literals | distance u16 |
 *
 * Little-endian. Checksums are passed over: the CRC of the record batch covers the same bytes.
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
 */
const magic = 0x184d2204;
const flag = { version: 0xc0, version1: 0x40, blockChecksum: 0x10, contentSize: 0x08, dictionary: 0x01 } as const;
const notCompressed = 0x80000000;

/** A match ends this far before the end of its block, and begins this far before it. */
const literalsAtEnd = 5;
const searchMargin = 12;

const blockBytes = 1 << 16;

/** A frame of blocks of 64 KiB that do not refer to each other, without checksums; the last byte is that of the head. */
const frameHead: Buffer = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);

/**
 * Decodes the frame from `at` to `end` to the start of `into`.
 *
 * @returns how many bytes it holds
 * @throws Error when it is damaged, or holds more than `limit` bytes
 */
export function decodeLz4(source: Buffer, at: number, end: number, into: ScratchBytes, limit: number): number {
  if (end - at < 7 || source.readUInt32LE(at) !== magic) throw new Error("no LZ4 frame");
  const flags = source.readUInt8(at + 4);
  if ((flags & flag.version) !== flag.version1 || (flags & flag.dictionary) !== 0)
    throw new Error(`LZ4 flags ${flags.toString(16)}`);
  // 4 to 7 stand for 64 KiB, 256 KiB, 1 MiB and 4 MiB.
  const blockMax = 1 << (8 + 2 * ((source.readUInt8(at + 5) >>> 4) & 0x07));
  let next = at + 7 + ((flags & flag.contentSize) === 0 ? 0 : 8);
  let to = 0;
  for (;;) {
    if (next + 4 > end) throw new Error("an LZ4 frame without end");
    const word = source.readUInt32LE(next);
    if (word === 0) return to;
    const blockAt = next + 4;
    const blockEnd = blockAt + (word & ~notCompressed);
    if (blockEnd > end) throw new Error("an LZ4 block that is cut off");
    const room = Math.min(to + blockMax, limit);
    const bytes = into.reserve(room, to);
    if (word >= notCompressed) {
      if (to + blockEnd - blockAt > room) throw tooMuch(room, limit);
      copyBytes(source, blockAt, blockEnd, bytes, to);
      to += blockEnd - blockAt;
    } else to = decodeBlock(source, blockAt, blockEnd, bytes, to, room, limit);
    next = blockEnd + ((flags & flag.blockChecksum) === 0 ? 0 : 4);
  }
}

function decodeBlock(
  source: Buffer,
  start: number,
  end: number,
  bytes: Buffer,
  startTo: number,
  room: number,
  limit: number,
): number {
  let at = start;
  let to = startTo;
  while (at < end) {
    const token = source[at++] as number;
    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && at < end) literals += more = source[at++] as number;
    }
    if (literals > end - at) throw new Error("LZ4 literals behind the end of their block");
    if (literals > room - to) throw tooMuch(room, limit);
    copyBytes(source, at, at + literals, bytes, to);
    at += literals;
    to += literals;
    if (at === end) return to;

    if (end - at < 2) throw new Error("an LZ4 block that ends within a sequence");
    const distance = (source[at] as number) | ((source[at + 1] as number) << 8);
    at += 2;
    let length = (token & 0x0f) + matchMin;
    if (length === 15 + matchMin) {
      let more = 255;
      while (more === 255 && at < end) length += more = source[at++] as number;
    }
    if (distance === 0 || distance > to) throw new Error(`an LZ4 distance of ${distance} at ${to}`);
    if (length > room - to) throw tooMuch(room, limit);
    repeatBytes(bytes, to, distance, length);
    to += length;
  }
  throw new Error("an LZ4 block that does not end with literals");
}

function tooMuch(room: number, limit: number): Error {
  return new Error(room === limit ? `more than ${limit} bytes` : "an LZ4 block that is larger than its frame says");
}

/** Encodes the bytes from `at` to `end` as a frame, to the start of `into`. @returns the length of the frame */
export function encodeLz4(
  source: Buffer,
  at: number,
  end: number,
  into: ScratchBytes,
  repeated: RepeatedBytes,
): number {
  const blocks = Math.ceil((end - at) / blockBytes);
  // Literals cost a byte in 255; a block that becomes larger than its bytes is replaced by them.
  const bytes = into.reserve(frameHead.length + 4 + blocks * (4 + blockBytes + 512), 0);
  frameHead.copy(bytes);
  let to = frameHead.length;
  for (let blockAt = at; blockAt < end; blockAt += blockBytes) {
    const blockEnd = Math.min(blockAt + blockBytes, end);
    const length = blockEnd - blockAt;
    const encodedEnd = encodeBlock(source, blockAt, blockEnd, bytes, to + 4, repeated);
    const encodedLength = encodedEnd - to - 4;
    if (encodedLength < length) {
      bytes.writeUInt32LE(encodedLength, to);
      to = encodedEnd;
    } else {
      bytes.writeUInt32LE(length + notCompressed, to);
      source.copy(bytes, to + 4, blockAt, blockEnd);
      to += 4 + length;
    }
  }
  bytes.writeUInt32LE(0, to);
  return to + 4;
}

function encodeBlock(
  source: Buffer,
  blockAt: number,
  blockEnd: number,
  bytes: Buffer,
  startTo: number,
  repeated: RepeatedBytes,
): number {
  let to = startTo;
  let literalsAt = blockAt;
  repeated.begin(blockAt, blockEnd);
  while (repeated.next(source, literalsAt, blockEnd - searchMargin, blockEnd - literalsAtEnd)) {
    const { at, from, length } = repeated;
    const tokenAt = to;
    to = writeLiterals(source, literalsAt, at, bytes, to);
    const distance = at - from;
    bytes[to++] = distance;
    bytes[to++] = distance >>> 8;
    const more = length - matchMin;
    bytes[tokenAt] = (bytes[tokenAt] as number) | Math.min(more, 15);
    if (more >= 15) to = writeLength(bytes, to, more - 15);
    literalsAt = at + length;
  }
  return writeLiterals(source, literalsAt, blockEnd, bytes, to);
}

/** Writes the token with the number of literals, and the literals. */
function writeLiterals(source: Buffer, at: number, end: number, bytes: Buffer, tokenAt: number): number {
  const literals = end - at;
  bytes[tokenAt] = Math.min(literals, 15) << 4;
  const to = literals < 15 ? tokenAt + 1 : writeLength(bytes, tokenAt + 1, literals - 15);
  copyBytes(source, at, end, bytes, to);
  return to + literals;
}

function writeLength(bytes: Buffer, startTo: number, length: number): number {
  let to = startTo;
  let rest = length;
  for (; rest >= 255; rest -= 255) bytes[to++] = 255;
  bytes[to++] = rest;
  return to;
}

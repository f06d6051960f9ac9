import { copyBytes } from "../core/byte-copies.ts";
import type { ScratchBytes } from "../core/scratch-bytes.ts";
import {
  decodeSnappyBlock,
  snappyElement as element,
  snappyLiteralsInline as literalsInline,
} from "../core/snappy-block.ts";
import type { RepeatedBytes } from "./repeated-bytes.ts";

/**
 * Snappy as Kafka carries it: framed the way the Java client does, or as one raw block, as other clients do.
 *
 *     framed   | 0x82 "SNAPPY" 0x00 | version i32 | compatible i32 | chunks: length i32, block |    big-endian
 */
const frameHead: Buffer = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
const magicLength = 8;

/** Bytes of a chunk before compression: a distance within it fits 16 bits. */
const chunkBytes = 1 << 16;
const searchMargin = 12;

/** A copy is at most this long. */
const copyMax = 64;

/**
 * Decodes the bytes from `at` to `end` to the start of `into`.
 *
 * @returns how many bytes they hold
 * @throws Error when they are damaged, or hold more than `limit` bytes
 */
export function decodeSnappy(source: Buffer, at: number, end: number, into: ScratchBytes, limit: number): number {
  const framed = end - at >= frameHead.length && frameHead.compare(source, at, at + magicLength, 0, magicLength) === 0;
  if (!framed) return decodeSnappyBlock(source, at, end, into, 0, limit);
  let to = 0;
  for (let next = at + frameHead.length; next < end; ) {
    const blockAt = next + 4;
    const blockEnd = blockAt > end ? blockAt : blockAt + source.readUInt32BE(next);
    if (blockEnd > end) throw new Error("a Snappy chunk that is cut off");
    to = decodeSnappyBlock(source, blockAt, blockEnd, into, to, limit);
    next = blockEnd;
  }
  return to;
}

/** Encodes the bytes from `at` to `end`, framed, to the start of `into`. @returns the length of the result */
export function encodeSnappy(
  source: Buffer,
  at: number,
  end: number,
  into: ScratchBytes,
  repeated: RepeatedBytes,
): number {
  const chunks = Math.ceil((end - at) / chunkBytes);
  // Only literals cost: three bytes for up to 64 Ki of them. A copy takes at most three bytes for at least four.
  const bytes = into.reserve(frameHead.length + chunks * (chunkBytes + 64) + (end - at) / 4, 0);
  frameHead.copy(bytes);
  let to = frameHead.length;
  for (let chunkAt = at; chunkAt < end; chunkAt += chunkBytes) {
    const chunkEnd = encodeChunk(source, chunkAt, Math.min(chunkAt + chunkBytes, end), bytes, to + 4, repeated);
    bytes.writeUInt32BE(chunkEnd - to - 4, to);
    to = chunkEnd;
  }
  return to;
}

function encodeChunk(
  source: Buffer,
  chunkAt: number,
  chunkEnd: number,
  bytes: Buffer,
  startTo: number,
  repeated: RepeatedBytes,
): number {
  let to = startTo;
  let length = chunkEnd - chunkAt;
  for (; length > 0x7f; length >>>= 7) bytes[to++] = (length & 0x7f) | 0x80;
  bytes[to++] = length;
  let literalsAt = chunkAt;
  repeated.begin(chunkAt, chunkEnd);
  while (repeated.next(source, literalsAt, chunkEnd - searchMargin, chunkEnd)) {
    const { at, from } = repeated;
    to = writeLiterals(source, literalsAt, at, bytes, to);
    literalsAt = at + repeated.length;
    const distance = at - from;
    for (let rest = repeated.length; rest > 0; rest -= copyMax) {
      bytes[to++] = ((Math.min(rest, copyMax) - 1) << 2) | element.far;
      bytes[to++] = distance;
      bytes[to++] = distance >>> 8;
    }
  }
  return writeLiterals(source, literalsAt, chunkEnd, bytes, to);
}

function writeLiterals(source: Buffer, at: number, end: number, bytes: Buffer, startTo: number): number {
  const more = end - at - 1;
  if (more < 0) return startTo;
  let to = startTo;
  if (more < literalsInline) bytes[to++] = more << 2;
  else {
    bytes[to++] = (literalsInline + 1) << 2;
    bytes[to++] = more;
    bytes[to++] = more >>> 8;
  }
  copyBytes(source, at, end, bytes, to);
  return to + end - at;
}

import { copyBytes } from "./kafka-record-batch.ts";
import { type RepeatedBytes, repeatBytes } from "./repeated-bytes.ts";
import type { ScratchBytes } from "./scratch-bytes.ts";

/**
 * Snappy as Kafka carries it: framed the way the Java client does, or as one raw block, as other clients do.
 *
 *     framed   | 0x82 "SNAPPY" 0x00 | version i32 | compatible i32 | chunks: length i32, block |    big-endian
 *     block    | uncompressed length, varint | elements |
 *     element  low two bits of its first byte: 0 literals, else a copy whose distance has 11, 16 or 32 bits, little-endian
 *
 * https://github.com/google/snappy/blob/main/format_description.txt
 */
const frameHead: Buffer = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
const magicLength = 8;

const element = { literals: 0, near: 1, far: 2, farthest: 3 } as const;

/** Bytes of a chunk before compression: a distance within it fits 16 bits. */
const chunkBytes = 1 << 16;
const searchMargin = 12;

/** Literals up to this many have their number in the first byte; a copy is at most this long. */
const literalsInline = 60;
const copyMax = 64;

/**
 * Decodes the bytes from `at` to `end` to the start of `into`.
 *
 * @returns how many bytes they hold
 * @throws Error when they are damaged, or hold more than `limit` bytes
 */
export function decodeSnappy(source: Buffer, at: number, end: number, into: ScratchBytes, limit: number): number {
  const framed = end - at >= frameHead.length && frameHead.compare(source, at, at + magicLength, 0, magicLength) === 0;
  if (!framed) return decodeBlock(source, at, end, into, 0, limit);
  let to = 0;
  for (let next = at + frameHead.length; next < end; ) {
    const blockAt = next + 4;
    const blockEnd = blockAt > end ? blockAt : blockAt + source.readUInt32BE(next);
    if (blockEnd > end) throw new Error("a Snappy chunk that is cut off");
    to = decodeBlock(source, blockAt, blockEnd, into, to, limit);
    next = blockEnd;
  }
  return to;
}

function decodeBlock(
  source: Buffer,
  start: number,
  end: number,
  into: ScratchBytes,
  startTo: number,
  limit: number,
): number {
  let at = start;
  let length = 0;
  for (let scale = 1, byte = 0x80; byte >= 0x80; scale *= 128) {
    if (at === end || scale > 2 ** 28) throw new Error("a Snappy block without length");
    byte = source[at++] as number;
    length += (byte & 0x7f) * scale;
  }
  const toEnd = startTo + length;
  if (toEnd > limit) throw new Error(`more than ${limit} bytes`);
  const bytes = into.reserve(toEnd, startTo);
  let to = startTo;
  while (at < end) {
    const tag = source[at++] as number;
    const kind = tag & 0x03;
    if (kind === element.literals) {
      let literals = (tag >>> 2) + 1;
      if (literals > literalsInline) {
        const lengthBytes = literals - literalsInline;
        if (at + lengthBytes > end) throw new Error("a Snappy block that ends within an element");
        literals = source.readUIntLE(at, lengthBytes) + 1;
        at += lengthBytes;
      }
      if (literals > end - at || literals > toEnd - to) throw new Error(`${literals} Snappy literals at ${to}`);
      copyBytes(source, at, at + literals, bytes, to);
      at += literals;
      to += literals;
    } else {
      let distance = source[at++] as number;
      let copied = (tag >>> 2) + 1;
      if (kind === element.near) {
        distance |= (tag >>> 5) << 8;
        copied = ((tag >>> 2) & 0x07) + 4;
      } else {
        distance |= (source[at++] as number) << 8;
        if (kind === element.farthest) {
          distance += (source[at] as number) * 2 ** 16 + (source[at + 1] as number) * 2 ** 24;
          at += 2;
        }
      }
      const outside = distance === 0 || distance > to - startTo || copied > toEnd - to;
      if (at > end || outside) throw new Error(`a Snappy copy of ${copied} from ${distance} before ${to - startTo}`);
      repeatBytes(bytes, to, distance, copied);
      to += copied;
    }
  }
  if (to !== toEnd) throw new Error(`a Snappy block of ${to - startTo} bytes that says ${length}`);
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

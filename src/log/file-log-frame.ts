import { crc32 } from "node:zlib";
import { assert } from "../core/assert.ts";
import type { TransactionSection } from "./log.ts";

/**
 * A frame is one atomic step of the journal: a transaction, a topic, or the snapshot that begins a segment. All
 * little-endian; offsets, sequences and times are doubles, which hold safe integers and are read without BigInt.
 *
 *     head       0  magic u32          "KPF1"
 *                4  headCrc u32        CRC-32 of the head from byte 8 on, and of the directory
 *                8  kind u32           snapshot, topic or transaction
 *               12  sectionCount u32
 *               16  bodyLength u32
 *               20  bodyCrc u32        CRC-32 of the body
 *               24  segment u32        where this frame is: a copy of it elsewhere, as in the value of a record,
 *               28  position u32       is not a frame
 *               32  durableEnd u32     how far this segment was known to be fsynced when the frame was written
 *               36  zero u32
 *               40  sequence f64       1 more than the frame before, over all segments
 *               48  appendTime f64     wall-clock ms
 *     directory 48 bytes a section
 *                0  topicId u32
 *                4  partition u32
 *                8  baseOffset f64
 *               16  count u32          records
 *               20  bodyOffset u32     where the section begins in the body
 *               24  length u32         of the section in bytes
 *               28  zero u32
 *               32  minTime f64        smallest and largest record timestamp
 *               40  maxTime f64
 *     body       encoded records of the sections (`record-batch.ts`), or JSON
 *
 * Whoever appends encodes the frame and its body CRC, in its own thread. The owner of the journal then knows the
 * offsets and the place, patches head and directory and computes the small head CRC: its cost is per section, not per
 * byte.
 */
export const headLength = 56;
export const sectionLength = 48;

/** "KPF1" as a little-endian u32. */
const magic = 0x3146504b;
export const magicBytes: Buffer = Buffer.from("KPF1");

/** Which step of the journal a frame is. */
export const frameKind = { snapshot: 1, topic: 2, transaction: 3 } as const;

/** Numeric id of a topic in this journal. */
export type TopicIdOf = (name: string) => number;

/** Encodes a transaction into memory of its own, ready to be handed to the owner and patched there. */
export function encodeTransaction(
  sections: readonly TransactionSection[],
  topicIdOf: TopicIdOf,
  allocate: (length: number) => Buffer,
): Buffer {
  const bodyAt = headLength + sections.length * sectionLength;
  let bodyLength = 0;
  for (const section of sections) bodyLength += section.bytes.length;
  const frame = allocate(bodyAt + bodyLength);
  let bodyOffset = 0;
  for (let i = 0; i < sections.length; i++) {
    const section = sections[i];
    assert(section !== undefined, () => `section ${i} of ${sections.length} is a hole`);
    const at = headLength + i * sectionLength;
    frame.writeUInt32LE(topicIdOf(section.topic), at);
    frame.writeUInt32LE(section.partition, at + 4);
    frame.writeUInt32LE(section.count, at + 16);
    frame.writeUInt32LE(bodyOffset, at + 20);
    frame.writeUInt32LE(section.bytes.length, at + 24);
    frame.writeUInt32LE(0, at + 28);
    frame.writeDoubleLE(section.minTimeMs, at + 32);
    frame.writeDoubleLE(section.maxTimeMs, at + 40);
    frame.set(section.bytes, bodyAt + bodyOffset);
    bodyOffset += section.bytes.length;
  }
  writeHead(frame, frameKind.transaction, sections.length);
  return frame;
}

/** Encodes a frame whose body is JSON: a topic or a snapshot. */
export function encodeNote(kind: number, note: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(note));
  const frame = Buffer.allocUnsafeSlow(headLength + body.length);
  frame.set(body, headLength);
  writeHead(frame, kind, 0);
  return frame;
}

function writeHead(frame: Buffer, kind: number, sectionCount: number): void {
  const bodyAt = headLength + sectionCount * sectionLength;
  frame.writeUInt32LE(magic, 0);
  frame.writeUInt32LE(kind, 8);
  frame.writeUInt32LE(sectionCount, 12);
  frame.writeUInt32LE(frame.length - bodyAt, 16);
  frame.writeUInt32LE(crc32(frame.subarray(bodyAt)), 20);
}

/** Where and when a frame is written; filled in by the owner of the journal. */
export interface FramePlace {
  segment: number;
  position: number;
  durableEnd: number;
  sequence: number;
  appendTimeMs: number;
}

/** Completes the head. The directory must have its offsets already: the CRC covers it. */
export function placeFrame(frame: Buffer, place: FramePlace): void {
  frame.writeUInt32LE(place.segment, 24);
  frame.writeUInt32LE(place.position, 28);
  frame.writeUInt32LE(place.durableEnd, 32);
  frame.writeUInt32LE(0, 36);
  frame.writeDoubleLE(place.sequence, 40);
  frame.writeDoubleLE(place.appendTimeMs, 48);
  frame.writeUInt32LE(crc32(frame.subarray(8, bodyStart(frame, 0))), 4);
}

/**
 * Whether a whole, undamaged head with its directory stands at `at` in `buffer`, where the frame at `position` of
 * `segment` is expected. Says nothing of the body.
 */
export function headStandsAt(buffer: Buffer, at: number, segment: number, position: number): boolean {
  if (buffer.length - at < headLength || buffer.readUInt32LE(at) !== magic) return false;
  if (buffer.readUInt32LE(at + 24) !== segment || buffer.readUInt32LE(at + 28) !== position) return false;
  const end = at + headLength + buffer.readUInt32LE(at + 12) * sectionLength;
  return end <= buffer.length && crc32(buffer.subarray(at + 8, end)) === buffer.readUInt32LE(at + 4);
}

/** Bytes of head and directory of the frame at `at`. Needs the first 16 bytes of the head. */
export function headAndDirectoryLength(buffer: Buffer, at: number): number {
  return headLength + buffer.readUInt32LE(at + 12) * sectionLength;
}

/** Where the body of the frame at `at` begins. */
export function bodyStart(buffer: Buffer, at: number): number {
  return at + headAndDirectoryLength(buffer, at);
}

/** Bytes of the whole frame at `at`. */
export function frameLength(buffer: Buffer, at: number): number {
  return headAndDirectoryLength(buffer, at) + buffer.readUInt32LE(at + 16);
}

/** Whether the body of the frame at `at`, which must be whole in `buffer`, is undamaged. */
export function bodyStands(buffer: Buffer, at: number): boolean {
  const start = bodyStart(buffer, at);
  return crc32(buffer.subarray(start, at + frameLength(buffer, at))) === buffer.readUInt32LE(at + 20);
}

export const kindOf = (buffer: Buffer, at: number): number => buffer.readUInt32LE(at + 8);
export const sectionCountOf = (buffer: Buffer, at: number): number => buffer.readUInt32LE(at + 12);
export const positionOf = (buffer: Buffer, at: number): number => buffer.readUInt32LE(at + 28);
export const durableEndOf = (buffer: Buffer, at: number): number => buffer.readUInt32LE(at + 32);
export const sequenceOf = (buffer: Buffer, at: number): number => buffer.readDoubleLE(at + 40);
export const appendTimeOf = (buffer: Buffer, at: number): number => buffer.readDoubleLE(at + 48);

/** The JSON body of the frame at `at`. */
export function noteOf(buffer: Buffer, at: number): unknown {
  return JSON.parse(buffer.toString("utf8", bodyStart(buffer, at), at + frameLength(buffer, at)));
}

/**
 * A record batch of the Kafka protocol, magic 2. All big-endian:
 *
 *      0  baseOffset i64
 *      8  length i32            of what follows
 *     12  leaderEpoch i32       not covered by the checksum: brokers write over it
 *     16  magic i8              2
 *     17  crc u32               CRC-32C of everything from byte 21 on
 *     21  attributes i16        bits 0-2 compression, 3 timestamps are append times, 4 transactional, 5 control
 *     23  lastOffsetDelta i32   survives compaction, which may remove the records up to it
 *     27  baseTimestamp i64
 *     35  maxTimestamp i64
 *     43  producerId i64        -1 for none
 *     51  producerEpoch i16
 *     53  baseSequence i32
 *     57  recordCount i32
 *     61  records               compressed as one, when they are
 *
 * A record, where every number is a zigzag varint save `attributes`, and a length of -1 is null:
 *
 *     | length | attributes i8 | timestampDelta | offsetDelta | keyLength | key | valueLength | value |
 *     | headerCount | nameLength | name UTF-8 | valueLength | value | ...
 *
 * `kafka-record-decoder.ts` reads batches into the layout of `record-batch.ts`, `kafka-record-encoder.ts` writes them.
 * Offsets and times are numbers: a partition does not reach 2^53 records.
 */

/** Where the fields of a batch are. */
export const batchField = {
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

/** Where the records of a batch begin. */
export const batchHeadLength = 61;

/** What comes before the part of a batch that its `length` counts. */
export const batchPrefixLength = 12;

/** Bits of `attributes`. */
export const batchAttribute = { compression: 0x07, appendTime: 0x08, transactional: 0x10, control: 0x20 } as const;

/** What a record costs in the layout of `record-batch.ts` besides key, value and headers, and what a header costs. */
export const ownRecordOverhead = 22;
export const ownHeaderOverhead = 6;

/** The nearest double of an i64; exact within 2^53. */
export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

/** @param value a safe integer */
export function writeInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}

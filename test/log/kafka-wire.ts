import assert from "node:assert/strict";
import type { DecodedBatch, KafkaRecordSet } from "../../src/log/kafka-record-decoder.ts";
import { RecordBatchReader } from "../../src/log/record-batch.ts";

/** Wire batches of Kafka written the plain way, bit by bit and with BigInt, to test the fast way against. */

export interface WireHeader {
  readonly name: string;
  readonly value: Buffer | null;
}

export interface WireRecord {
  readonly timeMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly WireHeader[];
  /** Where the batch is not contiguous. Default: the index in the batch. */
  readonly offsetDelta?: number;
}

export interface WireBatch {
  readonly records: readonly WireRecord[];
  readonly baseOffset?: number;
  readonly lastOffsetDelta?: number;
  readonly attributes?: number;
  readonly baseTimeMs?: number;
  readonly maxTimeMs?: number;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly magic?: number;
  /** What the broker would write there; does not count for the checksum. */
  readonly leaderEpoch?: number;
  /** Applied to the records as one. */
  readonly compress?: (records: Buffer) => Buffer;
}

export const transactional = 0x10;
export const control = 0x20;
export const appendTime = 0x08;

export function wireBatch(batch: WireBatch): Buffer {
  const times = batch.records.map(({ timeMs }) => timeMs);
  const baseTimeMs = batch.baseTimeMs ?? times[0] ?? -1;
  const plain = Buffer.concat(
    batch.records.map((record, i) => wireRecord(record, record.timeMs - baseTimeMs, record.offsetDelta ?? i)),
  );
  const last = batch.records.at(-1);
  const head = Buffer.alloc(61);
  const records = batch.compress?.(plain) ?? plain;
  head.writeBigInt64BE(BigInt(batch.baseOffset ?? 0), 0);
  head.writeInt32BE(49 + records.length, 8);
  head.writeInt32BE(batch.leaderEpoch ?? -1, 12);
  head.writeInt8(batch.magic ?? 2, 16);
  head.writeInt16BE(batch.attributes ?? 0, 21);
  head.writeInt32BE(batch.lastOffsetDelta ?? last?.offsetDelta ?? batch.records.length - 1, 23);
  head.writeBigInt64BE(BigInt(baseTimeMs), 27);
  head.writeBigInt64BE(BigInt(batch.maxTimeMs ?? Math.max(baseTimeMs, ...times)), 35);
  head.writeBigInt64BE(batch.producerId ?? -1n, 43);
  head.writeInt16BE(batch.producerEpoch ?? -1, 51);
  head.writeInt32BE(batch.baseSequence ?? -1, 53);
  head.writeInt32BE(batch.records.length, 57);
  const whole = Buffer.concat([head, records]);
  whole.writeUInt32BE(plainCrc32c(whole.subarray(21)), 17);
  return whole;
}

/** The batch that ends a transaction: one record, whose key says how. */
export function markerBatch(baseOffset: number, producerId: bigint, kind: "abort" | "commit"): Buffer {
  const key = Buffer.from([0, 0, 0, kind === "commit" ? 1 : 0]);
  const value = Buffer.from([0, 0, 0, 0, 0, 7]);
  return wireBatch({
    records: [{ timeMs: 1_700_000_000_000, key, value, headers: [] }],
    baseOffset,
    attributes: transactional | control,
    producerId,
    producerEpoch: 0,
  });
}

function wireRecord(record: WireRecord, deltaMs: number, offsetDelta: number): Buffer {
  const body = Buffer.concat([
    Buffer.from([0]),
    varint(deltaMs),
    varint(offsetDelta),
    prefixed(record.key),
    prefixed(record.value),
    varint(record.headers.length),
    ...record.headers.flatMap(({ name, value }) => [prefixed(Buffer.from(name)), prefixed(value)]),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

function prefixed(bytes: Buffer | null): Buffer {
  return bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes]);
}

export function varint(value: number): Buffer {
  let rest = value < 0 ? BigInt(value) * -2n - 1n : BigInt(value) * 2n;
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** CRC-32C as it is defined: one bit at a time. */
export function plainCrc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78);
  }
  return ~crc >>> 0;
}

export type PlacedRecord = WireRecord & { readonly offset: number };

/** What a reader of the decoded batches gets, with the offset of each record. */
export function readRecords(batches: readonly DecodedBatch[]): PlacedRecord[] {
  const reader = new RecordBatchReader();
  const read: PlacedRecord[] = [];
  for (const batch of batches) {
    reader.reset(batch.bytes);
    const times: number[] = [];
    for (let i = 0; reader.next(); i++) {
      times.push(reader.timestamp);
      read.push({
        offset: batch.baseOffset + i,
        timeMs: reader.timestamp,
        key: reader.key(),
        value: reader.value(),
        headers: reader.headers().map(({ name, value }) => ({ name, value: Buffer.from(value) })),
      });
    }
    assert.equal(times.length, batch.count);
    assert.equal(Math.min(...times), batch.minTimeMs);
    assert.equal(Math.max(...times), batch.maxTimeMs);
  }
  return read;
}

export function setOf(wire: Buffer, more: Partial<KafkaRecordSet> = {}): KafkaRecordSet {
  return {
    topic: "payments",
    partition: 3,
    bytes: wire,
    fetchOffset: 0,
    committedOnly: true,
    abortedTransactions: [],
    ...more,
  };
}

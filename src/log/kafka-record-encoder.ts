import { assert } from "../core/assert.ts";
import { copyBytes } from "../core/byte-copies.ts";
import { crc32c } from "../core/crc32c.ts";
import { type KafkaCompression, KafkaCompressor } from "./kafka-compression.ts";
import {
  batchAttribute,
  batchField,
  batchHeadLength,
  batchPrefixLength,
  ownHeaderOverhead,
  ownRecordOverhead,
  writeInt64,
} from "./kafka-record-batch.ts";

/**
 * Writes records in the layout of `record-batch.ts` as wire batches, one behind the other in a growing buffer:
 *
 *     const encoder = new KafkaRecordEncoder({ producerId, producerEpoch, transactional: true });
 *     encoder.begin(section, sequence);
 *     while (encoder.next()) place(encoder.batchAt, encoder.batchEnd);   // a Produce request takes one batch a partition
 *     sequence = encoder.nextSequence;
 *     const bytes = encoder.take();                                      // or written() and clear()
 *
 * Sections of several partitions may follow each other before the bytes are taken.
 */

/** How all batches of an encoder are written. */
export interface KafkaRecordEncoderOptions {
  /** As the coordinator gave it; -1 for none. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly transactional: boolean;
  /** Of the records of a batch; default none. A batch that would not become smaller stays as it is. */
  readonly compression?: KafkaCompression;
  /**
   * Bytes of a wire batch, before compression; default 1 MiB, a few bytes below the broker's `message.max.bytes`. More
   * becomes several batches. A record that is larger goes alone, and the broker decides.
   */
  readonly maxBatchBytes?: number;
}

/** What is encoded of a `TransactionSection`. */
export interface EncodedSection {
  readonly count: number;
  readonly bytes: Buffer;
}

const nothing: Buffer = Buffer.alloc(0);

/** Sequences are i32 that go on at 0. */
const sequenceMask = 0x7fffffff;

/** A buffer up to this size is kept, however little of it was used last. */
const keptBytes = 1 << 20;

/** One serves any number of partitions of one producer. */
export class KafkaRecordEncoder {
  readonly #maxBatchBytes: number;
  readonly #producer: Buffer = Buffer.alloc(10);
  readonly #idempotent: boolean;
  readonly #transactional: number;
  readonly #compressor: KafkaCompressor;

  // The section: `#at` goes up through its bytes, `#left` records are to come.
  #source: Buffer = nothing;
  #sourceView: DataView = new DataView(this.#source.buffer);
  #at = 0;
  #left = 0;
  #sequence = -1;

  #buffer: Buffer = Buffer.allocUnsafeSlow(4096);
  #to = 0;
  #batchAt = 0;
  #batchCount = 0;

  constructor(options: KafkaRecordEncoderOptions) {
    this.#maxBatchBytes = options.maxBatchBytes ?? 1 << 20;
    this.#producer.writeBigInt64BE(options.producerId);
    this.#producer.writeInt16BE(options.producerEpoch, 8);
    this.#idempotent = options.producerId >= 0n;
    this.#transactional = options.transactional ? batchAttribute.transactional : 0;
    this.#compressor = new KafkaCompressor(options.compression ?? "none");
  }

  /** Where the last batch begins and ends in what is written, and how many records it has. */
  get batchAt(): number {
    return this.#batchAt;
  }
  get batchEnd(): number {
    return this.#to;
  }
  get batchCount(): number {
    return this.#batchCount;
  }
  /** The sequence of the first record behind the last batch: where the next section of the partition begins. */
  get nextSequence(): number {
    return this.#sequence;
  }

  /**
   * Begins a section. Its bytes must stay as they are until `next` returned false.
   *
   * @param baseSequence of its first record; -1 without a producer id
   */
  begin(section: EncodedSection, baseSequence: number): void {
    assert(this.#left === 0, () => `${this.#left} records of the section before were not taken`);
    assert(this.#idempotent === baseSequence >= 0, () => `sequence ${baseSequence} with producer ${this.#idempotent}`);
    const { bytes, count } = section;
    this.#source = bytes;
    this.#sourceView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#left = count;
    this.#sequence = baseSequence;
  }

  /** Writes the next wire batch of the section. False when there is none. */
  next(): boolean {
    if (this.#left === 0) {
      assert(this.#at === this.#source.length, () => `${this.#source.length - this.#at} bytes behind the section`);
      this.#source = nothing;
      this.#at = 0;
      return false;
    }
    this.#batchAt = this.#to;
    this.#batchCount = 0;
    this.#reserve(batchHeadLength);
    this.#to += batchHeadLength;
    const baseTimeMs = this.#sourceView.getFloat64(this.#at + 4, true);
    assert(Number.isSafeInteger(baseTimeMs), () => `a record has the time ${baseTimeMs}`);
    let maxTimeMs = baseTimeMs;
    while (this.#left > 0) {
      const timeMs = this.#sourceView.getFloat64(this.#at + 4, true);
      // A difference that a double does not hold exactly has to wait for the next batch, where it is none.
      const deltaMs = timeMs - baseTimeMs;
      if (!Number.isSafeInteger(deltaMs) || !this.#record(deltaMs)) break;
      if (timeMs > maxTimeMs) maxTimeMs = timeMs;
    }
    this.#head(this.#pack(), baseTimeMs, maxTimeMs);
    return true;
  }

  /** Compresses the records of the batch where that makes them smaller. @returns the codec they are packed with */
  #pack(): number {
    const { codec } = this.#compressor;
    if (codec === 0) return 0;
    const at = this.#batchAt + batchHeadLength;
    const packed = this.#compressor.compress(this.#buffer, at, this.#to);
    if (packed.length >= this.#to - at) return 0;
    packed.copy(this.#buffer, at);
    this.#to = at + packed.length;
    return codec;
  }

  #head(codec: number, baseTimeMs: number, maxTimeMs: number): void {
    const buffer = this.#buffer;
    const at = this.#batchAt;
    writeInt64(buffer, 0, at);
    buffer.writeInt32BE(this.#to - at - batchPrefixLength, at + batchField.length);
    buffer.writeInt32BE(-1, at + batchField.leaderEpoch);
    buffer.writeInt8(2, at + batchField.magic);
    buffer.writeInt16BE(this.#transactional | codec, at + batchField.attributes);
    buffer.writeInt32BE(this.#batchCount - 1, at + batchField.lastOffsetDelta);
    writeInt64(buffer, baseTimeMs, at + batchField.baseTimestamp);
    writeInt64(buffer, maxTimeMs, at + batchField.maxTimestamp);
    this.#producer.copy(buffer, at + batchField.producerId);
    buffer.writeInt32BE(this.#sequence, at + batchField.baseSequence);
    buffer.writeInt32BE(this.#batchCount, at + batchField.recordCount);
    buffer.writeUInt32BE(crc32c(buffer, at + batchField.attributes, this.#to), at + batchField.crc);
    if (this.#idempotent) this.#sequence = (this.#sequence + this.#batchCount) & sequenceMask;
  }

  /** Writes the record at `#at`. False when the batch is full: the record is the first of the next one then. */
  #record(deltaMs: number): boolean {
    const source = this.#source;
    const view = this.#sourceView;
    const at = this.#at;
    const sourceEnd = at + 4 + view.getUint32(at, true);
    const keyLength = view.getInt32(at + 12, true);
    const valueLength = view.getInt32(at + 16, true);
    const headerCount = view.getUint16(at + 20, true);
    const keyAt = at + ownRecordOverhead;
    const keyEnd = keyLength < 0 ? keyAt : keyAt + keyLength;
    const valueEnd = valueLength < 0 ? keyEnd : keyEnd + valueLength;

    const length =
      1 +
      varlongLength(deltaMs) +
      varintLength(this.#batchCount) +
      varintLength(keyLength) +
      varintLength(valueLength) +
      (valueEnd - keyAt) +
      (headerCount === 0 ? 1 : this.#headersLength(headerCount, valueEnd));
    const end = this.#to + varintLength(length) + length;
    if (end - this.#batchAt > this.#maxBatchBytes && this.#batchCount > 0) return false;
    this.#reserve(end - this.#to);

    this.#varint(length);
    const buffer = this.#buffer;
    buffer[this.#to++] = 0;
    this.#varlong(deltaMs);
    this.#varint(this.#batchCount);
    this.#varint(keyLength);
    copyBytes(source, keyAt, keyEnd, buffer, this.#to);
    this.#to += keyEnd - keyAt;
    this.#varint(valueLength);
    copyBytes(source, keyEnd, valueEnd, buffer, this.#to);
    this.#to += valueEnd - keyEnd;
    if (headerCount === 0) buffer[this.#to++] = 0;
    else this.#headers(headerCount, valueEnd);
    this.#at = sourceEnd;
    this.#batchCount++;
    this.#left--;
    return true;
  }

  /** What header count and headers take on the wire; the headers of the section begin at `at`. */
  #headersLength(count: number, at: number): number {
    const view = this.#sourceView;
    let length = varintLength(count);
    let headerAt = at;
    for (let i = 0; i < count; i++) {
      const nameLength = view.getUint16(headerAt, true);
      const valueLength = view.getUint32(headerAt + 2, true);
      length += varintLength(nameLength) + nameLength + varintLength(valueLength) + valueLength;
      headerAt += ownHeaderOverhead + nameLength + valueLength;
    }
    return length;
  }

  #headers(count: number, at: number): void {
    const source = this.#source;
    const view = this.#sourceView;
    this.#varint(count);
    let headerAt = at;
    for (let i = 0; i < count; i++) {
      const nameLength = view.getUint16(headerAt, true);
      const nameAt = headerAt + ownHeaderOverhead;
      const valueAt = nameAt + nameLength;
      const valueEnd = valueAt + view.getUint32(headerAt + 2, true);
      this.#varint(nameLength);
      copyBytes(source, nameAt, valueAt, this.#buffer, this.#to);
      this.#to += nameLength;
      this.#varint(valueEnd - valueAt);
      copyBytes(source, valueAt, valueEnd, this.#buffer, this.#to);
      this.#to += valueEnd - valueAt;
      headerAt = valueEnd;
    }
  }

  #varint(value: number): void {
    this.#unsigned(zigzag(value));
  }

  #varlong(value: number): void {
    if (small(value)) {
      this.#unsigned(zigzag(value));
      return;
    }
    const magnitude = value < 0 ? -(value + 1) : value;
    const high = Math.floor(magnitude / lowUnits);
    const low = (magnitude - high * lowUnits) * 2 + (value < 0 ? 1 : 0);
    for (let shift = 0; shift < 28; shift += 7) this.#buffer[this.#to++] = ((low >>> shift) & 0x7f) | 0x80;
    this.#unsigned(high);
  }

  #unsigned(value: number): void {
    const buffer = this.#buffer;
    let to = this.#to;
    let rest = value;
    while (rest > 0x7f) {
      buffer[to++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[to++] = rest;
    this.#to = to;
  }

  #reserve(bytes: number): void {
    const needed = this.#to + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#to));
    this.#buffer = grown;
  }

  /** The batches written so far, until more is written. */
  written(): Buffer {
    return this.#buffer.subarray(0, this.#to);
  }

  /** Starts anew over the batches written so far. */
  clear(): void {
    // One large transaction must not hold its memory for ever.
    if (this.#buffer.length > keptBytes && this.#to < this.#buffer.length / 8)
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(keptBytes, this.#to * 2));
    this.#to = 0;
  }

  /** The batches written so far; they belong to the caller now. */
  take(): Buffer {
    const taken = this.written();
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(4096, Math.min(this.#to * 2, 1 << 22)));
    this.#to = 0;
    return taken;
  }
}

/** A varlong outside of 31 bits is written as 28 bits and the rest: two numbers that bit operations can hold. */
const lowUnits = 2 ** 27;

function small(value: number): boolean {
  return value >= -(2 ** 30) && value < 2 ** 30;
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

function varintLength(value: number): number {
  return unsignedLength(zigzag(value));
}

function varlongLength(value: number): number {
  if (small(value)) return unsignedLength(zigzag(value));
  return 4 + unsignedLength(Math.floor((value < 0 ? -(value + 1) : value) / lowUnits));
}

function unsignedLength(value: number): number {
  if (value < 2 ** 7) return 1;
  if (value < 2 ** 14) return 2;
  if (value < 2 ** 21) return 3;
  return value < 2 ** 28 ? 4 : 5;
}

import { hash } from "node:crypto";
import { wireHeaderLength } from "../codec/wire-format.ts";
import { assert } from "../core/assert.ts";
import { KappaError } from "../core/errors.ts";
import { murmur2 } from "../log/partitioner.ts";
import type { RecordBatchReader } from "../log/record-batch.ts";

/** The content of a topic as one number. Defined in docs/command-line.md. */
export interface TopicHash {
  /** 64 lowercase hex digits. */
  readonly hash: string;
  readonly records: number;
  readonly keys: number;
}

const chainLength = 32;
/** | chain (32) | keyLength i32 BE | key | timestamp i64 BE | valueLength i32 BE | value | */
const fixedLength = chainLength + 4 + 8 + 4;

/**
 * Hashes the records of one topic, in offset order within each partition. Keys live in flat memory: 44 bytes each, the
 * key's own bytes, and 8 to 16 bytes of the table that finds them; a record costs one SHA-256.
 */
export class TopicHasher {
  readonly #topic: string;
  /** Open addressing: slot -> number of a key + 1, or 0 for free. A power of two, at most half full. */
  #slots = new Int32Array(1024);
  #keys = 0;
  /** By number of the key. */
  #chains: Buffer = Buffer.alloc(512 * chainLength);
  #partitions = new Int32Array(512);
  #hashes = new Int32Array(512);
  /** Where the bytes of a key begin; they end where those of the next one begin. */
  #starts = new Float64Array(513);
  #bytes: Buffer = Buffer.alloc(8192);
  /** Number of the null key, or -1: it has no bytes and is not the empty key. */
  #nullKey = -1;
  #scratch = Buffer.alloc(4096);
  #records = 0;

  constructor(topic: string) {
    this.#topic = topic;
  }

  /** Takes in the record a reader stands on. @throws KAPPA_TOPIC_MISMATCH when its key was seen in another partition */
  add(reader: RecordBatchReader, partition: number): void {
    const { buffer, keyAt, keyEnd } = reader;
    const key = keyAt < 0 ? this.#nullNumber() : this.#numberOf(buffer, keyAt, keyEnd);
    const first = this.#partitions[key] as number;
    if (first < 0) this.#partitions[key] = partition;
    else if (first !== partition) throw this.#spread(reader.key(), first, partition);
    this.#chain(key, reader);
    this.#records++;
  }

  #chain(key: number, { buffer, keyAt, keyEnd, valueAt, valueEnd, timestamp }: RecordBatchReader): void {
    // A schema id may differ from registry to registry; what was written with it does not.
    const headed = valueAt >= 0 && valueEnd - valueAt >= wireHeaderLength && buffer[valueAt] === 0;
    const contentAt = headed ? valueAt + wireHeaderLength : valueAt;
    const needed = fixedLength + Math.max(0, keyEnd - keyAt) + Math.max(0, valueEnd - contentAt);
    if (this.#scratch.length < needed) this.#scratch = Buffer.alloc(needed * 2);
    const scratch = this.#scratch;
    const chainAt = key * chainLength;
    let at = this.#chains.copy(scratch, 0, chainAt, chainAt + chainLength);
    at = putBytes(scratch, at, buffer, keyAt, keyEnd);
    scratch.writeInt32BE(Math.floor(timestamp / 2 ** 32), at);
    scratch.writeUInt32BE(timestamp >>> 0, at + 4);
    at = putBytes(scratch, at + 8, buffer, contentAt, valueEnd);
    hash("sha256", scratch.subarray(0, at), "buffer").copy(this.#chains, chainAt);
  }

  #nullNumber(): number {
    if (this.#nullKey < 0) this.#nullKey = this.#newKey(0);
    return this.#nullKey;
  }

  #numberOf(buffer: Buffer, start: number, end: number): number {
    const keyHash = murmur2(buffer.subarray(start, end));
    const mask = this.#slots.length - 1;
    let slot = keyHash & mask;
    for (;;) {
      const number = (this.#slots[slot] as number) - 1;
      if (number < 0) break;
      if (this.#hashes[number] === keyHash && this.#same(number, buffer, start, end)) return number;
      slot = (slot + 1) & mask;
    }
    const number = this.#newKey(keyHash);
    const at = this.#starts[number] as number;
    const length = end - start;
    if (at + length > this.#bytes.length) this.#bytes = grown(this.#bytes, at + length);
    buffer.copy(this.#bytes, at, start, end);
    this.#starts[number + 1] = at + length;
    this.#slots[slot] = number + 1;
    if (this.#keys * 2 > this.#slots.length) this.#rehash();
    return number;
  }

  #same(number: number, buffer: Buffer, start: number, end: number): boolean {
    if (number === this.#nullKey) return false;
    const at = this.#starts[number] as number;
    const length = (this.#starts[number + 1] as number) - at;
    return length === end - start && this.#bytes.compare(buffer, start, end, at, at + length) === 0;
  }

  #newKey(keyHash: number): number {
    const number = this.#keys++;
    if (number === this.#partitions.length) this.#growKeys();
    this.#partitions[number] = -1;
    this.#hashes[number] = keyHash;
    this.#starts[number + 1] = this.#starts[number] as number;
    return number;
  }

  #growKeys(): void {
    const room = this.#partitions.length * 2;
    this.#chains = grown(this.#chains, room * chainLength);
    const [partitions, hashes, starts] = [new Int32Array(room), new Int32Array(room), new Float64Array(room + 1)];
    partitions.set(this.#partitions);
    hashes.set(this.#hashes);
    starts.set(this.#starts);
    this.#partitions = partitions;
    this.#hashes = hashes;
    this.#starts = starts;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 0; number < this.#keys; number++) {
      if (number === this.#nullKey) continue;
      let slot = (this.#hashes[number] as number) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.#slots = slots;
  }

  /** The sum of the chains modulo 2^256. */
  result(): TopicHash {
    const sum = Buffer.alloc(chainLength);
    for (let key = 0; key < this.#keys; key++) {
      let carry = 0;
      for (let at = chainLength - 4; at >= 0; at -= 4) {
        const limb = sum.readUInt32BE(at) + this.#chains.readUInt32BE(key * chainLength + at) + carry;
        carry = limb > 0xffff_ffff ? 1 : 0;
        sum.writeUInt32BE(limb >>> 0, at);
      }
    }
    assert(this.#keys <= this.#records, () => `${this.#keys} keys in ${this.#records} records`);
    return { hash: sum.toString("hex"), records: this.#records, keys: this.#keys };
  }

  #spread(key: Buffer | null, first: number, second: number): KappaError {
    const whose = key === null ? "records without a key are" : "a key is";
    return new KappaError(
      "KAPPA_TOPIC_MISMATCH",
      `${whose} in partitions ${first} and ${second} of ${this.#topic}: its records have no one order, so no hash; ` +
        "write the topic with a key that one partition holds",
      { topic: this.#topic, first, second },
    );
  }
}

/** Writes a length and the bytes; null is length -1. @returns where they end */
function putBytes(into: Buffer, at: number, from: Buffer, start: number, end: number): number {
  if (start < 0) return into.writeInt32BE(-1, at);
  into.writeInt32BE(end - start, at);
  return at + 4 + from.copy(into, at + 4, start, end);
}

function grown(buffer: Buffer, needed: number): Buffer {
  const larger = Buffer.alloc(Math.max(needed, buffer.length * 2));
  buffer.copy(larger);
  return larger;
}

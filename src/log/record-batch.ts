import type { EventTimeMs } from "../core/time.ts";

/**
 * Encoded records, one after the other:
 *
 *     | length u32 | timestamp f64 | keyLength i32 | valueLength i32 | headerCount u16 | key | value | headers |
 *     header: | nameLength u16 | valueLength u32 | name UTF-8 | value |
 *
 * All little-endian; `length` counts what follows it; a length of -1 is null, which is not empty. A timestamp is a
 * double because event times are safe integers and a double is read without BigInt.
 */
const fixedLength = 4 + 8 + 4 + 4 + 2;

export interface RecordHeader {
  readonly name: string;
  readonly value: Uint8Array;
}

const noHeaders: readonly RecordHeader[] = [];

/** A buffer up to this size is kept, however little of it was used last. */
const keptBytes = 64 * 1024;

/**
 * Encodes records into one growing buffer. `take` hands the bytes over and starts anew; `written` lends them until
 * `clear`, which costs no new buffer.
 */
export class RecordBatchWriter {
  #buffer: Buffer;
  #at = 0;
  #count = 0;
  #minTimeMs = Number.POSITIVE_INFINITY;
  #maxTimeMs = Number.NEGATIVE_INFINITY;
  /** Where the record being written began, or -1. */
  #recordAt = -1;
  #valueAt = 0;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  get count(): number {
    return this.#count;
  }
  get byteLength(): number {
    return this.#at;
  }
  get minTimeMs(): number {
    return this.#minTimeMs;
  }
  get maxTimeMs(): number {
    return this.#maxTimeMs;
  }

  append(
    timestamp: EventTimeMs,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly RecordHeader[] = noHeaders,
  ): void {
    this.begin(timestamp, key);
    if (value !== null) {
      this.reserve(value.length);
      this.#buffer.set(value, this.#at);
      this.#at += value.length;
    }
    this.end(value === null, headers);
  }

  /** Begins a record whose value is written in place: `begin`, `reserve`, write into `buffer` at `at`, `advance`, `end`. */
  begin(timestamp: EventTimeMs, key: Uint8Array | null): void {
    const keyLength = key === null ? 0 : key.length;
    this.reserve(fixedLength + keyLength);
    this.#header(timestamp, key === null ? -1 : keyLength);
    if (key !== null) this.#buffer.set(key, this.#at);
    this.#at += keyLength;
    this.#valueAt = this.#at;
  }

  /** As `begin`, with a key that is text: written as UTF-8 without a buffer of its own. */
  beginText(timestamp: EventTimeMs, key: string): void {
    this.reserve(fixedLength + key.length * 3);
    const buffer = this.#buffer;
    const keyAt = this.#at + fixedLength;
    let keyLength = key.length;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      if (unit > 0x7f) {
        keyLength = buffer.write(key, keyAt, "utf8");
        break;
      }
      buffer[keyAt + i] = unit;
    }
    this.#header(timestamp, keyLength);
    this.#at += keyLength;
    this.#valueAt = this.#at;
  }

  #header(timestamp: EventTimeMs, keyLength: number): void {
    const buffer = this.#buffer;
    this.#recordAt = this.#at;
    buffer.writeDoubleLE(timestamp, this.#at + 4);
    buffer.writeInt32LE(keyLength, this.#at + 12);
    this.#at += fixedLength;
    if (timestamp < this.#minTimeMs) this.#minTimeMs = timestamp;
    if (timestamp > this.#maxTimeMs) this.#maxTimeMs = timestamp;
  }

  /** The buffer to write a value into. Valid until the next `reserve`. */
  get buffer(): Buffer {
    return this.#buffer;
  }
  get at(): number {
    return this.#at;
  }

  /** Makes room for `bytes` more at `at`. */
  reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
  }

  /** Says that `bytes` were written at `at`. */
  advance(bytes: number): void {
    this.#at += bytes;
  }

  end(nullValue = false, headers: readonly RecordHeader[] = noHeaders): void {
    const valueLength = this.#at - this.#valueAt;
    for (const header of headers) this.#writeHeader(header);
    const buffer = this.#buffer;
    buffer.writeUInt32LE(this.#at - this.#recordAt - 4, this.#recordAt);
    buffer.writeInt32LE(nullValue ? -1 : valueLength, this.#recordAt + 16);
    buffer.writeUInt16LE(headers.length, this.#recordAt + 20);
    this.#recordAt = -1;
    this.#count++;
  }

  #writeHeader(header: RecordHeader): void {
    const nameLength = Buffer.byteLength(header.name);
    this.reserve(6 + nameLength + header.value.length);
    this.#buffer.writeUInt16LE(nameLength, this.#at);
    this.#buffer.writeUInt32LE(header.value.length, this.#at + 2);
    this.#buffer.write(header.name, this.#at + 6);
    this.#buffer.set(header.value, this.#at + 6 + nameLength);
    this.#at += 6 + nameLength + header.value.length;
  }

  /** Drops the record that was begun and not ended: for a value that turned out not to be encodable. */
  abandon(): void {
    if (this.#recordAt < 0) return;
    this.#at = this.#recordAt;
    this.#recordAt = -1;
  }

  /** The bytes written so far; they belong to the caller now. */
  take(): Buffer {
    const taken = this.written();
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(4096, Math.min(this.#at * 2, 1 << 22)));
    this.#restart();
    return taken;
  }

  /** The bytes written so far, until more is written. */
  written(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  /** Starts anew over the bytes written so far. */
  clear(): void {
    // One large batch must not hold its memory for ever.
    if (this.#buffer.length > keptBytes && this.#at < this.#buffer.length / 8)
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(keptBytes, this.#at * 2));
    this.#restart();
  }

  #restart(): void {
    this.#at = 0;
    this.#count = 0;
    this.#minTimeMs = Number.POSITIVE_INFINITY;
    this.#maxTimeMs = Number.NEGATIVE_INFINITY;
  }
}

/**
 * Walks encoded records without copying: after `next()` returned true its fields tell of the current record.
 * One reader serves any number of batches.
 */
export class RecordBatchReader {
  buffer: Buffer = Buffer.alloc(0);
  #next = 0;
  #end = 0;
  timestamp: EventTimeMs = 0;
  /** Start and end of the key in `buffer`; both -1 when null. */
  keyAt = 0;
  keyEnd = 0;
  /** Start and end of the value in `buffer`; both -1 when null. */
  valueAt = 0;
  valueEnd = 0;
  headerCount = 0;
  #headersAt = 0;

  reset(bytes: Buffer): void {
    this.buffer = bytes;
    this.#next = 0;
    this.#end = bytes.length;
  }

  next(): boolean {
    if (this.#next >= this.#end) return false;
    const buffer = this.buffer;
    const at = this.#next;
    const length = buffer.readUInt32LE(at);
    this.timestamp = buffer.readDoubleLE(at + 4);
    const keyLength = buffer.readInt32LE(at + 12);
    const valueLength = buffer.readInt32LE(at + 16);
    this.headerCount = buffer.readUInt16LE(at + 20);
    let position = at + fixedLength;
    if (keyLength < 0) {
      this.keyAt = -1;
      this.keyEnd = -1;
    } else {
      this.keyAt = position;
      position += keyLength;
      this.keyEnd = position;
    }
    if (valueLength < 0) {
      this.valueAt = -1;
      this.valueEnd = -1;
    } else {
      this.valueAt = position;
      position += valueLength;
      this.valueEnd = position;
    }
    this.#headersAt = position;
    this.#next = at + 4 + length;
    return true;
  }

  key(): Buffer | null {
    return this.keyAt < 0 ? null : this.buffer.subarray(this.keyAt, this.keyEnd);
  }

  value(): Buffer | null {
    return this.valueAt < 0 ? null : this.buffer.subarray(this.valueAt, this.valueEnd);
  }

  /** The value of the first header of a name, given as UTF-8; makes no object of the others. */
  header(name: Buffer): Buffer | undefined {
    const buffer = this.buffer;
    let at = this.#headersAt;
    for (let i = 0; i < this.headerCount; i++) {
      const nameLength = buffer.readUInt16LE(at);
      const valueAt = at + 6 + nameLength;
      const end = valueAt + buffer.readUInt32LE(at + 2);
      if (nameLength === name.length && name.compare(buffer, at + 6, valueAt) === 0)
        return buffer.subarray(valueAt, end);
      at = end;
    }
    return undefined;
  }

  headers(): RecordHeader[] {
    const headers: RecordHeader[] = [];
    let at = this.#headersAt;
    for (let i = 0; i < this.headerCount; i++) {
      const nameLength = this.buffer.readUInt16LE(at);
      const valueLength = this.buffer.readUInt32LE(at + 2);
      const valueAt = at + 6 + nameLength;
      headers.push({
        name: this.buffer.toString("utf8", at + 6, valueAt),
        value: this.buffer.subarray(valueAt, valueAt + valueLength),
      });
      at = valueAt + valueLength;
    }
    return headers;
  }
}

/** Drops the first `count` records of a batch. */
export function skipRecords(bytes: Buffer, count: number): Buffer {
  let at = 0;
  for (let i = 0; i < count; i++) at += 4 + bytes.readUInt32LE(at);
  return bytes.subarray(at);
}

import { keyBytesBound, readKey, type StateKey, writeKey } from "./state-key.ts";

/**
 * Writes little-endian values into one growing buffer that is used again and again.
 *
 *     text: | length + 1 u32, 0 is null | UTF-8 |        key: | length u16 | key |
 */
export class ByteWriter {
  buffer: Buffer;
  at = 0;

  constructor(initialBytes = 4096) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  clear(): void {
    this.at = 0;
  }

  reserve(bytes: number): void {
    const needed = this.at + bytes;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.at);
    this.buffer = grown;
  }

  u8(value: number): void {
    this.reserve(1);
    this.buffer[this.at++] = value;
  }

  u16(value: number): void {
    this.reserve(2);
    this.at = this.buffer.writeUInt16LE(value, this.at);
  }

  u32(value: number): void {
    this.reserve(4);
    this.at = this.buffer.writeUInt32LE(value, this.at);
  }

  f64(value: number): void {
    this.reserve(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  raw(source: Buffer, from: number, to: number): void {
    this.reserve(to - from);
    this.at += source.copy(this.buffer, this.at, from, to);
  }

  text(value: string | null): void {
    if (value === null) {
      this.u32(0);
      return;
    }
    this.reserve(4 + value.length * 3);
    const start = this.at + 4;
    let end = start + value.length;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) {
        end = start + this.buffer.write(value, start, "utf8");
        break;
      }
      this.buffer[start + i] = unit;
    }
    this.buffer.writeUInt32LE(end - start + 1, this.at);
    this.at = end;
  }

  key(key: StateKey): void {
    this.reserve(2 + keyBytesBound(key));
    const end = writeKey(this.buffer, this.at + 2, key);
    this.buffer.writeUInt16LE(end - this.at - 2, this.at);
    this.at = end;
  }

  /** A view of what was written; valid until the next write. */
  written(): Buffer {
    return this.buffer.subarray(0, this.at);
  }
}

/** Reads what a `ByteWriter` wrote. */
export class ByteReader {
  buffer: Buffer = Buffer.alloc(0);
  at = 0;
  end = 0;

  reset(buffer: Buffer, at = 0, end = buffer.length): this {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
    return this;
  }

  u8(): number {
    return this.buffer.readUInt8(this.at++);
  }

  u16(): number {
    this.at += 2;
    return this.buffer.readUInt16LE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.buffer.readUInt32LE(this.at - 4);
  }

  f64(): number {
    this.at += 8;
    return this.buffer.readDoubleLE(this.at - 8);
  }

  text(): string | null {
    const length = this.u32() - 1;
    if (length < 0) return null;
    this.at += length;
    return this.buffer.toString("utf8", this.at - length, this.at);
  }

  key(): StateKey {
    const length = this.u16();
    this.at += length;
    return readKey(this.buffer, this.at - length, this.at);
  }
}

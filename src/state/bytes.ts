import { copyBytes } from "../core/byte-copies.ts";
import { keyBytesBound, readKey, type StateKey, writeKey } from "./state-key.ts";

/**
 * Writes little-endian values into one growing buffer that is used again and again.
 *
 *     text: | 0 u32 | for null, or | (units << 1 | wide) + 1 u32 | a byte a unit (Latin-1), or two (UTF-16) when wide |
 *     key:  | length u16 | key |
 *
 * Text in the units JavaScript holds it in, so that every string comes back as it was, a lone surrogate too.
 */
export class ByteWriter {
  buffer: Buffer;
  /** Over the same bytes: its setters are compiled to single stores, those of a Buffer are not. */
  #view: DataView;
  at = 0;

  constructor(initialBytes = 4096) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.#view = viewOf(this.buffer);
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
    this.#view = viewOf(grown);
  }

  u8(value: number): void {
    this.reserve(1);
    this.buffer[this.at++] = value;
  }

  u16(value: number): void {
    this.reserve(2);
    this.#view.setUint16(this.at, value, true);
    this.at += 2;
  }

  u32(value: number): void {
    this.reserve(4);
    this.#view.setUint32(this.at, value, true);
    this.at += 4;
  }

  f64(value: number): void {
    this.reserve(8);
    this.#view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  raw(source: Buffer, from: number, to: number): void {
    this.reserve(to - from);
    copyBytes(source, from, to, this.buffer, this.at);
    this.at += to - from;
  }

  text(value: string | null): void {
    if (value === null) {
      this.u32(0);
      return;
    }
    const units = value.length;
    this.reserve(4 + units * 2);
    const start = this.at + 4;
    let wide = 0;
    for (let i = 0; i < units; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0xff) {
        wide = 1;
        this.buffer.write(value, start, "utf16le");
        break;
      }
      this.buffer[start + i] = unit;
    }
    this.#view.setUint32(this.at, units * 2 + wide + 1, true);
    this.at = start + (units << wide);
  }

  key(key: StateKey): void {
    this.reserve(2 + keyBytesBound(key));
    const end = writeKey(this.buffer, this.at + 2, key);
    this.#view.setUint16(this.at, end - this.at - 2, true);
    this.at = end;
  }

  /** A view of what was written; valid until the next write. */
  written(): Buffer {
    return this.buffer.subarray(0, this.at);
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
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
    const prefix = this.u32() - 1;
    if (prefix < 0) return null;
    const wide = prefix & 1;
    const start = this.at;
    this.at += (prefix >>> 1) << wide;
    return wide === 1
      ? this.buffer.toString("utf16le", start, this.at)
      : this.buffer.toString("latin1", start, this.at);
  }

  key(): StateKey {
    const length = this.u16();
    this.at += length;
    return readKey(this.buffer, this.at - length, this.at);
  }
}

import { shortTextMax } from "./short-text.ts";

const highUnit = 2 ** 27;

/**
 * Writes Avro binary into a buffer that may be too small: what does not fit is counted, not written, so that one pass
 * tells how much room is missing. Values are checked by the caller.
 * https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
export class AvroSink {
  #bytes: Buffer = Buffer.alloc(0);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  open(bytes: Buffer, at: number): void {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    this.#at = at;
  }

  /** The position behind what was written, or minus the number of bytes that were missing. */
  close(): number {
    const missing = this.#at - this.#bytes.length;
    return missing > 0 ? -missing : this.#at;
  }

  /** A typed array ignores writes behind its end: no test a byte. As in `AvroSource.long`, 28 bits and the rest. */
  long(value: number): void {
    if (value >= -(2 ** 30) && value < 2 ** 30) {
      this.#varint(((value << 1) ^ (value >> 31)) >>> 0);
      return;
    }
    const magnitude = value < 0 ? -(value + 1) : value;
    const high = Math.floor(magnitude / highUnit);
    const low = (magnitude - high * highUnit) * 2 + (value < 0 ? 1 : 0);
    const bytes = this.#bytes;
    for (let shift = 0; shift < 28; shift += 7) bytes[this.#at++] = ((low >>> shift) & 0x7f) | 0x80;
    this.#varint(high);
  }

  #varint(value: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    let rest = value;
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#at = at;
  }

  boolean(value: boolean): void {
    this.#bytes[this.#at++] = value ? 1 : 0;
  }

  float(value: number): void {
    const at = this.#at;
    this.#at += 4;
    if (this.#at <= this.#bytes.length) this.#view.setFloat32(at, value, true);
  }

  double(value: number): void {
    const at = this.#at;
    this.#at += 8;
    if (this.#at <= this.#bytes.length) this.#view.setFloat64(at, value, true);
  }

  /** UTF-8, always well-formed: a lone surrogate becomes U+FFFD. */
  text(text: string): void {
    if (text.length <= shortTextMax && this.#ascii(text)) return;
    const length = Buffer.byteLength(text);
    this.long(length);
    if (this.#at + length <= this.#bytes.length) this.#bytes.write(text, this.#at, length, "utf8");
    this.#at += length;
  }

  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const start = this.#at + 1;
    const units = text.length;
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return false;
      bytes[start + i] = unit;
    }
    bytes[this.#at] = units << 1;
    this.#at = start + units;
    return true;
  }

  /** Text of one unit a byte, with its length before it. */
  bytes(text: string): void {
    this.long(text.length);
    this.fixed(text);
  }

  fixed(text: string): void {
    if (this.#at + text.length <= this.#bytes.length) this.#bytes.write(text, this.#at, text.length, "latin1");
    this.#at += text.length;
  }

  /** Bytes that are encoded already. */
  encoded(bytes: Uint8Array): void {
    if (this.#at + bytes.length <= this.#bytes.length) this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}

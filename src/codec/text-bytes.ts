import { shortLatin1, shortTextMax } from "./short-text.ts";

/**
 * Text in the units JavaScript holds it in, so that every string comes back as it was, a lone surrogate too:
 *
 *     | units << 1 | wide  u32 LE | one byte a unit (Latin-1), or two (UTF-16 LE) when wide |
 */
const prefixLength = 4;

/** Bytes that grow, with a place to write the next text at. */
export class TextSink {
  /** Both valid until the next `reserve` or `text`. */
  bytes: Buffer;
  view: DataView;
  /** Where the next byte goes. */
  at: number;

  constructor(initialBytes: number, at: number) {
    this.bytes = Buffer.allocUnsafeSlow(initialBytes);
    this.view = viewOf(this.bytes);
    this.at = at;
  }

  /** Makes room for `length` bytes at `at`. */
  reserve(length: number): void {
    const needed = this.at + length;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.at));
    this.bytes = grown;
    this.view = viewOf(grown);
  }

  text(text: string): void {
    const units = text.length;
    this.reserve(prefixLength + units * 2);
    const start = this.at + prefixLength;
    const wide = this.#narrow(text, start) ? 0 : 1;
    if (wide === 1) this.bytes.write(text, start, "utf16le");
    this.view.setUint32(this.at, units * 2 + wide, true);
    this.at = start + (units << wide);
  }

  /** Writes text that fits Latin-1. Short text goes unit by unit: a call into native code costs more than 20 units do. */
  #narrow(text: string, start: number): boolean {
    const units = text.length;
    if (units > shortTextMax) {
      if (/[^\0-\xff]/.test(text)) return false;
      this.bytes.write(text, start, "latin1");
      return true;
    }
    const bytes = this.bytes;
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0xff) return false;
      bytes[start + i] = unit;
    }
    return true;
  }
}

/** Reads what a `TextSink` wrote, text after text, from `at` on. */
export class TextSource {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = viewOf(this.bytes);
  /** Where the next text begins. */
  at = 0;

  reset(bytes: Buffer): void {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  text(): string {
    const prefix = this.view.getUint32(this.at, true);
    const start = this.at + prefixLength;
    const units = prefix >>> 1;
    if ((prefix & 1) === 1) {
      this.at = start + units * 2;
      return this.bytes.toString("utf16le", start, this.at);
    }
    this.at = start + units;
    if (units <= shortTextMax) return shortLatin1(this.bytes, start, units);
    return this.bytes.toString("latin1", start, this.at);
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

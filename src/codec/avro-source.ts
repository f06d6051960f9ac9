import { nestingMax, unreadable, valueBytesMax } from "./invalid-record.ts";
import { shortLatin1, shortTextMax } from "./short-text.ts";

const highUnit = 2 ** 27;

/** Items of arrays and maps that take no byte, nulls and empty records, in one value. Every other item takes one. */
const freeItemsMax = 1024;

/**
 * Reads Avro binary out of a part of a buffer and never looks beyond it. Every failure is KAPPA_RECORD_INVALID.
 * https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
export class AvroSource {
  #bytes: Buffer = Buffer.alloc(0);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #end = 0;
  #nesting = 0;
  #itemsLeft = 0;

  /** Stands at the first byte of a value. One view serves all values of a batch. */
  open(bytes: Buffer, start: number, end: number): void {
    if (end - start > valueBytesMax) unreadable("limits", `value of ${end - start} bytes, limit ${valueBytesMax}`);
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    this.#at = start;
    this.#end = end;
    this.#nesting = 0;
    this.#itemsLeft = end - start + freeItemsMax;
  }

  /** Says that the value ends here. */
  close(): void {
    if (this.#at !== this.#end) unreadable("decode", `${this.#end - this.#at} bytes left over behind the value`);
  }

  /** Entered by whatever can contain itself, so that a few bytes a level cannot exhaust the stack. */
  enter(): void {
    this.#nesting++;
    if (this.#nesting > nestingMax) unreadable("limits", `value nested deeper than ${nestingMax}`);
  }

  leave(): void {
    this.#nesting--;
  }

  /**
   * Zigzag varint of up to 10 bytes. The lowest 28 bits are collected as an int32, the others as a double: as one
   * double the zigzag form of -(2^53 - 1) would be rounded.
   */
  long(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let byte = bytes[at++] as number;
    let low = byte & 0x7f;
    for (let shift = 7; byte > 0x7f && shift < 28; shift += 7) {
      byte = bytes[at++] as number;
      low |= (byte & 0x7f) << shift;
    }
    if (byte > 0x7f) return this.#longTail(at, low);
    this.#take(at);
    return (low >>> 1) ^ -(low & 1);
  }

  #longTail(from: number, low: number): number {
    const bytes = this.#bytes;
    let at = from;
    let high = 0;
    let unit = 1;
    let byte = 0x80;
    while (byte > 0x7f) {
      if (at - from === 6) unreadable("decode", "integer of more than 64 bits");
      byte = bytes[at++] ?? 0;
      high += (byte & 0x7f) * unit;
      unit *= 128;
    }
    this.#take(at);
    const magnitude = (low >>> 1) + high * highUnit;
    const value = (low & 1) === 0 ? magnitude : -magnitude - 1;
    if (!Number.isSafeInteger(value)) unreadable("decode", "long beyond 2^53 - 1");
    return value;
  }

  int(): number {
    const value = this.long();
    if (value !== (value | 0)) unreadable("decode", `int beyond 32 bits: ${value}`);
    return value;
  }

  boolean(): boolean {
    const at = this.#at;
    this.#take(at + 1);
    const byte = this.#bytes[at] as number;
    if (byte > 1) unreadable("decode", `boolean of value ${byte}`);
    return byte === 1;
  }

  float(): number {
    const at = this.#at;
    this.#take(at + 4);
    return this.#view.getFloat32(at, true);
  }

  double(): number {
    const at = this.#at;
    this.#take(at + 8);
    return this.#view.getFloat64(at, true);
  }

  /** UTF-8. Short ASCII, nearly all there is, never leaves compiled code. Ill-formed bytes read as U+FFFD. */
  text(): string {
    const length = this.#length();
    const at = this.#at;
    this.#take(at + length);
    if (length > shortTextMax) return this.#bytes.toString("utf8", at, at + length);
    const bytes = this.#bytes;
    let seen = 0;
    for (let i = at; i < at + length; i++) seen |= bytes[i] as number;
    return seen < 0x80 ? shortLatin1(bytes, at, length) : bytes.toString("utf8", at, at + length);
  }

  /** Bytes as text of one unit a byte: the form the specification gives them in JSON. */
  bytes(): string {
    return this.fixed(this.#length());
  }

  fixed(length: number): string {
    const at = this.#at;
    this.#take(at + length);
    return this.#bytes.toString("latin1", at, at + length);
  }

  /** Index of a union's branch. */
  branch(branches: number): number {
    const index = this.long();
    if (index < 0 || index >= branches) unreadable("decode", `branch ${index} of a union of ${branches}`);
    return index;
  }

  array(item: (source: AvroSource) => unknown): unknown[] {
    const items: unknown[] = [];
    this.enter();
    for (let count = this.#block(); count > 0; count = this.#block()) {
      for (let i = 0; i < count; i++) items.push(item(this));
    }
    this.leave();
    return items;
  }

  map(item: (source: AvroSource) => unknown): Record<string, unknown> {
    const items: Record<string, unknown> = {};
    this.enter();
    for (let count = this.#block(); count > 0; count = this.#block()) {
      for (let i = 0; i < count; i++) {
        const key = this.text();
        if (key === "__proto__") unreadable("decode", "map with the key __proto__");
        items[key] = item(this);
      }
    }
    this.leave();
    return items;
  }

  /** Items in the block that begins here. A few bytes may claim 2^62: what a value may hold is bounded by its bytes. */
  #block(): number {
    const count = this.long();
    if (count < 0) this.long(); // the block's length in bytes, for those who skip
    const items = Math.abs(count);
    this.#itemsLeft -= items;
    if (this.#itemsLeft < 0) {
      unreadable("limits", `block of ${items} items, ${this.#end - this.#at} bytes left in the value`);
    }
    return items;
  }

  #length(): number {
    const length = this.long();
    if (length < 0) unreadable("decode", `length ${length}`);
    return length;
  }

  #take(at: number): void {
    if (at > this.#end) unreadable("decode", `value cut short: it goes on for ${at - this.#end} bytes behind its end`);
    this.#at = at;
  }
}

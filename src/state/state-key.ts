import { KappaError } from "../core/errors.ts";

/** What a store is keyed by. Text in the usual case; numbers are ids, never NaN. */
export type StateKey = string | number;

const numberTag = 1;
const textTag = 2;

/** Bytes of the longest key. */
export const keyBytesMax = 65_535;

const float = new Float64Array(1);
const floatBytes = Buffer.from(float.buffer);

/**
 * Writes a key at `at` and returns the end. The caller has made room for `keyBytesBound` bytes.
 *
 *     text:    | 2 u8 | UTF-8 |
 *     number:  | 1 u8 | f64 big-endian, sign bit flipped, negative ones with all bits flipped |
 *
 * so that byte order is the order of the numbers, and no number reads as a text.
 */
export function writeKey(buffer: Buffer, at: number, key: StateKey): number {
  if (typeof key === "string") {
    buffer[at] = textTag;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      if (unit > 0x7f) return at + 1 + writeWide(buffer, at + 1, key);
      buffer[at + 1 + i] = unit;
    }
    return at + 1 + key.length;
  }
  buffer[at] = numberTag;
  float[0] = key === 0 ? 0 : key; // -0 is the same key as 0
  const negative = (floatBytes[7] as number) >= 0x80;
  for (let i = 0; i < 8; i++) {
    const byte = floatBytes[7 - i] as number;
    buffer[at + 1 + i] = negative ? ~byte : i === 0 ? byte | 0x80 : byte;
  }
  return at + 9;
}

function writeWide(buffer: Buffer, at: number, key: string): number {
  if (!key.isWellFormed()) {
    throw new KappaError("KAPPA_RECORD_INVALID", "key has half a surrogate pair: it cannot be written as utf-8");
  }
  return buffer.write(key, at, "utf8");
}

/** Reads a key that fills `buffer` from `at` to `end`. */
export function readKey(buffer: Buffer, at: number, end: number): StateKey {
  if (buffer[at] === textTag) return buffer.toString("utf8", at + 1, end);
  const negative = (buffer[at + 1] as number) < 0x80;
  for (let i = 0; i < 8; i++) {
    const byte = buffer[at + 1 + i] as number;
    floatBytes[7 - i] = negative ? ~byte : i === 0 ? byte & 0x7f : byte;
  }
  return float[0] as number;
}

/** An upper bound of the bytes `writeKey` writes. @throws KAPPA_RECORD_INVALID for a key no store can hold */
export function keyBytesBound(key: StateKey): number {
  if (typeof key === "string") {
    const bound = key.length * 3 + 1;
    if (bound > keyBytesMax && Buffer.byteLength(key) + 1 > keyBytesMax) {
      throw new KappaError("KAPPA_RECORD_INVALID", `key is ${Buffer.byteLength(key)} bytes, limit ${keyBytesMax - 1}`);
    }
    return bound;
  }
  if (Number.isNaN(key)) throw new KappaError("KAPPA_RECORD_INVALID", "key is not a number");
  return 9;
}

/**
 * murmur2 over the bytes of a key, as Kafka's Java client computes it, so that foreign producers co-partition with us.
 * Source: org.apache.kafka.common.utils.Utils.murmur2, seed 0x9747b28c. Written here, in 32-bit arithmetic, because the
 * client library's version allocates a BigInt for every step; a test holds the two equal.
 */
const seed = 0x9747b28c;
const multiplier = 0x5bd1e995;

let scratch = Buffer.allocUnsafe(1024);

export function murmur2(bytes: Uint8Array, length = bytes.length): number {
  let hash = seed ^ length;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const b0 = bytes[i] as number;
    const b1 = bytes[i + 1] as number;
    const b2 = bytes[i + 2] as number;
    const b3 = bytes[i + 3] as number;
    let k = b0 | (b1 << 8) | (b2 << 16) | (b3 << 24);
    k = Math.imul(k, multiplier);
    k ^= k >>> 24;
    hash = Math.imul(hash, multiplier) ^ Math.imul(k, multiplier);
  }
  const rest = length & 3;
  if (rest === 3) hash ^= (bytes[whole + 2] as number) << 16;
  if (rest >= 2) hash ^= (bytes[whole + 1] as number) << 8;
  if (rest >= 1) hash = Math.imul(hash ^ (bytes[whole] as number), multiplier);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  return hash ^ (hash >>> 15);
}

/** The partition of a key given as text or as a number, whose bytes are its UTF-8 text. */
export function partitionOf(key: string | number, partitions: number): number {
  if (partitions === 1) return 0;
  const length =
    typeof key === "number" && key >= 0 && key < 2 ** 31 && (key | 0) === key
      ? writeDigits(key)
      : writeText(String(key));
  return (murmur2(scratch, length) & 0x7fffffff) % partitions;
}

/** Decimal digits of a small whole number, without a string. @returns how many */
function writeDigits(number: number): number {
  let length = 1;
  for (let rest = number; rest >= 10; rest = (rest / 10) | 0) length++;
  let rest = number;
  for (let i = length - 1; i >= 0; i--) {
    const tenth = (rest / 10) | 0;
    scratch[i] = 48 + rest - tenth * 10;
    rest = tenth;
  }
  return length;
}

/** @returns bytes of the text in UTF-8 */
function writeText(text: string): number {
  if (text.length * 3 > scratch.length) scratch = Buffer.allocUnsafe(text.length * 3);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return scratch.write(text, 0, "utf8");
    scratch[i] = unit;
  }
  return text.length;
}

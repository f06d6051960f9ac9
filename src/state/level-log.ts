import { crc32c } from "../core/crc32c.ts";

const blockBytes = 32 * 1024;
const headerBytes = 7;
const fragments = { whole: 1, first: 2, middle: 3, last: 4 } as const;

/** What stands in a log of LevelDB's. */
export interface LevelLog {
  /** As LevelDB would take them. */
  readonly records: readonly Buffer[];
  /** Where bytes cannot be read that have records behind them; null when the records are a beginning of what was written. */
  readonly gapAt: number | null;
}

/**
 * Reads LevelDB's framing of its write-ahead log and of its MANIFEST:
 *
 *     blocks of 32 KiB; a block that has less than a header left ends in zeros
 *     | crc32c, masked u32 | length u16 | whole 1, first 2, middle 3 or last 4 u8 | bytes |
 *
 * LevelDB drops what it cannot read, with the rest of its block, and goes on behind it without a word. At the end of a
 * log that is right, since a write that a crash cut off was never acknowledged; anywhere else something is lost.
 */
export function readLevelLog(bytes: Buffer): LevelLog {
  const records: Buffer[] = [];
  let parts: Buffer[] = [];
  let badAt: number | null = null;
  let gapAt: number | null = null;
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const blockEnd = Math.min(bytes.length, at - (at % blockBytes) + blockBytes);
    if (blockEnd - at < headerBytes) {
      at = blockEnd;
      continue;
    }
    const end = at + headerBytes + bytes.readUInt16LE(at + 4);
    const sound = end <= blockEnd && crc32c(bytes, at + headerBytes - 1, end) === unmasked(bytes.readUInt32LE(at));
    const fragment = bytes[at + headerBytes - 1] as number;
    const follows = fragment === fragments.middle || fragment === fragments.last;
    if (!sound || fragment > fragments.last || follows !== parts.length > 0) badAt ??= at;
    if (!sound || fragment > fragments.last) {
      parts = [];
      at = blockEnd;
      continue;
    }
    const starts = fragment === fragments.whole || fragment === fragments.first;
    if (starts) parts = [];
    if (starts || parts.length > 0) parts.push(bytes.subarray(at + headerBytes, end));
    if (parts.length > 0 && (fragment === fragments.whole || fragment === fragments.last)) {
      records.push(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
      parts = [];
      gapAt ??= badAt;
    }
    at = end;
  }
  return { records, gapAt };
}

/** LevelDB masks the checksums it stores, as one over bytes that hold checksums of their own is weak. */
export function unmasked(stored: number): number {
  const rotated = (stored - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

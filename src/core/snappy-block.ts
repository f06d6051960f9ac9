import { copyBytes, repeatBytes } from "./byte-copies.ts";
import type { ScratchBytes } from "./scratch-bytes.ts";

/** The low two bits of an element's first byte. */
export const snappyElement = { literals: 0, near: 1, far: 2, farthest: 3 } as const;

/** Literals up to this many have their number in the first byte. */
export const snappyLiteralsInline = 60;

/**
 * Decodes one raw block, the bytes from `start` to `end`, to `into` from `startTo` on. Kafka frames such blocks, LevelDB
 * keeps them as they are.
 *
 *     block    | uncompressed length, varint | elements |
 *     element  low two bits of its first byte: 0 literals, else a copy whose distance has 11, 16 or 32 bits, little-endian
 *
 * https://github.com/google/snappy/blob/main/format_description.txt
 *
 * @returns where in `into` they end
 * @throws Error when they are damaged, or would end behind `limit`
 */
export function decodeSnappyBlock(
  source: Buffer,
  start: number,
  end: number,
  into: ScratchBytes,
  startTo: number,
  limit: number,
): number {
  let at = start;
  let length = 0;
  for (let scale = 1, byte = 0x80; byte >= 0x80; scale *= 128) {
    if (at === end || scale > 2 ** 28) throw new Error("a Snappy block without length");
    byte = source[at++] as number;
    length += (byte & 0x7f) * scale;
  }
  const toEnd = startTo + length;
  if (toEnd > limit) throw new Error(`more than ${limit} bytes`);
  const bytes = into.reserve(toEnd, startTo);
  let to = startTo;
  while (at < end) {
    const tag = source[at++] as number;
    const kind = tag & 0x03;
    if (kind === snappyElement.literals) {
      let literals = (tag >>> 2) + 1;
      if (literals > snappyLiteralsInline) {
        const lengthBytes = literals - snappyLiteralsInline;
        if (at + lengthBytes > end) throw new Error("a Snappy block that ends within an element");
        literals = source.readUIntLE(at, lengthBytes) + 1;
        at += lengthBytes;
      }
      if (literals > end - at || literals > toEnd - to) throw new Error(`${literals} Snappy literals at ${to}`);
      copyBytes(source, at, at + literals, bytes, to);
      at += literals;
      to += literals;
    } else {
      let distance = source[at++] as number;
      let copied = (tag >>> 2) + 1;
      if (kind === snappyElement.near) {
        distance |= (tag >>> 5) << 8;
        copied = ((tag >>> 2) & 0x07) + 4;
      } else {
        distance |= (source[at++] as number) << 8;
        if (kind === snappyElement.farthest) {
          distance += (source[at] as number) * 2 ** 16 + (source[at + 1] as number) * 2 ** 24;
          at += 2;
        }
      }
      const outside = distance === 0 || distance > to - startTo || copied > toEnd - to;
      if (at > end || outside) throw new Error(`a Snappy copy of ${copied} from ${distance} before ${to - startTo}`);
      repeatBytes(bytes, to, distance, copied);
      to += copied;
    }
  }
  if (to !== toEnd) throw new Error(`a Snappy block of ${to - startTo} bytes that says ${length}`);
  return to;
}

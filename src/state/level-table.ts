import { crc32c } from "../core/crc32c.ts";
import { ScratchBytes } from "../core/scratch-bytes.ts";
import { decodeSnappyBlock } from "../core/snappy-block.ts";
import { unmasked } from "./level-log.ts";
import { LevelVarints } from "./level-varints.ts";

/** Behind each block: compression u8, crc32c of both, masked, u32. */
const trailerBytes = 5;
const compressions = { none: 0, snappy: 1 } as const;
const footerBytes = 48;
const magic: Buffer = Buffer.from([0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]);
/** Far more than an index of any table takes. */
const blockBytesMax = 256 * 1024 * 1024;

const unpacked = new ScratchBytes();

/**
 * Checks every block of a table of LevelDB's against its checksum, which LevelDB itself does not when it reads or
 * compacts one: a flipped bit in a key or in a filter would be an absent key, or an older value of it.
 *
 *     | data blocks | filter block | metaindex block | index block | footer |
 *     footer: | handle of the metaindex | handle of the index | zeros to 40 bytes | magic |
 *     handle: | offset, varint | length, varint |
 *
 * @returns what is wrong; null when nothing is
 */
export function tableDamage(bytes: Buffer): string | null {
  if (bytes.length < footerBytes || magic.compare(bytes, bytes.length - magic.length) !== 0)
    return `no table in its ${bytes.length} bytes`;
  try {
    const footer = new LevelVarints(bytes, bytes.length - footerBytes);
    const [metaAt, metaLength, indexAt, indexLength] = [
      footer.number(),
      footer.number(),
      footer.number(),
      footer.number(),
    ];
    checkHandles(bytes, metaAt, metaLength);
    checkHandles(bytes, indexAt, indexLength);
    return null;
  } catch (error) {
    if (error instanceof Error) return error.message;
    throw error;
  }
}

/**
 * Checks a block whose values are handles, and the blocks they name.
 *
 *     entry: | shared, varint | own, varint | length of value, varint | own bytes of the key | value |
 *     behind the entries: restarts u32 each, their count u32
 */
function checkHandles(table: Buffer, at: number, length: number): void {
  const block = checkedBlock(table, at, length);
  const entriesEnd = block.length - 4 - 4 * block.readUInt32LE(block.length - 4);
  const entries = new LevelVarints(block);
  while (entries.at < entriesEnd) {
    entries.number();
    const [own, valueLength] = [entries.number(), entries.number()];
    entries.bytes(own);
    const valueEnd = entries.at + valueLength;
    checkBlock(table, entries.number(), entries.number());
    entries.at = valueEnd;
  }
}

function checkBlock(table: Buffer, at: number, length: number): void {
  const end = at + length + 1;
  const sound =
    end + trailerBytes - 1 <= table.length - footerBytes &&
    crc32c(table, at, end) === unmasked(table.readUInt32LE(end));
  if (!sound) throw new Error(`the block of ${length} bytes at ${at} fails its checksum`);
}

/** The content of a block; until the next call. */
function checkedBlock(table: Buffer, at: number, length: number): Buffer {
  checkBlock(table, at, length);
  if (table[at + length] === compressions.none) return table.subarray(at, at + length);
  const end = decodeSnappyBlock(table, at, at + length, unpacked, 0, blockBytesMax);
  return unpacked.bytes.subarray(0, end);
}

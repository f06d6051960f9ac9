import type { FileHandle } from "node:fs/promises";
import { KappaError } from "../core/errors.ts";

/** Bytes read at once. */
const readBytes = 1 << 20;
/** Longest row of a text file, in bytes: bounds memory when a file has no line feed, or a quote is never closed. */
const rowBytesMax = 16 << 20;

/** Finds where a row ends: the index behind its line feed, or -1 when it is not in `bytes` yet. */
export type FindRowEnd = (bytes: Buffer, start: number, end: number) => number;

/** A row of a text file and the byte behind it. */
export interface TextRow {
  readonly text: string;
  readonly endByte: number;
}

/** Rows of a text file from a byte on, in memory a piece at a time. The last row needs no line feed. */
export async function* textRows(
  handle: FileHandle,
  fromByte: number,
  findRowEnd: FindRowEnd,
): AsyncGenerator<TextRow[]> {
  let buffer = Buffer.allocUnsafeSlow(2 * readBytes);
  let held = 0;
  let byte = fromByte;
  for (;;) {
    if (buffer.length - held < readBytes) buffer = Buffer.concat([buffer.subarray(0, held)], buffer.length * 2);
    const { bytesRead } = await handle.read(buffer, held, readBytes, byte + held);
    held += bytesRead;
    const rows: TextRow[] = [];
    let at = 0;
    for (let end = findRowEnd(buffer, at, held); end >= 0; end = findRowEnd(buffer, at, held)) {
      rows.push({ text: lineText(buffer, at, end), endByte: byte + end });
      at = end;
    }
    if (bytesRead === 0 && at < held) {
      rows.push({ text: lineText(buffer, at, held), endByte: byte + held });
      at = held;
    }
    byte += at;
    buffer.copyWithin(0, at, held);
    held -= at;
    if (rows.length > 0) yield rows;
    if (bytesRead === 0) return;
    if (held > rowBytesMax) {
      throw new KappaError("KAPPA_FILE_INVALID", `the row at byte ${byte} has no end within ${rowBytesMax} bytes`, {
        byte,
      });
    }
  }
}

function lineText(buffer: Buffer, start: number, end: number): string {
  let last = end;
  if (last > start && buffer[last - 1] === 0x0a) last--;
  if (last > start && buffer[last - 1] === 0x0d) last--;
  return buffer.toString("utf8", start, last);
}

/** Every line feed ends a row. */
export const lineEnd: FindRowEnd = (bytes, start, end) => {
  const at = bytes.indexOf(0x0a, start);
  return at < 0 || at >= end ? -1 : at + 1;
};

import type { FileHandle } from "node:fs/promises";
import { KappaError } from "../core/errors.ts";
import { lineEnd, textRows } from "./line-reader.ts";
import { chunkRowsMax, type FilePlace, type RowChunk, type RowFields, type RowFile } from "./row-file.ts";

/** A JSON object a line. Empty lines are passed over. */
export class NdjsonRows implements RowFile {
  readonly unit = "bytes";
  readonly untyped = false;
  readonly total: number;
  readonly #handle: FileHandle;

  static async open(this: void, handle: FileHandle): Promise<NdjsonRows> {
    return new NdjsonRows(handle, (await handle.stat()).size);
  }

  private constructor(handle: FileHandle, total: number) {
    this.#handle = handle;
    this.total = total;
  }

  doneAt({ byte }: FilePlace): number {
    return byte;
  }

  async *chunks(from: FilePlace): AsyncGenerator<RowChunk> {
    let row = from.row;
    for await (const texts of textRows(this.#handle, from.byte, lineEnd)) {
      for (let at = 0; at < texts.length; at += chunkRowsMax) {
        const part = texts.slice(at, at + chunkRowsMax);
        const rows = part.filter(({ text }) => text.trim() !== "").map(({ text }) => parse(text));
        row += rows.length;
        yield { rows, end: { row, byte: part.at(-1)?.endByte ?? from.byte } };
      }
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function parse(text: string): RowFields | KappaError {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as RowFields;
    return new KappaError("KAPPA_RECORD_INVALID", "it is JSON, but no object");
  } catch (error) {
    // The parser's message quotes the text, which is personal data: it stays in the cause.
    return new KappaError("KAPPA_RECORD_INVALID", "it is not JSON", {}, error);
  }
}

import type { FileHandle } from "node:fs/promises";
import { KappaError } from "../core/errors.ts";
import { type FindRowEnd, textRows } from "./line-reader.ts";
import { chunkRowsMax, type FilePlace, type RowChunk, type RowFields, type RowFile } from "./row-file.ts";

/**
 * CSV as RFC 4180 has it: a head with the names, fields separated by commas, quoted where they hold a comma, a quote
 * (doubled) or a line break. Nothing between two commas is null; "" is the empty text. Written here, since a reader
 * must know the byte behind each row to continue there.
 */
export class CsvRows implements RowFile {
  readonly unit = "bytes";
  readonly untyped = true;
  readonly total: number;
  readonly #handle: FileHandle;
  readonly #names: readonly string[];
  readonly #firstByte: number;

  static async open(this: void, handle: FileHandle, path: string): Promise<CsvRows> {
    for await (const [head] of textRows(handle, 0, quotedRowEnd)) {
      if (head === undefined) break;
      const names = splitRow(head.text.replace(/^\uFEFF/, ""));
      if (names.every((name) => name !== null && name !== "") && new Set(names).size === names.length) {
        return new CsvRows(handle, (await handle.stat()).size, names as string[], head.endByte);
      }
      throw new KappaError("KAPPA_FILE_INVALID", `${path}: the first row must name every column once`, { path });
    }
    throw new KappaError("KAPPA_FILE_INVALID", `${path} is empty: its first row must name the columns`, { path });
  }

  private constructor(handle: FileHandle, total: number, names: readonly string[], firstByte: number) {
    this.#handle = handle;
    this.total = total;
    this.#names = names;
    this.#firstByte = firstByte;
  }

  doneAt({ byte }: FilePlace): number {
    return byte;
  }

  async *chunks(from: FilePlace): AsyncGenerator<RowChunk> {
    let row = from.row;
    for await (const texts of textRows(this.#handle, Math.max(from.byte, this.#firstByte), quotedRowEnd)) {
      for (let at = 0; at < texts.length; at += chunkRowsMax) {
        const part = texts.slice(at, at + chunkRowsMax);
        const rows = part.filter(({ text }) => text !== "").map(({ text }) => this.#row(text));
        row += rows.length;
        yield { rows, end: { row, byte: part.at(-1)?.endByte ?? from.byte } };
      }
    }
  }

  #row(text: string): RowFields | KappaError {
    const fields = splitRow(text);
    const names = this.#names;
    if (fields.length !== names.length) {
      return new KappaError("KAPPA_RECORD_INVALID", `it has ${fields.length} fields, the head names ${names.length}`);
    }
    const row: Record<string, unknown> = {};
    for (let i = 0; i < names.length; i++) row[names[i] as string] = fields[i];
    return row;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** A line feed ends a row unless it stands between quotes. */
const quotedRowEnd: FindRowEnd = (bytes, start, end) => {
  let quoted = false;
  for (let i = start; i < end; i++) {
    const byte = bytes[i];
    if (byte === 0x22) quoted = !quoted;
    else if (byte === 0x0a && !quoted) return i + 1;
  }
  return -1;
};

function splitRow(text: string): (string | null)[] {
  if (!text.includes('"')) return text.split(",").map((field) => (field === "" ? null : field));
  const fields: (string | null)[] = [];
  for (let at = 0; at <= text.length; ) {
    if (text[at] !== '"') {
      const comma = text.indexOf(",", at);
      const end = comma < 0 ? text.length : comma;
      fields.push(end === at ? null : text.slice(at, end));
      at = end + 1;
      continue;
    }
    let end = at + 1;
    while (end < text.length && (text[end] !== '"' || text[end + 1] === '"')) end += text[end] === '"' ? 2 : 1;
    fields.push(text.slice(at + 1, end).replaceAll('""', '"'));
    const comma = text.indexOf(",", end);
    at = comma < 0 ? text.length + 1 : comma + 1;
  }
  return fields;
}

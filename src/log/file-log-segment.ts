import { join } from "node:path";
import { crc32 } from "node:zlib";
import { headAndDirectoryLength } from "./file-log-frame.ts";
import type { FileSystem } from "./file-system.ts";

const segmentName = /^(\d{10})\.log$/;

/** `<directory>/0000000007.log`. Segments are numbered from 1 without gaps; retention removes the lowest. */
export function segmentPath(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(10, "0")}.log`);
}

/** The numbers of the segments in a directory, ascending. */
export function listSegments(fileSystem: FileSystem, directory: string): number[] {
  return fileSystem
    .list(directory)
    .flatMap((name) => segmentName.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * Heads and directories of a sealed segment, without the bodies: what a reader needs to index it, in a file of its own,
 * `<directory>/0000000007.index`.
 *
 *     | magic u32 | crc u32 of what follows | segmentLength u32 | headsLength u32 | heads and directories ... |
 *
 * Each head says where its frame is. The file can be rebuilt from the segment at any time and is trusted only as far as
 * its CRC.
 */
const prologueLength = 16;
/** "KPFX" as a little-endian u32. */
const magic = 0x5846504b;

export function sidecarPath(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(10, "0")}.index`);
}

/** Writes the sidecar of a sealed segment; it is there whole or not at all. */
export async function writeSidecar(
  fileSystem: FileSystem,
  directory: string,
  segment: number,
  segmentLength: number,
  heads: Buffer,
): Promise<void> {
  const prologue = Buffer.alloc(prologueLength);
  prologue.writeUInt32LE(magic, 0);
  prologue.writeUInt32LE(segmentLength, 8);
  prologue.writeUInt32LE(heads.length, 12);
  prologue.writeUInt32LE(crc32(heads, crc32(prologue.subarray(8))), 4);
  const path = sidecarPath(directory, segment);
  const file = await fileSystem.create(`${path}.tmp`);
  await file.write([prologue, heads], 0);
  await file.datasync();
  await file.close();
  await fileSystem.rename(`${path}.tmp`, path);
}

/** The heads of a sealed segment, and its length; undefined when there is no undamaged sidecar. */
export function readSidecar(
  fileSystem: FileSystem,
  directory: string,
  segment: number,
): { readonly heads: Buffer; readonly segmentLength: number } | undefined {
  const file = fileSystem.openForReading(sidecarPath(directory, segment));
  if (file === undefined) return undefined;
  const bytes = Buffer.allocUnsafeSlow(file.size());
  const length = file.read(bytes, 0);
  file.close();
  if (length !== bytes.length || length < prologueLength || bytes.readUInt32LE(0) !== magic) return undefined;
  if (bytes.readUInt32LE(12) !== length - prologueLength) return undefined;
  if (bytes.readUInt32LE(4) !== crc32(bytes.subarray(8))) return undefined;
  return { heads: bytes.subarray(prologueLength), segmentLength: bytes.readUInt32LE(8) };
}

/** Collects heads and directories as frames are written. */
export class HeadCollector {
  #bytes: Buffer = Buffer.allocUnsafeSlow(4096);
  #length = 0;

  add(frame: Buffer, at: number): void {
    const length = headAndDirectoryLength(frame, at);
    if (this.#length + length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#length + length, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    frame.copy(this.#bytes, this.#length, at, at + length);
    this.#length += length;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Calls `visit` with the position of each head in a buffer of heads. */
export function eachHead(heads: Buffer, visit: (at: number) => void): void {
  for (let at = 0; at < heads.length; at += headAndDirectoryLength(heads, at)) visit(at);
}

import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { type FileSystem, nodeFileSystem, type WritableFile } from "../../src/log/file-system.ts";

const pageBytes = 4096;

/** A number in [0, 1), the same sequence for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A file by identity, whatever it is called. */
interface FileId {
  readonly created: number;
}

interface WriteCall {
  readonly kind: "write";
  readonly file: FileId;
  readonly position: number;
  readonly bytes: Buffer;
  /** How many calls had been made when it ended; until then no fdatasync covers it. */
  ended: number;
}

/** What was asked of the disk. A call that is under way at the cut has begun and not ended. */
type Call =
  | { readonly kind: "entry"; readonly path: string; readonly file: FileId | undefined }
  | { readonly kind: "directory-sync"; readonly directory: string; readonly begun: number }
  | WriteCall
  | { readonly kind: "truncate"; readonly file: FileId; readonly length: number }
  | { readonly kind: "datasync"; readonly file: FileId; readonly begun: number };

/**
 * A file system that passes everything on and remembers it, so that afterwards any moment can be chosen for a power
 * cut. What a disk may then hold:
 *
 * - of a file, what was written before its last finished fdatasync began, whole
 * - of every later write each 4 KiB page on its own: there or not, so that later pages may survive earlier ones
 * - of a directory, its entries as of the last finished sync; of later creations, renames and removals any subset
 */
export class RecordingFileSystem implements FileSystem {
  readonly #calls: Call[] = [];
  readonly #files = new Map<string, FileId>();
  readonly #ignoreDatasync: boolean;

  /** @param options.ignoreDatasync lies: fdatasync returns at once and nothing is durable by it */
  constructor(options: { readonly ignoreDatasync?: boolean } = {}) {
    this.#ignoreDatasync = options.ignoreDatasync ?? false;
  }

  /** How many calls were recorded so far. */
  get callCount(): number {
    return this.#calls.length;
  }

  /** After how many calls a directory was synced: a file began or went. */
  get directorySyncs(): readonly number[] {
    return this.#calls.flatMap((call, index) => (call.kind === "directory-sync" ? [index + 1] : []));
  }

  async makeDirectory(path: string): Promise<void> {
    await nodeFileSystem.makeDirectory(path);
  }
  list(path: string): readonly string[] {
    return nodeFileSystem.list(path);
  }
  openForReading(path: string) {
    return nodeFileSystem.openForReading(path);
  }

  async syncDirectory(path: string): Promise<void> {
    const begun = this.#calls.length;
    await nodeFileSystem.syncDirectory(path);
    this.#calls.push({ kind: "directory-sync", directory: path, begun });
  }

  async create(path: string): Promise<WritableFile> {
    const file = { created: this.#calls.length };
    this.#files.set(path, file);
    this.#calls.push({ kind: "entry", path, file });
    return this.#recorded(file, await nodeFileSystem.create(path));
  }

  async openForWriting(path: string): Promise<WritableFile> {
    const file = this.#files.get(path);
    if (file === undefined) throw new Error(`${path} was not created under the recording`);
    return this.#recorded(file, await nodeFileSystem.openForWriting(path));
  }

  async rename(from: string, to: string): Promise<void> {
    await nodeFileSystem.rename(from, to);
    const file = this.#files.get(from);
    if (file === undefined) throw new Error(`${from} was not created under the recording`);
    this.#files.delete(from);
    this.#files.set(to, file);
    this.#calls.push({ kind: "entry", path: to, file }, { kind: "entry", path: from, file: undefined });
  }

  async remove(path: string): Promise<void> {
    await nodeFileSystem.remove(path);
    if (this.#files.delete(path)) this.#calls.push({ kind: "entry", path, file: undefined });
  }

  #recorded(file: FileId, inner: WritableFile): WritableFile {
    return {
      write: async (buffers, position) => {
        const bytes = Buffer.concat(buffers);
        // Recorded as it begins: a cut in the middle of it may leave any of its pages.
        const call: WriteCall = { kind: "write", file, position, bytes, ended: Number.POSITIVE_INFINITY };
        this.#calls.push(call);
        await inner.write(buffers, position);
        call.ended = this.#calls.length;
      },
      truncate: async (length) => {
        this.#calls.push({ kind: "truncate", file, length });
        await inner.truncate(length);
      },
      datasync: async () => {
        const begun = this.#calls.length;
        if (this.#ignoreDatasync) return;
        // A slow disk: time for writes that this fdatasync does not cover.
        await new Promise((resolve) => setTimeout(resolve, 2));
        await inner.datasync();
        this.#calls.push({ kind: "datasync", file, begun });
      },
      close: () => inner.close(),
    };
  }

  /** Fills `into` with what a power cut after the first `calls` calls may leave of `directory`. */
  cutPower(calls: number, random: () => number, directory: string, into: string): void {
    const done = this.#calls.slice(0, calls);
    for (const [path, file] of survivingEntries(done, random)) {
      const target = join(into, relative(directory, path));
      mkdirSync(dirname(target), { recursive: true });
      if (file !== undefined) writeFileSync(target, survivingContent(done, file, random));
    }
  }
}

function survivingEntries(calls: readonly Call[], random: () => number): Map<string, FileId | undefined> {
  const states = new Map<string, (FileId | undefined)[]>();
  calls.forEach((call, index) => {
    if (call.kind !== "entry") return;
    const synced = calls.some(
      (other) => other.kind === "directory-sync" && other.directory === dirname(call.path) && other.begun > index,
    );
    const before = states.get(call.path) ?? [undefined];
    states.set(call.path, synced ? [call.file] : [...before, call.file]);
  });
  const entries = new Map<string, FileId | undefined>();
  for (const [path, possible] of states) entries.set(path, possible[Math.floor(random() * possible.length)]);
  return entries;
}

function survivingContent(calls: readonly Call[], file: FileId, random: () => number): Buffer {
  let synced = 0;
  for (const call of calls) if (call.kind === "datasync" && call.file === file) synced = Math.max(synced, call.begun);
  // In some cuts nothing more was lost, in many everything, in the rest a part.
  const kept = Math.min(1, Math.max(0, random() * 1.75 - 0.5));
  const disk = new DiskContent();
  calls.forEach((call, index) => {
    if (call.kind === "truncate" && call.file === file && (index < synced || random() < kept))
      disk.truncate(call.length);
    if (call.kind !== "write" || call.file !== file) return;
    for (const { position, bytes } of pagesOf(call.position, call.bytes))
      if (call.ended <= synced || random() < kept) disk.write(position, bytes);
  });
  return disk.bytes;
}

/** Bytes of a file; what was never written reads as zeros. */
class DiskContent {
  #held = Buffer.alloc(65_536);
  #length = 0;

  write(position: number, bytes: Buffer): void {
    const end = position + bytes.length;
    if (end > this.#held.length) this.#held = Buffer.concat([this.#held], end * 2);
    bytes.copy(this.#held, position);
    this.#length = Math.max(this.#length, end);
  }

  truncate(length: number): void {
    this.#held.fill(0, length);
    this.#length = length;
  }

  get bytes(): Buffer {
    return this.#held.subarray(0, this.#length);
  }
}

function* pagesOf(position: number, bytes: Buffer): Generator<{ position: number; bytes: Buffer }> {
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, pageBytes - ((position + at) % pageBytes));
    yield { position: position + at, bytes: bytes.subarray(at, at + length) };
    at += length;
  }
}

/** The name a cut directory of a recorded one gets. */
export function cutName(directory: string, cut: number): string {
  return join(dirname(directory), `${basename(directory)}-cut-${cut}`);
}

import fs from "node:fs";
import { promisify } from "node:util";

/**
 * Every file call of the embedded log, and nothing else: so that a test can record them and cut the power in between.
 * Calls that may wait for the disk are asynchronous, since they run beside an event loop that serves requests; reads are
 * synchronous, since they are mostly memory copies from the page cache and a cursor must not yield.
 */
export interface FileSystem {
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, unsorted; none when it does not exist. */
  list(path: string): readonly string[];
  /** Makes the entries of a directory durable: what was created, renamed and removed in it. */
  syncDirectory(path: string): Promise<void>;
  /** Creates an empty file, or empties the one there is. */
  create(path: string): Promise<WritableFile>;
  /** Opens a file that exists for writing. */
  openForWriting(path: string): Promise<WritableFile>;
  /** undefined when there is no such file. */
  openForReading(path: string): ReadableFile | undefined;
  rename(from: string, to: string): Promise<void>;
  /** Removing what is not there is fine. */
  remove(path: string): Promise<void>;
}

export interface WritableFile {
  /** Writes all bytes, one buffer after the other, or rejects. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  truncate(length: number): Promise<void>;
  /** Makes the bytes written before this call, and the length, durable. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface ReadableFile {
  size(): number;
  /** Fills `into` from `position`. @returns bytes read: less than its length only at the end of the file */
  read(into: Uint8Array, position: number): number;
  close(): void;
}

const open = promisify(fs.open);
const close = promisify(fs.close);
const writev = promisify(fs.writev);
const ftruncate = promisify(fs.ftruncate);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const rename = promisify(fs.rename);
const mkdir = promisify(fs.mkdir);
const rm = promisify(fs.rm);

/** Buffers in one `writev`: IOV_MAX of Linux. */
const buffersPerWrite = 1024;

/**
 * Bytes up to which a write is made at once. A small one is a copy into the page cache, a tenth of the price of a thread
 * of the pool, where it would also wait behind fsyncs of the state. A large one may be held up until pages are written.
 */
const copiedBytesMax = 128 * 1024;

export const nodeFileSystem: FileSystem = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  list(path) {
    return fs.existsSync(path) ? fs.readdirSync(path) : [];
  },
  async syncDirectory(path) {
    const descriptor = await open(path, "r");
    try {
      await fsync(descriptor);
    } finally {
      await close(descriptor);
    }
  },
  async create(path) {
    return new NodeWritableFile(await open(path, "w", 0o600));
  },
  async openForWriting(path) {
    return new NodeWritableFile(await open(path, "r+"));
  },
  openForReading(path) {
    try {
      return new NodeReadableFile(fs.openSync(path, "r"));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  },
  rename,
  async remove(path) {
    await rm(path, { force: true });
  },
};

class NodeWritableFile implements WritableFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let byteLength = 0;
    for (const buffer of buffers) byteLength += buffer.length;
    let at = position;
    let rest = buffers;
    while (rest.length > 0) {
      const next = rest.slice(0, buffersPerWrite);
      const bytesWritten =
        byteLength <= copiedBytesMax
          ? fs.writevSync(this.#descriptor, next, at)
          : (await writev(this.#descriptor, next, at)).bytesWritten;
      at += bytesWritten;
      rest = after(rest, bytesWritten);
    }
  }

  async truncate(length: number): Promise<void> {
    await ftruncate(this.#descriptor, length);
  }

  async datasync(): Promise<void> {
    await fdatasync(this.#descriptor);
  }

  async close(): Promise<void> {
    await close(this.#descriptor);
  }
}

/** What is left of buffers when the first `written` bytes are gone: a write may be short. */
function after(buffers: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let bytes = written;
  for (let i = 0; i < buffers.length; i++) {
    const buffer = buffers[i];
    if (buffer !== undefined && bytes < buffer.length) return [buffer.subarray(bytes), ...buffers.slice(i + 1)];
    bytes -= buffer?.length ?? 0;
  }
  return [];
}

class NodeReadableFile implements ReadableFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  size(): number {
    return fs.fstatSync(this.#descriptor).size;
  }

  read(into: Uint8Array, position: number): number {
    let filled = 0;
    while (filled < into.length) {
      const count = fs.readSync(this.#descriptor, into, filled, into.length - filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

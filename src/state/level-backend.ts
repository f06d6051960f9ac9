import type { BatchOperation, ClassicLevel } from "classic-level";
import { KappaError, messageOf } from "../core/errors.ts";
import type { BackendBatch, StateBackend } from "./state-backend.ts";

type Level = ClassicLevel<Buffer, Buffer>;

/** Memory LevelDB takes besides our cache: up to two write buffers and its block cache. */
export interface LevelOptions {
  /** Directory of the database; made when missing. One process, and in it one backend, at a time. */
  readonly path: string;
  /** Bytes of changes LevelDB gathers in memory before it writes a table; up to two are held. Default 4 MiB. */
  readonly writeBufferBytes?: number;
  /** Bytes of table blocks LevelDB keeps in memory. Default 8 MiB. */
  readonly blockCacheBytes?: number;
}

/** A database on disk, compressed with snappy. */
export class LevelBackend implements StateBackend {
  readonly #level: Level;

  private constructor(level: Level) {
    this.#level = level;
  }

  /** @throws KAPPA_STATE_LOCKED when another process or task has it open; KAPPA_STATE_CORRUPT; KAPPA_STATE_FAILED */
  static async open(options: LevelOptions): Promise<LevelBackend> {
    const { ClassicLevel } = await import("classic-level"); // native code, loaded only when a database is opened
    const level: Level = new ClassicLevel(options.path, {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      writeBufferSize: options.writeBufferBytes ?? 4 * 1024 * 1024,
      cacheSize: options.blockCacheBytes ?? 8 * 1024 * 1024,
    });
    try {
      await level.open();
    } catch (error) {
      throw levelError(error, options.path);
    }
    return new LevelBackend(level);
  }

  get(key: Buffer): Buffer | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw levelError(error, this.#level.location);
    }
  }

  batch(): BackendBatch {
    return new LevelBatch(this.#level);
  }

  async *entries(from: Buffer, to: Buffer): AsyncIterableIterator<[Buffer, Buffer]> {
    const iterator = this.#level.iterator({ gte: from, lt: to, fillCache: false, highWaterMarkBytes: 16 * 1024 });
    try {
      for (;;) {
        const entry = await iterator.next();
        if (entry === undefined) return;
        yield entry;
      }
    } catch (error) {
      throw levelError(error, this.#level.location);
    } finally {
      await iterator.close();
    }
  }

  async compact(from: Buffer, to: Buffer): Promise<void> {
    try {
      await this.#compact(from, to);
    } catch (error) {
      throw levelError(error, this.#level.location);
    }
  }

  async #compact(from: Buffer, to: Buffer): Promise<void> {
    await this.#level.compactRange(from, to);
    // A table that comes out of memory goes down to level 2 when nothing overlaps it there, with every deleted value
    // still in it, and LevelDB compacts by hand only what it knew before. A change that overlaps it makes it do so.
    const first = this.get(from);
    if (first === undefined) await this.#level.del(from);
    else await this.#level.put(from, first);
    await this.#level.compactRange(from, to);
  }

  async close(): Promise<void> {
    await this.#level.close();
  }
}

/** Bytes of keys and values that are allocated at once. */
const slabBytes = 256 * 1024;

/**
 * Operations in memory of ours until they are written. classic-level has batches of its own that are filled call by
 * call, but it frees what they hold outside the heap only when V8 collects them: megabytes a flush that nobody counts.
 */
class LevelBatch implements BackendBatch {
  readonly #level: Level;
  #operations: BatchOperation<Level, Buffer, Buffer>[] = [];
  #slab: Buffer = Buffer.alloc(0);
  #used = 0;

  constructor(level: Level) {
    this.#level = level;
  }

  put(key: Buffer, value: Buffer): void {
    this.#operations.push({ type: "put", key: this.#copied(key), value: this.#copied(value) });
  }

  delete(key: Buffer): void {
    this.#operations.push({ type: "del", key: this.#copied(key) });
  }

  #copied(bytes: Buffer): Buffer {
    if (this.#used + bytes.length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes.length));
      this.#used = 0;
    }
    const copy = this.#slab.subarray(this.#used, this.#used + bytes.length);
    copy.set(bytes);
    this.#used += bytes.length;
    return copy;
  }

  async write(sync: boolean): Promise<void> {
    const operations = this.#operations;
    this.#operations = [];
    try {
      await this.#level.batch(operations, { sync });
    } catch (error) {
      throw levelError(error, this.#level.location);
    }
  }

  discard(): Promise<void> {
    this.#operations = [];
    return Promise.resolve();
  }
}

function levelError(error: unknown, path: string): unknown {
  if (error instanceof KappaError) return error;
  const codes = [codeOf(error), error instanceof Error ? codeOf(error.cause) : undefined];
  if (codes.includes("LEVEL_LOCKED")) {
    return new KappaError(
      "KAPPA_STATE_LOCKED",
      `state in ${path} is open in another process: stop it, or choose another --state-dir`,
      { path },
      error,
    );
  }
  if (codes.includes("LEVEL_CORRUPTION")) {
    return new KappaError("KAPPA_STATE_CORRUPT", `state in ${path} is damaged: ${messageOf(error)}`, { path }, error);
  }
  return new KappaError("KAPPA_STATE_FAILED", `state in ${path}: ${messageOf(error)}`, { path }, error);
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

import type { ChainedBatch, ClassicLevel } from "classic-level";
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
    return new LevelBatch(this.#level.batch(), this.#level.location);
  }

  async *entries(from: Buffer, to: Buffer): AsyncIterableIterator<[Buffer, Buffer]> {
    const iterator = this.#level.iterator({ gte: from, lt: to, fillCache: false, highWaterMarkBytes: 64 * 1024 });
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

class LevelBatch implements BackendBatch {
  readonly #batch: ChainedBatch<Level, Buffer, Buffer>;
  readonly #location: string;

  constructor(batch: ChainedBatch<Level, Buffer, Buffer>, location: string) {
    this.#batch = batch;
    this.#location = location;
  }

  put(key: Buffer, value: Buffer): void {
    this.#batch.put(key, value);
  }

  delete(key: Buffer): void {
    this.#batch.del(key);
  }

  async write(sync: boolean): Promise<void> {
    try {
      await this.#batch.write({ sync });
    } catch (error) {
      throw levelError(error, this.#location);
    }
  }

  discard(): Promise<void> {
    return this.#batch.close();
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

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { ClassicLevel } from "classic-level";
import { assert } from "../core/assert.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { requireRoom } from "./disk-room.ts";
import { readLevelFiles } from "./level-files.ts";
import { LevelLedger } from "./level-ledger.ts";
import type { BackendBatch, StateBackend } from "./state-backend.ts";

type Level = ClassicLevel<Buffer, Buffer>;

/** Memory LevelDB takes besides our cache: up to two write buffers and its block cache. */
export interface LevelOptions {
  /** Directory of the database; made when missing. One process, and in it one backend, at a time. */
  readonly path: string;
  /**
   * Bytes of changes LevelDB gathers in memory before it writes a table; up to two are held, and have to fit on the disk.
   * Default 4 MiB.
   */
  readonly writeBufferBytes?: number;
  /** Bytes of table blocks LevelDB keeps in memory. Default 8 MiB. */
  readonly blockCacheBytes?: number;
}

/**
 * A database on disk, compressed with snappy. LevelDB takes much of what can happen to its files for a shorter history,
 * so they are looked at before it opens them (`level-files.ts`, `level-ledger.ts`).
 */
export class LevelBackend implements StateBackend {
  readonly #level: Level;
  readonly #ledger: LevelLedger;
  /** What the last batch was filled into. */
  #spare: NativeBatch | null = null;

  private constructor(level: Level, ledger: LevelLedger) {
    this.#level = level;
    this.#ledger = ledger;
    ledger.watch();
  }

  /** @throws KAPPA_STATE_LOCKED when another process or task has it open; KAPPA_STATE_CORRUPT; KAPPA_STATE_FAILED */
  static async open(options: LevelOptions): Promise<LevelBackend> {
    const { path, writeBufferBytes = 4 * 1024 * 1024 } = options;
    await requireRoom(path, 2 * writeBufferBytes);
    let ledger: LevelLedger;
    try {
      ledger = await LevelLedger.check(path, await readLevelFiles(path));
    } catch (error) {
      await LevelBackend.requireUnlocked(path); // what another process is writing to need not fit together
      throw fileError(error, path);
    }
    const { ClassicLevel } = await import("classic-level"); // native code, loaded only when a database is opened
    const level: Level = new ClassicLevel(path, {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      writeBufferSize: writeBufferBytes,
      cacheSize: options.blockCacheBytes ?? 8 * 1024 * 1024,
    });
    try {
      await level.open();
    } catch (error) {
      throw levelError(error, path);
    }
    return new LevelBackend(level, ledger);
  }

  /** Changes nothing. @throws KAPPA_STATE_LOCKED when another process or task has it open */
  static async requireUnlocked(path: string): Promise<void> {
    if (!existsSync(path)) return; // LevelDB would make it
    const { ClassicLevel } = await import("classic-level");
    // LevelDB takes the lock first, and then will have the database neither present nor absent.
    const level = new ClassicLevel(path, { createIfMissing: false, errorIfExists: true });
    await level.open().catch((error: unknown) => {
      if (codesOf(error).includes("LEVEL_LOCKED")) throw lockedError(path, error);
    });
  }

  /** Deletes a database: who holds the lock would write on into files that are gone. @throws KAPPA_STATE_LOCKED */
  static async remove(path: string): Promise<void> {
    await LevelBackend.requireUnlocked(path);
    await rm(path, { recursive: true, force: true });
  }

  get(key: Buffer): Buffer | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw levelError(error, this.#level.location);
    }
  }

  batch(): BackendBatch {
    const native = this.#spare ?? (this.#level.batch() as unknown as NativeBatch);
    this.#spare = null;
    return new LevelBatch(this.#level, native, (ended) => {
      this.#spare = ended;
    });
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
    await this.#ledger.close();
  }
}

/**
 * A batch of classic-level that is filled call by call, by what its public methods call once they have made objects of
 * every operation, for encodings, events and hooks, of which we have none: half the time of a restore went there. Its
 * memory is freed only when V8 collects it, so one is kept for all writes of a database.
 */
interface NativeBatch {
  _put(key: Buffer, value: Buffer): void;
  _del(key: Buffer): void;
  _write(options: { readonly sync: boolean }): Promise<void>;
  _clear(): void;
}

class LevelBatch implements BackendBatch {
  readonly #level: Level;
  readonly #native: NativeBatch;
  readonly #ended: (native: NativeBatch) => void;

  constructor(level: Level, native: NativeBatch, ended: (native: NativeBatch) => void) {
    this.#level = level;
    this.#native = native;
    this.#ended = ended;
  }

  put(key: Buffer, value: Buffer): void {
    this.#native._put(key, value);
  }

  delete(key: Buffer): void {
    this.#native._del(key);
  }

  async write(sync: boolean): Promise<void> {
    const { status, location } = this.#level;
    assert(status === "open", () => `a batch is written to ${location}, which is ${status}`);
    try {
      await this.#native._write({ sync });
    } catch (error) {
      throw levelError(error, this.#level.location);
    }
    await this.discard();
  }

  discard(): Promise<void> {
    this.#native._clear();
    this.#ended(this.#native);
    return Promise.resolve();
  }
}

/** What the system says, or LevelDB after it, when the files are there and may not be written or read at present. */
const surroundings = /no space left|permission denied|not permitted|read-only file system|too many open files|quota/i;

/**
 * An error of LevelDB as ours. One of reading or writing files is damage too, most often a file that is gone: the log has
 * everything. Unless it is the system that has no room or no right for any file: no restore mends that, and it may pass.
 * What it wrote of the batch that failed is the end of its log, and LevelDB writes nothing behind it: the task closes.
 */
function levelError(error: unknown, path: string): unknown {
  if (error instanceof KappaError) return error;
  const codes = codesOf(error);
  if (codes.includes("LEVEL_LOCKED")) return lockedError(path, error);
  const message = messageOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
  const ofFiles = codes.includes("LEVEL_IO_ERROR") || message.startsWith("IO error:");
  const passing = surroundings.test(message);
  if (codes.includes("LEVEL_CORRUPTION") || (ofFiles && !passing)) {
    return new KappaError("KAPPA_STATE_CORRUPT", `state in ${path} is damaged: ${message}`, { path }, error);
  }
  const code = passing ? "KAPPA_STATE_FAILED" : "KAPPA_ENGINE_FAILED";
  return new KappaError(code, `state in ${path}: ${message}`, { path }, error);
}

/** A file that is gone when it is read is damage, one that may not be read is not. */
function fileError(error: unknown, path: string): unknown {
  if (error instanceof KappaError) return error;
  const code = surroundings.test(messageOf(error)) ? "KAPPA_STATE_FAILED" : "KAPPA_STATE_CORRUPT";
  return new KappaError(code, `state in ${path}: ${messageOf(error)}`, { path }, error);
}

function lockedError(path: string, error: unknown): KappaError {
  const message = `state in ${path} is open in another process: stop it, or choose another --state-dir`;
  return new KappaError("KAPPA_STATE_LOCKED", message, { path }, error);
}

function codesOf(error: unknown): unknown[] {
  return [codeOf(error), error instanceof Error ? codeOf(error.cause) : undefined];
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

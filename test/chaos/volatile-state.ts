import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LevelBackend } from "../../src/state/level-backend.ts";
import type { BackendBatch, StateBackend } from "../../src/state/state-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";

const pageBytes = 4096;
/** LevelDB's own lock; it holds nothing. */
const lockFile = "LOCK";

/**
 * The local databases of a run, of which a copy can be taken at any moment as a power cut would leave them: what a synced
 * batch has written is there, and of everything written since, in any file, a suffix or any pages may be missing.
 *
 * LevelDB only ever appends to its files, so the lengths at the last synced batch say what is safe.
 */
export class VolatileState {
  readonly #directory: string;
  readonly #cacheBytes: number;
  /** By partition: length of each file when a batch was last synced. */
  readonly #synced = new Map<number, ReadonlyMap<string, number>>();
  #batchesUnderWay = 0;
  #discarded = 0;

  /** @param cacheBytes of each database */
  constructor(directory: string, cacheBytes: number) {
    this.#directory = directory;
    this.#cacheBytes = cacheBytes;
  }

  async open(partition: number, discard: boolean): Promise<StateDatabase> {
    const path = join(this.#directory, String(partition));
    if (discard) {
      this.#discarded++;
      rmSync(path, { recursive: true, force: true });
    }
    mkdirSync(path, { recursive: true });
    const level = await LevelBackend.open({ path });
    // LevelDB fsyncs what it makes of the files it finds before it lets go of them.
    this.#synced.set(partition, lengthsOf(path));
    const watch: BatchWatch = {
      begun: () => this.#batchesUnderWay++,
      synced: () => {
        this.#batchesUnderWay--;
        this.#synced.set(partition, lengthsOf(path));
      },
    };
    try {
      return await StateDatabase.open({ backend: watched(level, watch), cacheBytes: this.#cacheBytes });
    } catch (error) {
      await level.close();
      throw error;
    }
  }

  /** Batches that are being written. */
  get batchesUnderWay(): number {
    return this.#batchesUnderWay;
  }

  /** Databases that could not be trusted and were thrown away. */
  get discarded(): number {
    return this.#discarded;
  }

  /** Copies all databases into `into` and loses part of what was not synced. @returns bytes lost, or damaged */
  cutPower(random: () => number, into: string): number {
    let lost = 0;
    for (const partition of existsSync(this.#directory) ? readdirSync(this.#directory) : []) {
      const from = join(this.#directory, partition);
      const to = join(into, partition);
      mkdirSync(to, { recursive: true });
      // A database that the run has not opened yet is as it was found.
      const synced = this.#synced.get(Number(partition)) ?? lengthsOf(from);
      for (const name of filesIn(from)) {
        const safe = synced.get(name) ?? 0;
        const bytes = readFileSync(join(from, name));
        const kept = survivor(bytes, Math.min(safe, bytes.length), random);
        writeFileSync(join(to, name), kept);
        lost += bytes.length - kept.length;
        for (let i = safe; i < kept.length; i++) if (kept[i] !== bytes[i]) lost++;
      }
    }
    return lost;
  }
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).filter((name) => name !== lockFile) : [];
}

function lengthsOf(directory: string): Map<string, number> {
  return new Map(filesIn(directory).map((name) => [name, statSync(join(directory, name)).size]));
}

/** What a power cut leaves of a file whose first `safe` bytes were synced. */
function survivor(bytes: Buffer, safe: number, random: () => number): Buffer {
  const kind = random();
  if (safe === bytes.length || kind < 0.2) return bytes;
  if (kind < 0.6) return bytes.subarray(0, safe + Math.floor(random() * (bytes.length - safe)));
  const pages = Buffer.from(bytes);
  for (let at = safe; at < pages.length; ) {
    const end = Math.min(pages.length, (Math.floor(at / pageBytes) + 1) * pageBytes);
    // The length of a file may be on disk before its pages: they read as zeros.
    if (random() < 0.5) pages.fill(0, at, end);
    at = end;
  }
  return pages;
}

interface BatchWatch {
  begun(): void;
  synced(): void;
}

/** Tells when batches are begun, and when they are fsynced. */
function watched(inner: StateBackend, watch: BatchWatch): StateBackend {
  return {
    get: (key) => inner.get(key),
    batch: () => watchedBatch(inner.batch(), watch),
    entries: (from, to) => inner.entries(from, to),
    compact: (from, to) => inner.compact(from, to),
    close: () => inner.close(),
  };
}

function watchedBatch(inner: BackendBatch, watch: BatchWatch): BackendBatch {
  return {
    put: (key, value) => inner.put(key, value),
    delete: (key) => inner.delete(key),
    discard: () => inner.discard(),
    write: async (sync) => {
      assert.ok(sync, "a state batch that is not fsynced: this model of the disk knows only synced ones");
      watch.begun();
      await inner.write(sync);
      watch.synced();
    },
  };
}

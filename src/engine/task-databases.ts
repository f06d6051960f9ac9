import { KappaError } from "../core/errors.ts";
import type { StateBackend } from "../state/state-backend.ts";
import { StateDatabase } from "../state/state-database.ts";
import { type CacheShares, cacheShares } from "./cache-shares.ts";

/** What a database takes besides our cache. */
export type LevelShares = Omit<CacheShares, "entityBytes">;

/** Where databases of tasks lie: the disk of this machine. */
export interface DatabaseFolders {
  /** Folders with a database of a task, the one opened last first. */
  found(partition: number): readonly string[];
  /** Where its n-th one is, counted from 1. */
  path(partition: number, n: number): string;
  /** @param shares memory that it may take besides our cache @throws KAPPA_STATE_LOCKED, KAPPA_STATE_CORRUPT */
  open(path: string, shares: LevelShares): Promise<StateBackend>;
  /** Who holds the lock would write on into files that are gone. @throws KAPPA_STATE_LOCKED */
  remove(path: string): Promise<void>;
}

export interface TaskDatabasesOptions {
  readonly folders: DatabaseFolders;
  /** Memory for the state of one task. */
  readonly taskBytes: number;
  /**
   * Whether a database that another process has open is left to it, and the task gets a folder of its own: the other may
   * be stopped, and hold the lock without ever using it again.
   */
  readonly evades: boolean;
}

/** Folders that a task may have beside its own before something else must be wrong. */
const foldersMax = 8;

/**
 * The databases of the tasks of a thread. A task has several where a process that is no member any more keeps the first
 * one open: each holds the state as of some commit, so any of them will do, since the log has the rest. The one that was
 * opened last has the least to catch up with; the others go as soon as nobody has them open.
 */
export class TaskDatabases {
  readonly #options: TaskDatabasesOptions;
  readonly #distrusted = new Set<number>();

  constructor(options: TaskDatabasesOptions) {
    this.#options = options;
  }

  /** What is on disk turned out to be damaged: the next opening throws it away. */
  distrust(partition: number): void {
    this.#distrusted.add(partition);
  }

  /** @param discard throws away what is there @throws KAPPA_STATE_LOCKED, KAPPA_STATE_CORRUPT */
  async open(partition: number, discard: boolean): Promise<StateDatabase> {
    const { folders, evades } = this.#options;
    const afresh = discard || this.#distrusted.has(partition);
    const found = evades ? folders.found(partition) : [];
    let refusal: unknown;
    for (const path of this.#candidates(partition, found)) {
      try {
        const database = await this.#openAt(path, afresh);
        this.#distrusted.delete(partition);
        // What cannot be removed stays until the next time.
        for (const other of found) if (other !== path) await folders.remove(other).catch(() => {});
        return database;
      } catch (error) {
        const locked = error instanceof KappaError && error.code === "KAPPA_STATE_LOCKED";
        if (!locked || !evades) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  /** Folders to try, in this order. The last one is there already only if all of them are. */
  #candidates(partition: number, found: readonly string[]): readonly string[] {
    const { folders, evades } = this.#options;
    if (!evades) return [folders.path(partition, 1)];
    for (let n = 1; n <= foldersMax; n++) {
      const path = folders.path(partition, n);
      if (!found.includes(path)) return [...found, path];
    }
    return found;
  }

  async #openAt(path: string, afresh: boolean): Promise<StateDatabase> {
    const { folders, taskBytes } = this.#options;
    if (afresh) await folders.remove(path);
    const { entityBytes, ...levelShares } = cacheShares(taskBytes);
    const backend = await folders.open(path, levelShares);
    try {
      return await StateDatabase.open({ backend, cacheBytes: entityBytes });
    } catch (error) {
      await backend.close();
      throw error;
    }
  }
}

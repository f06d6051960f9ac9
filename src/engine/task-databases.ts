import { rm } from "node:fs/promises";
import { join } from "node:path";
import { KappaError } from "../core/errors.ts";
import { LevelBackend, type LevelOptions } from "../state/level-backend.ts";
import { StateDatabase } from "../state/state-database.ts";
import { cacheShares } from "./cache-shares.ts";

export interface TaskDatabasesOptions {
  /** Folder of the application's local state. */
  readonly stateDir: string;
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
 * The databases of the tasks of a thread:
 *
 *     <state-dir>/<application>/3      of task 3
 *     <state-dir>/<application>/3-2    of task 3 too, as long as a process that is no member any more has the first open
 *
 * Each holds the state as of some commit, so any of them will do: the log has the rest.
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
    const afresh = discard || this.#distrusted.has(partition);
    for (let folder = 1; ; folder++) {
      const path = join(this.#options.stateDir, folder === 1 ? String(partition) : `${partition}-${folder}`);
      try {
        const database = await this.#openAt(path, afresh);
        this.#distrusted.delete(partition);
        return database;
      } catch (error) {
        const locked = error instanceof KappaError && error.code === "KAPPA_STATE_LOCKED";
        if (!locked || !this.#options.evades || folder === foldersMax) throw error;
      }
    }
  }

  async #openAt(path: string, afresh: boolean): Promise<StateDatabase> {
    const { entityBytes, ...levelShares } = cacheShares(this.#options.taskBytes);
    if (afresh) {
      await requireUnlocked(path, levelShares);
      await rm(path, { recursive: true, force: true });
    }
    const backend = await LevelBackend.open({ path, ...levelShares });
    try {
      return await StateDatabase.open({ backend, cacheBytes: entityBytes });
    } catch (error) {
      await backend.close();
      throw error;
    }
  }
}

/** Who holds the lock would write on into files that are gone. @throws KAPPA_STATE_LOCKED */
async function requireUnlocked(path: string, shares: Omit<LevelOptions, "path">): Promise<void> {
  try {
    await (await LevelBackend.open({ path, ...shares })).close();
  } catch (error) {
    if (error instanceof KappaError && error.code === "KAPPA_STATE_LOCKED") throw error;
  }
}

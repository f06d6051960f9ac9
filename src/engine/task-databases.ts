import { existsSync } from "node:fs";
import { KappaError } from "../core/errors.ts";
import { LevelBackend } from "../state/level-backend.ts";
import { StateDatabase } from "../state/state-database.ts";
import { cacheShares } from "./cache-shares.ts";
import { taskFolder, taskFolders } from "./task-folders.ts";

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
    const afresh = discard || this.#distrusted.has(partition);
    const candidates = this.#candidates(partition);
    let refusal: unknown;
    for (const path of candidates) {
      try {
        const database = await this.#openAt(path, afresh);
        this.#distrusted.delete(partition);
        if (this.#options.evades)
          await removeUnlocked(candidates.filter((other) => other !== path && existsSync(other)));
        return database;
      } catch (error) {
        const locked = error instanceof KappaError && error.code === "KAPPA_STATE_LOCKED";
        if (!locked || !this.#options.evades) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  /** Folders to try, in this order. The last one is there already only if all of them are. */
  #candidates(partition: number): string[] {
    const { stateDir, evades } = this.#options;
    const own = taskFolder(stateDir, partition, 1);
    if (!evades) return [own];
    const found = (taskFolders(stateDir).get(partition) ?? []).map(({ path }) => path);
    for (let n = 1; n <= foldersMax; n++) {
      const path = taskFolder(stateDir, partition, n);
      if (!found.includes(path)) return [...found, path];
    }
    return found;
  }

  async #openAt(path: string, afresh: boolean): Promise<StateDatabase> {
    const { entityBytes, ...levelShares } = cacheShares(this.#options.taskBytes);
    if (afresh) await LevelBackend.remove(path);
    const backend = await LevelBackend.open({ path, ...levelShares });
    try {
      return await StateDatabase.open({ backend, cacheBytes: entityBytes });
    } catch (error) {
      await backend.close();
      throw error;
    }
  }
}

/** What cannot be removed stays until the next time. */
async function removeUnlocked(paths: readonly string[]): Promise<void> {
  for (const path of paths) await LevelBackend.remove(path).catch(() => {});
}

import { LevelBackend } from "../state/level-backend.ts";
import type { StateBackend } from "../state/state-backend.ts";
import { cacheShares } from "./cache-shares.ts";
import type { DatabaseFolders } from "./task-databases.ts";
import { taskFolder, taskFolders } from "./task-folders.ts";

/** Folders of the file system, with a LevelDB in each. */
export class LevelFolders implements DatabaseFolders {
  readonly #stateDir: string;
  readonly #taskBytes: number;

  /**
   * @param stateDir folder of the application's local state
   * @param taskBytes memory for the state of one task
   */
  constructor(stateDir: string, taskBytes: number) {
    this.#stateDir = stateDir;
    this.#taskBytes = taskBytes;
  }

  found(partition: number): readonly string[] {
    return (taskFolders(this.#stateDir).get(partition) ?? []).map(({ path }) => path);
  }

  path(partition: number, n: number): string {
    return taskFolder(this.#stateDir, partition, n);
  }

  async open(path: string): Promise<StateBackend> {
    const { writeBufferBytes, blockCacheBytes } = cacheShares(this.#taskBytes);
    return await LevelBackend.open({ path, writeBufferBytes, blockCacheBytes });
  }

  remove(path: string): Promise<void> {
    return LevelBackend.remove(path);
  }
}

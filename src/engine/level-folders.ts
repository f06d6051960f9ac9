import { LevelBackend } from "../state/level-backend.ts";
import type { StateBackend } from "../state/state-backend.ts";
import type { DatabaseFolders, LevelShares } from "./task-databases.ts";
import { taskFolder, taskFolders } from "./task-folders.ts";

/** Folders of the file system, with a LevelDB in each. */
export class LevelFolders implements DatabaseFolders {
  readonly #stateDir: string;

  /** @param stateDir folder of the application's local state */
  constructor(stateDir: string) {
    this.#stateDir = stateDir;
  }

  found(partition: number): readonly string[] {
    return (taskFolders(this.#stateDir).get(partition) ?? []).map(({ path }) => path);
  }

  path(partition: number, n: number): string {
    return taskFolder(this.#stateDir, partition, n);
  }

  open(path: string, shares: LevelShares): Promise<StateBackend> {
    return LevelBackend.open({ path, ...shares });
  }

  remove(path: string): Promise<void> {
    return LevelBackend.remove(path);
  }
}

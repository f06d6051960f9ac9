import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** A folder with a database of a task. */
export interface TaskFolder {
  readonly path: string;
  /** When the database was last opened, which is what tells copies of a state apart: the later one has been owned later. */
  readonly openedMs: number;
}

/**
 * Folders in which databases of tasks are, the one opened last first:
 *
 *     <state-dir>/<application>/3      of task 3
 *     <state-dir>/<application>/3-2    of task 3 too: it was opened while another process had the first one open
 *
 * @param stateDir folder of the application's state
 */
export function taskFolders(stateDir: string): Map<number, TaskFolder[]> {
  const folders = new Map<number, TaskFolder[]>();
  for (const name of existsSync(stateDir) ? readdirSync(stateDir) : []) {
    const partition = /^(\d+)(-\d+)?$/.exec(name)?.[1];
    if (partition === undefined) continue;
    const path = join(stateDir, name);
    const own = folders.get(Number(partition)) ?? [];
    own.push({ path, openedMs: openedMs(path) });
    folders.set(Number(partition), own);
  }
  for (const own of folders.values()) own.sort((a, b) => b.openedMs - a.openedMs || (a.path < b.path ? -1 : 1));
  return folders;
}

/** LevelDB names another MANIFEST whenever it opens a database. 0 when nothing is named. */
function openedMs(path: string): number {
  return statSync(join(path, "CURRENT"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Where a task's n-th database is, counted from 1. */
export function taskFolder(stateDir: string, partition: number, n: number): string {
  return join(stateDir, n === 1 ? String(partition) : `${partition}-${n}`);
}

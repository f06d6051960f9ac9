import { KappaError } from "../../src/core/errors.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import type { Incarnation } from "./incarnation.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** Folders that a task may have beside its own; as in `task-databases.ts`. */
const foldersMax = 8;

/** What `TaskDatabases` does, on a simulated disk. */
export class ProcessDatabases {
  readonly #disk: SimulatedDisk;
  readonly #incarnation: Incarnation;
  readonly #cacheBytes: number;
  readonly #distrusted = new Set<number>();

  constructor(disk: SimulatedDisk, incarnation: Incarnation, cacheBytes: number) {
    this.#disk = disk;
    this.#incarnation = incarnation;
    this.#cacheBytes = cacheBytes;
  }

  distrust(partition: number): void {
    this.#distrusted.add(partition);
  }

  async open(partition: number, discard: boolean): Promise<StateDatabase> {
    const afresh = discard || this.#distrusted.has(partition);
    for (let folder = 1; ; folder++) {
      const path = folder === 1 ? String(partition) : `${partition}-${folder}`;
      try {
        const database = await this.#openAt(path, afresh);
        this.#distrusted.delete(partition);
        return database;
      } catch (error) {
        const locked = error instanceof KappaError && error.code === "KAPPA_STATE_LOCKED";
        if (!locked || folder === foldersMax) throw error;
      }
    }
  }

  async #openAt(path: string, afresh: boolean): Promise<StateDatabase> {
    if (afresh) {
      await (await this.#disk.open(path, this.#incarnation)).close();
      await this.#disk.remove(path, this.#incarnation);
    }
    const backend = await this.#disk.open(path, this.#incarnation);
    try {
      return await StateDatabase.open({ backend, cacheBytes: this.#cacheBytes });
    } catch (error) {
      await backend.close();
      throw error;
    }
  }
}

import type { DatabaseFolders } from "../../src/engine/task-databases.ts";
import type { StateBackend } from "../../src/state/state-backend.ts";
import type { Incarnation } from "./incarnation.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** The simulated disk of a host as one of its processes has it. */
export class ProcessFolders implements DatabaseFolders {
  readonly #disk: SimulatedDisk;
  readonly #incarnation: Incarnation;

  constructor(disk: SimulatedDisk, incarnation: Incarnation) {
    this.#disk = disk;
    this.#incarnation = incarnation;
  }

  found(partition: number): readonly string[] {
    return this.#disk.found(partition).map(({ path }) => path);
  }

  path(partition: number, n: number): string {
    return n === 1 ? String(partition) : `${partition}-${n}`;
  }

  open(path: string): Promise<StateBackend> {
    return this.#disk.open(path, this.#incarnation);
  }

  remove(path: string): Promise<void> {
    return this.#disk.remove(path, this.#incarnation);
  }
}

import { KappaError } from "../../src/core/errors.ts";
import type { BackendBatch, StateBackend } from "../../src/state/state-backend.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** A key as text of one character a byte, and what it was set to; null where it was deleted. */
type Change = readonly [key: string, value: Buffer | null];

interface StoredBatch {
  readonly changes: readonly Change[];
  /** Whether a power cut leaves it. */
  readonly synced: boolean;
}

/** What a folder holds: every batch ever written to its database, as its log would. */
class Folder {
  batches: StoredBatch[] = [];
  values = new Map<string, Buffer>();
  openedMs = 0;
  owner: Incarnation | null = null;
  /** Whether it was damaged, or lost something. */
  harmed = false;
  /** From where on the log has to hold commits for it to be of use. */
  needsFrom = Number.POSITIVE_INFINITY;

  apply({ changes }: StoredBatch): void {
    for (const [key, value] of changes) {
      if (value === null) this.values.delete(key);
      else this.values.set(key, value);
    }
  }

  rebuild(batches: StoredBatch[]): void {
    this.batches = batches;
    this.values = new Map();
    for (const batch of batches) this.apply(batch);
  }
}

/** What may become of a database while nobody has it open. */
export type Damage =
  /** A batch in the middle of the log is lost, and LevelDB says nothing. */
  | "hole"
  /** A byte of a value is another one. */
  | "flipped"
  /** Everything is gone. */
  | "deleted";

/** Batches back from the newest that a hole may be: LevelDB's log holds no more. */
const holeDepth = 200;

/**
 * Told what a batch puts into the database at a path, before it is there: for the judge.
 *
 * @returns offset from which the log has to hold commits, so that the database is of use
 */
export type WrittenTap = (path: string, values: readonly Buffer[]) => number;

/**
 * The disk of one host, with the databases of its processes. A batch is written whole or not at all; one that was under
 * way when its process died is there or is not. What was written and not fsynced survives a kill and not a power cut.
 */
export class SimulatedDisk {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #folders = new Map<string, Folder>();
  /** Longest that a write takes, in ms. */
  writeMs = 3;
  readonly #written: WrittenTap;

  constructor(scheduler: Scheduler, random: Random, written: WrittenTap) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#written = written;
  }

  /** @throws KAPPA_STATE_LOCKED as long as a process that lives has it open, stopped or not */
  async open(path: string, incarnation: Incarnation): Promise<StateBackend> {
    await incarnation.sleep(this.#random.delay(0.1, this.writeMs));
    let folder = this.#folders.get(path);
    if (folder === undefined) {
      folder = new Folder();
      this.#folders.set(path, folder);
    }
    requireUnlocked(path, folder);
    folder.owner = incarnation;
    folder.openedMs = this.#scheduler.monotonic();
    return new FolderBackend(folder, incarnation, (changes, synced) => this.#write(path, folder, changes, synced));
  }

  /** @throws KAPPA_STATE_LOCKED as `open` does */
  async remove(path: string, incarnation: Incarnation): Promise<void> {
    await incarnation.sleep(this.#random.delay(0.1, this.writeMs));
    requireUnlocked(path, this.#folders.get(path));
    if (incarnation.alive) this.#folders.delete(path);
  }

  /** Folders of a task, the one opened last first. */
  found(partition: number): { readonly path: string; readonly openedMs: number }[] {
    return this.#foldersOf(partition)
      .map(([path, { openedMs }]) => ({ path, openedMs }))
      .sort((a, b) => b.openedMs - a.openedMs || (a.path < b.path ? -1 : 1));
  }

  /** Whether a database of a task was damaged, or lost something. */
  harmed(partition: number): boolean {
    return this.#foldersOf(partition).some(([, { harmed }]) => harmed);
  }

  /** Whether a database of a task needs commits that the log, which begins at an offset, holds no more. */
  outdated(partition: number, startOffset: number): boolean {
    return this.#foldersOf(partition).some(([, { needsFrom }]) => needsFrom < startOffset);
  }

  #foldersOf(partition: number): [string, Folder][] {
    return [...this.#folders].filter(([path]) => Number.parseInt(path, 10) === partition);
  }

  #write(path: string, folder: Folder, changes: readonly Change[], synced: boolean): Promise<void> {
    const { owner } = folder;
    if (owner === null || !owner.alive) return new Promise(() => {});
    return new Promise((resolve) => {
      this.#scheduler.after(this.#random.delay(0.05, this.writeMs), () => {
        // Of a process that died meanwhile the system has got it, or has not.
        if (!owner.alive && this.#random.chance(0.5)) return;
        folder.needsFrom = this.#written(
          path,
          changes.flatMap(([, value]) => (value === null ? [] : [value])),
        );
        const batch = { changes, synced };
        folder.batches.push(batch);
        folder.apply(batch);
        owner.after(this.#random.delay(0.05, 0.5), resolve);
      });
    });
  }

  /** Loses what was not fsynced; every process of the host is dead by then. @returns whether anything was lost */
  powerCut(): boolean {
    let cut = false;
    for (const folder of this.#folders.values()) {
      const keep = folder.batches.findLastIndex(({ synced }) => synced) + 1;
      const unsure = folder.batches.length - keep;
      const lost = unsure > 0 ? unsure - this.#random.whole(0, unsure) : 0;
      if (lost === 0) continue;
      folder.rebuild(folder.batches.slice(0, -lost));
      folder.harmed = true;
      cut = true;
    }
    return cut;
  }

  deleteAll(): void {
    this.#folders.clear();
  }

  /** Damages one database that nobody has open. @returns its path, or null when there is none */
  damage(kind: Damage): string | null {
    const idle = [...this.#folders].filter(([, { owner, batches }]) => owner?.alive !== true && batches.length > 2);
    if (idle.length === 0) return null;
    const [path, folder] = this.#random.one(idle);
    folder.harmed = true;
    if (kind === "deleted") this.#folders.delete(path);
    else if (kind === "hole") {
      const last = folder.batches.length - 1;
      const lost = this.#random.whole(Math.max(0, last - holeDepth), last - 1);
      folder.rebuild(folder.batches.filter((_, i) => i !== lost));
    } else {
      const key = this.#random.one([...folder.values.keys()]);
      const value = Buffer.from(folder.values.get(key) as Buffer);
      if (value.length > 0) {
        const at = this.#random.whole(0, value.length - 1);
        value[at] = (value[at] as number) ^ (1 << this.#random.whole(0, 7));
      }
      folder.values.set(key, value);
    }
    return path;
  }
}

function requireUnlocked(path: string, folder: Folder | undefined): void {
  if (folder?.owner?.alive === true)
    throw new KappaError("KAPPA_STATE_LOCKED", `state in ${path} is open in ${folder.owner.name}`, { path });
}

/** A database as the process has it open. Its object goes with the process; the folder stays. */
class FolderBackend implements StateBackend {
  readonly #folder: Folder;
  readonly #owner: Incarnation;
  readonly #write: (changes: readonly Change[], synced: boolean) => Promise<void>;

  constructor(
    folder: Folder,
    owner: Incarnation,
    write: (changes: readonly Change[], synced: boolean) => Promise<void>,
  ) {
    this.#folder = folder;
    this.#owner = owner;
    this.#write = write;
  }

  get(key: Buffer): Buffer | undefined {
    return this.#folder.values.get(key.toString("latin1"));
  }

  batch(): BackendBatch {
    const changes: Change[] = [];
    return {
      put: (key, value) => changes.push([key.toString("latin1"), Buffer.from(value)]),
      delete: (key) => changes.push([key.toString("latin1"), null]),
      write: (sync) => this.#write(changes, sync),
      discard: () => Promise.resolve(),
    };
  }

  async *entries(from: Buffer, to: Buffer): AsyncIterableIterator<[Buffer, Buffer]> {
    const [first, end] = [from.toString("latin1"), to.toString("latin1")];
    const found = [...this.#folder.values].filter(([key]) => key >= first && key < end);
    found.sort(([a], [b]) => (a < b ? -1 : 1));
    await this.#owner.turn();
    for (const [key, value] of found) yield [Buffer.from(key, "latin1"), value];
  }

  async compact(): Promise<void> {
    await this.#owner.turn();
  }

  async close(): Promise<void> {
    await this.#owner.turn();
    if (this.#folder.owner === this.#owner) this.#folder.owner = null;
  }
}

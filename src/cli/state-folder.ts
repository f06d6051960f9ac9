import { join } from "node:path";
import { KappaError } from "../core/errors.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import { taskFolders } from "../engine/task-folders.ts";
import { partitionOf } from "../log/partitioner.ts";
import type { StoreDescription } from "../observability/http-sources.ts";
import { LevelBackend } from "../state/level-backend.ts";
import { StateDatabase } from "../state/state-database.ts";
import { type CommitRecord, parseCommitRecord } from "../task/commit-record.ts";
import { TaskStores } from "../task/task-stores.ts";
import type { Topology } from "../topology/graph.ts";
import { stateKeyOf } from "./state-key-text.ts";
import type { StateAnswer } from "./state-service.ts";
import { storeDescriptions } from "./store-descriptions.ts";

/** Memory for the entities that are looked at. */
const cacheBytes = 64 * 1024 * 1024;

/** A key that a store of a task holds. */
export interface HeldKey {
  readonly partition: number;
  readonly key: string | number;
}

/**
 * The state of an application that does not run, from its folder: as of the last time each task wrote it to disk, which
 * is at most a second before the task ended. Nothing is changed.
 *
 * Of an application that several processes run, a folder has the tasks that its own process ran.
 */
export class StateFolder {
  readonly stores: readonly StoreDescription[];
  /** Tasks of the application. */
  readonly partitions: number;
  /** Tasks whose state is here. */
  readonly held: readonly number[];
  readonly #topology: Topology;
  readonly #directory: string;
  readonly #paths: ReadonlyMap<number, string>;

  /** @param stateDir folder of all applications' state @throws KAPPA_USAGE when the application has none there */
  static async open(stateDir: string, topology: Topology): Promise<StateFolder> {
    const directory = join(stateDir, topology.applicationId);
    const paths = newestPaths(directory);
    if (paths.size > 0) return new StateFolder(topology, directory, paths, await partitionsIn(paths));
    throw new KappaError(
      "KAPPA_USAGE",
      `application ${topology.applicationId} has no state in ${directory}; run it, or name another --state-dir`,
    );
  }

  private constructor(topology: Topology, directory: string, paths: ReadonlyMap<number, string>, partitions: number) {
    this.#topology = topology;
    this.#directory = directory;
    this.#paths = paths;
    this.held = [...paths.keys()].sort((a, b) => a - b);
    this.partitions = partitions;
    this.stores = storeDescriptions(topology, partitions);
  }

  /** @throws KAPPA_USAGE for a store that the topology does not have */
  store(name: string): StoreDescription {
    const store = this.stores.find((each) => each.name === name);
    if (store !== undefined) return store;
    const known = this.stores.map((each) => each.name).join(", ") || "none";
    throw new KappaError("KAPPA_USAGE", `no store ${name}; there are: ${known}`, { store: name });
  }

  /** @param asOfMs event time; undefined takes what the task had seen */
  async read(name: string, text: string, asOfMs: number | undefined): Promise<StateAnswer | undefined> {
    const key = stateKeyOf(this.store(name), text);
    const partition = partitionOf(key, this.partitions);
    return this.#withTask(partition, (database, stores) => {
      const timeMs = asOfMs ?? this.#orderTime(name, database);
      if (timeMs === undefined || timeMs === beginningOfTimeMs) return undefined;
      const value = stores.read(name, key, timeMs);
      return value === null
        ? undefined
        : { store: name, key: text, partition, as_of: new Date(timeMs).toISOString(), value };
    });
  }

  /** Up to `limit` keys of a store, task after task; of text keys those that begin with the prefix. */
  async *keys(name: string, prefix: string | null, limit: number): AsyncGenerator<HeldKey> {
    const { key: type } = this.store(name);
    if (prefix !== null && type === "number") {
      throw new KappaError("KAPPA_USAGE", `the keys of store ${name} are numbers: they have no prefix`, {
        store: name,
      });
    }
    let left = limit;
    for (const partition of this.held) {
      if (left === 0) return;
      const found: HeldKey[] = await this.#withTask(partition, async (database) => {
        const keys: HeldKey[] = [];
        for await (const key of database.keys(name, prefix)) {
          keys.push({ partition, key });
          if (keys.length >= left) break;
        }
        return keys;
      });
      left -= found.length;
      yield* found;
    }
  }

  /** Keys of every store in every task. */
  async counts(): Promise<{ readonly store: string; readonly partition: number; readonly keys: number }[]> {
    const counts: { store: string; partition: number; keys: number }[] = [];
    for (const partition of this.held) {
      await this.#withTask(partition, async (database) => {
        for (const { name } of this.stores) counts.push({ store: name, partition, keys: await database.count(name) });
      });
    }
    return counts;
  }

  async #withTask<Answer>(
    partition: number,
    use: (database: StateDatabase, stores: TaskStores) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    const path = this.#paths.get(partition);
    if (path === undefined) {
      throw new KappaError(
        "KAPPA_USAGE",
        `task ${partition} has no state in ${this.#directory}, only ${this.held.join(", ")} of ${this.partitions} tasks ` +
          "have: another process ran it; ask the running application with --url, or name its --state-dir",
      );
    }
    return withDatabase(path, (database) => use(database, new TaskStores(this.#topology, database)));
  }

  /** Order time of the stage that a store belongs to; undefined when the task never wrote its state. */
  #orderTime(store: string, database: StateDatabase): number | undefined {
    const { position } = database;
    if (position === null) return undefined;
    const record: CommitRecord = parseCommitRecord(position);
    const stage = this.#topology.subTopologies.findIndex(({ nodes }) => nodes.some(({ name }) => name === store));
    return record.stages[stage]?.orderTimeMs;
  }
}

async function withDatabase<Answer>(
  path: string,
  use: (database: StateDatabase) => Answer | Promise<Answer>,
): Promise<Answer> {
  const backend = await LevelBackend.open({ path });
  try {
    return await use(await StateDatabase.open({ backend, cacheBytes }));
  } finally {
    await backend.close();
  }
}

/** The database of each task that is furthest. */
function newestPaths(directory: string): Map<number, string> {
  const newest = new Map<number, string>();
  for (const [partition, [folder]] of taskFolders(directory))
    if (folder !== undefined) newest.set(partition, folder.path);
  return newest;
}

/** How many tasks the application has, as one of them wrote it; before the first commit, as many as are here. */
async function partitionsIn(paths: ReadonlyMap<number, string>): Promise<number> {
  for (const path of paths.values()) {
    const position = await withDatabase(path, (database) => database.position);
    if (position !== null) return parseCommitRecord(position).partitions;
  }
  return paths.size;
}

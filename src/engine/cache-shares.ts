/** How the memory for state of one task is divided. */
export interface CacheShares {
  /** Entities that the engine keeps. */
  readonly entityBytes: number;
  /** Changes that LevelDB gathers; it holds up to two such buffers. */
  readonly writeBufferBytes: number;
  /** Blocks of tables that LevelDB keeps. Small: hot entities are in our own cache, and the system keeps the files. */
  readonly blockCacheBytes: number;
}

const kib = 1024;
const mib = 1024 * kib;

/**
 * The bound that a user sets is meant for what the process takes for state, so half of it is for entities. The rest goes
 * to LevelDB's buffers, to the two copies of what a flush writes, and to what V8 and malloc hold around all of it:
 * measured with 5 million keys and 256 MB, as much again as the entities.
 */
export function cacheShares(taskBytes: number): CacheShares {
  const levelBytes = Math.floor(Math.min(mib, Math.max(256 * kib, taskBytes / 16)));
  return { entityBytes: Math.floor(taskBytes / 2), writeBufferBytes: levelBytes, blockCacheBytes: levelBytes };
}

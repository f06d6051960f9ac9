import type { CountedValues } from "./counted-values.ts";
import type { Entity } from "./entity.ts";
import type { MonotoneQueue } from "./monotone-queue.ts";
import type { SortedNumbers } from "./sorted-numbers.ts";
import type { StateKey } from "./state-key.ts";

/** Text values of events, row after row; null where a store holds no texts. */
export type Texts = (string | null)[] | null;

/**
 * Events that lie next to each other in memory, in event-time order, a row each: `| time | numbers | marks |`. Rows and
 * not columns, so that what an event needs lies in one cache line, and an insertion moves one piece of memory.
 */
export class EventRows {
  /** Arena address of the first row. */
  rowsAt: number;
  count = 0;
  texts: Texts;

  constructor(rowsAt: number, texts: Texts) {
    this.rowsAt = rowsAt;
    this.texts = texts;
  }
}

/** No chunk has this id: ids are 32 bits on disk. */
export const noChunk = 0xffff_ffff;

/** Whether a chunk on disk is as it is in memory: then it may leave memory. */
export const chunkStates = { clean: 0, dirty: 1, flushing: 2 } as const;

/** A full chunk of an entity with more events than fit beside its state: stored as a value of its own. */
export class EventChunk extends EventRows {
  readonly id: number;
  /** Ids of the chunks before and after in event-time order: LevelDB is read by exact key only. */
  previous: number;
  next: number;
  /** One of `chunkStates`. */
  state = 0;

  constructor(id: number, previous: number, next: number, rowsAt: number, texts: Texts) {
    super(rowsAt, texts);
    this.id = id;
    this.previous = previous;
    this.next = next;
  }
}

/** What an entity with several chunks knows of them. */
export interface Chain {
  /** Id of the newest chunk, which is the entity itself. */
  headId: number;
  /** The chunk before it. */
  previousId: number;
  oldestId: number;
  /** Event time of the newest event of the oldest chunk. */
  oldestNewestMs: number;
  nextId: number;
  /** Chunks in memory, besides the newest. */
  readonly loaded: Map<number, EventChunk>;
  /** How many of them are not on disk as they are. */
  unwritten: number;
  /** Chunks to be taken off the disk. */
  deleted: number[];
}

export type WindowIndex = MonotoneQueue | CountedValues | SortedNumbers;

/** What only some entities have. */
export interface EntityExtra {
  chain: Chain | null;
  /** Built when first asked for, from the events; never stored. */
  indexes: (WindowIndex | null)[] | null;
  /** Sums that need more than their cells, by cell. The cell then holds NaN. */
  wides: Map<number, Float64Array> | null;
  /** Bytes of indexes and wides that are accounted for. */
  accountedBytes: number;
}

/**
 * The events of one key and the state of every window over them. Most keys have few events, and millions of them may
 * be in memory: the entity is itself its newest chunk, its state cells lie in the same block right before the rows, and
 * everything rare hangs on `extra`.
 *
 *     block:  | cells: as-of time, positions, counts, totals | row | row | ... | room |
 *                                                            ^ rowsAt
 */
export class ReservoirEntity extends EventRows implements Entity {
  readonly key: StateKey;
  flags = 0;
  bytes = 0;
  extra: EntityExtra | null = null;

  constructor(key: StateKey, rowsAt: number, texts: Texts) {
    super(rowsAt, texts);
    this.key = key;
  }
}

export function extraOf(entity: ReservoirEntity): EntityExtra {
  entity.extra ??= { chain: null, indexes: null, wides: null, accountedBytes: 0 };
  return entity.extra;
}

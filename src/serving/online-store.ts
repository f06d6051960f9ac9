/**
 * The port to the online store: the newest record of each entity, for readers outside the stream. Two adapters stand
 * behind it (memory, Redis); they pass one conformance suite (`test/serving/online-store-conformance.ts`).
 *
 * The store itself knows, for each partition of a topic that a table is kept from, the position up to which it has the
 * records. Values and position move in one step, and only from the position that the writer thinks the store is at. So
 * whatever is sent again, or by two writers at once, leaves no trace, and a store that lost its data says so.
 */

/** A partition of a topic that a table is kept from. Offsets and positions are whole numbers below 2^53. */
export interface OnlinePlace {
  readonly table: string;
  readonly topic: string;
  readonly partition: number;
}

/**
 * Which of two records of an entity is the newer one. `offset`: the later one of the topic; all records of an entity lie
 * in one partition. `time`: the one of the later event time, then of the higher partition, then of the higher offset.
 */
export type OnlineOrder = "offset" | "time";

/** The newest record of an entity in a batch. */
export interface OnlineValue {
  readonly key: string;
  readonly timeMs: number;
  readonly offset: number;
  /** Names and texts in turn; null where the record says that the entity is gone, in the order `offset` alone. */
  readonly fields: readonly string[] | null;
}

/** What the records of one partition from one position to another change. */
export interface OnlineBatch extends OnlinePlace {
  /** Where the store must be for the batch to count; null: it has nothing of the partition yet. */
  readonly from: number | null;
  /** Where it is afterwards. */
  readonly next: number;
  readonly order: OnlineOrder;
  /** How long an entity stays after this write. */
  readonly ttlMs: number;
  /** At most one an entity; none when nothing changes but the position. */
  readonly values: readonly OnlineValue[];
}

/** What the store holds of an entity. */
export interface OnlineEntity {
  /** Event time of the record, epoch ms. */
  readonly timeMs: number;
  /** Where the record lies in the topic. */
  readonly partition: number;
  readonly offset: number;
  readonly fields: Readonly<Record<string, string>>;
}

/** The tables of one application. */
export interface OnlineStore {
  /**
   * Whether the store answers, as far as it is known without asking: undefined when it does, else what is the matter, for
   * people. Holds no secret.
   */
  readonly trouble: string | undefined;

  /** Next offset of a place that the store has not taken; null when it has nothing of the partition. */
  position(place: OnlinePlace): Promise<number | null>;

  /**
   * Takes batches, at most one a place. Each is taken whole or not at all: not when the store is elsewhere than at its
   * `from`. After a failure the caller does not know which were taken: it asks for the positions.
   *
   * @returns where the store is at the place of each batch: at `next` where it was taken
   * @throws KAPPA_SERVICE_UNREACHABLE
   */
  put(batches: readonly OnlineBatch[]): Promise<readonly (number | null)[]>;

  /** @returns null when it has nothing under the key, or had it longer than its time to live */
  get(table: string, key: string): Promise<OnlineEntity | null>;

  close(): Promise<void>;
}

/** Whether a record in a batch is newer than the one that is held, by the order `time`; a repetition is. */
export function newerByTime(
  record: Pick<OnlineEntity, "timeMs" | "partition" | "offset">,
  held: Pick<OnlineEntity, "timeMs" | "partition" | "offset">,
): boolean {
  if (record.timeMs !== held.timeMs) return record.timeMs > held.timeMs;
  if (record.partition !== held.partition) return record.partition > held.partition;
  return record.offset >= held.offset;
}

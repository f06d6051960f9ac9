/**
 * The ordered map of bytes under a task's state. Reads are synchronous, since they lie on the way of every record;
 * writes are whole batches, atomic and in order.
 */
export interface StateBackend {
  /** @throws KAPPA_STATE_CORRUPT, KAPPA_STATE_FAILED */
  get(key: Buffer): Buffer | undefined;
  batch(): BackendBatch;
  /** Entries with from <= key < to in byte order, as of the call; reads ahead within a bound. */
  entries(from: Buffer, to: Buffer): AsyncIterableIterator<[Buffer, Buffer]>;
  /** Gives the space of deleted entries in the range back to the file system. */
  compact(from: Buffer, to: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** Changes that take effect together. Keys and values are copied at the call: their buffers may be used again. */
export interface BackendBatch {
  put(key: Buffer, value: Buffer): void;
  delete(key: Buffer): void;
  /** @returns once it is on disk, fsynced if `sync` */
  write(sync: boolean): Promise<void>;
  /** Drops the batch. */
  discard(): Promise<void>;
}

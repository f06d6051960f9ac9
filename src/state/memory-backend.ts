import type { BackendBatch, StateBackend } from "./state-backend.ts";

/** Keeps everything in a map: for tests and for state that need not survive the process. */
export class MemoryBackend implements StateBackend {
  /** Keys as latin-1 text: one character a byte, so that text order is byte order. */
  readonly #values = new Map<string, Buffer>();

  get(key: Buffer): Buffer | undefined {
    return this.#values.get(key.toString("latin1"));
  }

  batch(): BackendBatch {
    const operations: [string, Buffer | null][] = [];
    return {
      put: (key, value) => operations.push([key.toString("latin1"), Buffer.from(value)]),
      delete: (key) => operations.push([key.toString("latin1"), null]),
      write: async () => {
        for (const [key, value] of operations) {
          if (value === null) this.#values.delete(key);
          else this.#values.set(key, value);
        }
      },
      discard: async () => {},
    };
  }

  async *entries(from: Buffer, to: Buffer): AsyncIterableIterator<[Buffer, Buffer]> {
    const first = from.toString("latin1");
    const end = to.toString("latin1");
    const found = [...this.#values].filter(([key]) => key >= first && key < end);
    found.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, value] of found) yield [Buffer.from(key, "latin1"), value];
  }

  async compact(): Promise<void> {}

  /** What was written stays readable: the same object can be opened again, as a directory could. */
  async close(): Promise<void> {}
}

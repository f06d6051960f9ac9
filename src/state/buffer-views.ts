/** Longest view that is kept. */
const keptBytesMax = 1024;

/**
 * Views of a buffer from one place on, kept by where they end: one made anew for each value that is written would be a
 * third of the garbage of a restore. A view shows what the buffer holds now; whoever is given one copies from it at once.
 */
export class BufferViews {
  readonly #from: number;
  #buffer: Buffer | null = null;
  #views: (Buffer | undefined)[] = [];

  constructor(from: number) {
    this.#from = from;
  }

  /** The bytes of `buffer` in front of `end`. */
  to(buffer: Buffer, end: number): Buffer {
    const length = end - this.#from;
    if (length > keptBytesMax) return buffer.subarray(this.#from, end);
    if (buffer !== this.#buffer) {
      this.#buffer = buffer;
      this.#views = [];
    }
    let view = this.#views[length];
    if (view === undefined) {
      view = buffer.subarray(this.#from, end);
      this.#views[length] = view;
    }
    return view;
  }
}

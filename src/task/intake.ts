/** Bytes of input that a stage takes into one commit, in all but the record that goes beyond it. */
const intakeBytesMax = 4 * 1024 * 1024;

/**
 * How much more a stage may take into the commit at hand. Rows are bounded by their number; large ones, and dead
 * letters, which become no rows, are bounded here, so that a flood of either is cut into many transactions instead of
 * one that the log refuses (64 MiB). What a stage writes is a small multiple of what it reads.
 */
export class Intake {
  #bytes = 0;

  /** A new commit begins. */
  begin(): void {
    this.#bytes = 0;
  }

  take(bytes: number): void {
    this.#bytes += bytes;
  }

  get spent(): boolean {
    return this.#bytes >= intakeBytesMax;
  }
}

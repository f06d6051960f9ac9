/** A scratch of at most this many bytes is kept for the next time. */
const keptBytes = 4 << 20;

/** Memory that is written over each time it is used. */
export class ScratchBytes {
  bytes: Buffer = Buffer.alloc(0);

  /** Makes room for `length` bytes in all, of which the first `written` are kept. */
  reserve(length: number, written: number): Buffer {
    if (length > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, this.bytes.length * 2));
      this.bytes.copy(grown, 0, 0, written);
      this.bytes = grown;
    }
    return this.bytes;
  }

  /** Lets go of what a large use left behind. */
  trim(): void {
    if (this.bytes.length > keptBytes) this.bytes = Buffer.alloc(0);
  }
}

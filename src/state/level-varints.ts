/** Reads LevelDB's numbers of seven bits a byte, lowest first, and what has its length in front. */
export class LevelVarints {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get ended(): boolean {
    return this.at >= this.#bytes.length;
  }

  /** @throws RangeError at the end of the bytes, or of what a number can hold */
  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined || scale > 2 ** 49) throw new RangeError(`no number at ${this.at}`);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  /** @throws RangeError when they are not all there */
  bytes(length: number): Buffer {
    const end = this.at + length;
    if (end > this.#bytes.length) throw new RangeError(`${length} bytes at ${this.at} of ${this.#bytes.length}`);
    const found = this.#bytes.subarray(this.at, end);
    this.at = end;
    return found;
  }

  /** @throws RangeError when they are not all there */
  lengthAndBytes(): Buffer {
    return this.bytes(this.number());
  }
}

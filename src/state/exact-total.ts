import type { ByteReader, ByteWriter } from "./bytes.ts";
import { addExact, addSquareExact, roundExact, wideCells } from "./exact-sum.ts";

/**
 * A sum without rounding that only grows. As long as everything in it is a whole number and the sum a safe integer it
 * is one number; then an expansion that takes the cells it needs. What it stands for depends on the numbers added, never
 * on their order.
 */
export class ExactTotal {
  #whole = 0;
  /** What is not in `#whole`; see exact-sum. */
  #cells: Float64Array | null = null;

  get bytes(): number {
    return 40 + (this.#cells === null ? 0 : 100 + this.#cells.byteLength);
  }

  /** @param value at most `magnitudeLimit` in magnitude */
  add(value: number): void {
    const whole = this.#whole + value;
    if (Number.isSafeInteger(value) && Number.isSafeInteger(whole)) this.#whole = whole;
    else this.#addWide(value);
  }

  addSquare(value: number): void {
    const square = value * value;
    if (Number.isSafeInteger(value) && Number.isSafeInteger(square)) {
      this.add(square);
      return;
    }
    let cells = this.#cells ?? this.#widen();
    while (!addSquareExact(cells, 0, cells.length, value, 1)) cells = this.#widen();
  }

  #addWide(value: number): void {
    let cells = this.#cells ?? this.#widen();
    while (!addExact(cells, 0, cells.length, value)) cells = this.#widen();
  }

  #widen(): Float64Array {
    const cells = new Float64Array(Math.min(wideCells, (this.#cells?.length ?? 2) * 2));
    if (this.#cells !== null) cells.set(this.#cells);
    this.#cells = cells;
    return cells;
  }

  addAll(other: ExactTotal): void {
    this.add(other.#whole);
    if (other.#cells === null) return;
    for (const component of other.#cells) if (component !== 0) this.#addWide(component);
  }

  /** The double nearest to the sum, ties to even. */
  get value(): number {
    return this.#cells === null ? this.#whole : roundExact(this.expansion(), 0, wideCells);
  }

  /** The sum as an expansion of `wideCells` cells; a copy. */
  expansion(): Float64Array {
    const wide = new Float64Array(wideCells);
    if (this.#cells !== null) wide.set(this.#cells);
    addExact(wide, 0, wideCells, this.#whole);
    return wide;
  }

  /** | whole f64 | components u8 | component f64 each | */
  write(writer: ByteWriter): void {
    const cells = this.#cells;
    let used = cells?.length ?? 0;
    while (used > 0 && cells?.[used - 1] === 0) used--;
    writer.f64(this.#whole);
    writer.u8(used);
    for (let i = 0; i < used; i++) writer.f64(cells?.[i] as number);
  }

  read(reader: ByteReader): void {
    this.#whole = reader.f64();
    const used = reader.u8();
    this.#cells = used === 0 ? null : new Float64Array(used);
    for (let i = 0; i < used; i++) (this.#cells as Float64Array)[i] = reader.f64();
  }
}

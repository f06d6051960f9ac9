/**
 * The smallest or largest value of a window whose ends move: the values no later one beats, oldest first, so that the
 * front is the answer. Each value has an ordinal, counted from the window's beginning, by which it is known when the
 * value that leaves is the front.
 *
 * A window's end may also move back. Then values that the removed ones had beaten count again; the queue says from
 * which ordinal on it no longer knows, and whoever holds the events fills the gap.
 */
export class MonotoneQueue {
  /** 1 keeps the largest in front, -1 the smallest. */
  readonly #sign: number;
  #values: number[] = [];
  #ordinals: number[] = [];
  #front = 0;
  /** Ordinals of the window: [tail, head). */
  #tail = 0;
  #head = 0;

  constructor(sign: 1 | -1) {
    this.#sign = sign;
  }

  /** The answer; undefined of nothing. */
  get extreme(): number | undefined {
    return this.#values[this.#front];
  }

  get bytes(): number {
    return 120 + this.#values.length * 16;
  }

  addNewest(value: number): void {
    const sign = this.#sign;
    const values = this.#values;
    while (values.length > this.#front && sign * (values[values.length - 1] as number) < sign * value) {
      values.pop();
      this.#ordinals.pop();
    }
    values.push(value);
    this.#ordinals.push(this.#head++);
  }

  addOldest(value: number): void {
    this.#tail--;
    const extreme = this.extreme;
    if (extreme !== undefined && this.#sign * extreme > this.#sign * value) return;
    if (this.#front === 0) this.#makeFront();
    this.#front--;
    this.#values[this.#front] = value;
    this.#ordinals[this.#front] = this.#tail;
  }

  removeOldest(): void {
    if (this.#ordinals[this.#front] === this.#tail) this.#front++;
    this.#tail++;
    if (this.#front > 32 && this.#front * 2 > this.#values.length) this.#trim();
  }

  /** After this, values older than the removed one may be missing: see `gap` and `fill`. */
  removeNewest(): void {
    this.#head--;
    const last = this.#ordinals.length - 1;
    if (last >= this.#front && this.#ordinals[last] === this.#head) {
      this.#ordinals.pop();
      this.#values.pop();
    }
  }

  /** How many of the newest values may be missing: those behind the newest one that is known to be unbeaten. */
  get gap(): number {
    const known =
      this.#ordinals.length > this.#front ? (this.#ordinals[this.#ordinals.length - 1] as number) + 1 : this.#tail;
    return this.#head - known;
  }

  /** Takes the newest `gap` values, newest first, into the queue. */
  fill(newestFirst: readonly number[]): void {
    const sign = this.#sign;
    const head = this.#head;
    const found: number[] = [];
    let best = Number.NaN;
    for (let i = 0; i < newestFirst.length; i++) {
      const value = newestFirst[i] as number;
      if (sign * value < sign * best) continue;
      best = value;
      found.push(i);
    }
    for (let i = found.length - 1; i >= 0; i--) {
      const back = found[i] as number;
      this.#values.push(newestFirst[back] as number);
      this.#ordinals.push(head - 1 - back);
    }
  }

  #makeFront(): void {
    const room = 16 + (this.#values.length >> 1);
    this.#values = [...Array.from({ length: room }, () => 0), ...this.#values];
    this.#ordinals = [...Array.from({ length: room }, () => 0), ...this.#ordinals];
    this.#front = room;
  }

  #trim(): void {
    this.#values = this.#values.slice(this.#front);
    this.#ordinals = this.#ordinals.slice(this.#front);
    this.#front = 0;
  }
}

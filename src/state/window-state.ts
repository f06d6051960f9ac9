import { Arena } from "./arena.ts";
import type { EventMemory } from "./event-memory.ts";
import type { EventSequence } from "./event-sequence.ts";
import { addExact, addSquareExact, wideCells } from "./exact-sum.ts";
import { type EventRows, extraOf, type ReservoirEntity } from "./reservoir-entity.ts";
import { type HeadPlan, type ReservoirPlan, totalKinds, totalWidths, type WindowPlan } from "./reservoir-plan.ts";
import type { WindowIndexes } from "./window-indexes.ts";

/** As-of time of an entity: every window's ends stand as they should for it, except for events inserted since. */
export const asOfCell = 0;

/**
 * Moves the ends of an entity's windows over its events, adding what enters and removing what leaves. Adding and
 * removing are exact inverses, so a state depends on the events in the window alone, not on the way there: the ends
 * move back for an event out of order, and forward again for the next.
 *
 *     events      a   b   c   d   e   f
 *     sliding         |---------------|      [tail, head): both move with the as-of time
 *     delayed     |-------|                  its head is behind
 *     count 3                 |-------|      the tail follows the head
 *     unbounded   |-------------------|      no tail
 */
export class WindowState {
  readonly #plan: ReservoirPlan;
  readonly #memory: EventMemory;
  readonly #sequence: EventSequence;
  readonly #indexes: WindowIndexes;

  constructor(plan: ReservoirPlan, memory: EventMemory, sequence: EventSequence, indexes: WindowIndexes) {
    this.#plan = plan;
    this.#memory = memory;
    this.#sequence = sequence;
    this.#indexes = indexes;
  }

  /** Forgets every window's state; the next move computes it from the events. */
  reset(entity: ReservoirEntity): void {
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    cells.fill(0, base, base + this.#plan.cellCount);
    const start = this.#sequence.start(entity);
    for (const cell of this.#plan.positionCells) cells[base + cell] = start;
    for (const cell of this.#plan.extremeCells) cells[base + cell] = Number.NaN;
  }

  /** Moves every window to `timeMs`. */
  moveTo(entity: ReservoirEntity, timeMs: number): void {
    const single = entity.extra === null || entity.extra.chain === null;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    if (single && timeMs >= (cells[base + asOfCell] as number)) this.#moveOn(entity, timeMs, cells, base);
    else this.#move(entity, timeMs, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
  }

  /**
   * Moves every window to a time that is older than the grace. Only what the next rows could need is held for sure, so
   * only that counts: events after `floorMs`, and in count windows those among the last `size` at `boundaryMs`.
   */
  moveToLate(entity: ReservoirEntity, timeMs: number, floorMs: number, boundaryMs: number): void {
    this.#move(entity, timeMs, floorMs, boundaryMs);
  }

  /** `#move` for the usual case, forward over the entity's own rows: there a position is an offset. */
  #moveOn(entity: ReservoirEntity, timeMs: number, cells: Float64Array, base: number): void {
    const { heads, stride, cellCount } = this.#plan;
    const rows = base + cellCount;
    cells[base + asOfCell] = timeMs;
    for (let h = 0; h < heads.length; h++) {
      const head = heads[h] as HeadPlan;
      const windows = head.windows;
      let offset = cells[base + head.headCell] as number;
      while (offset < entity.count && (cells[rows + offset * stride] as number) <= timeMs - head.delayMs) {
        for (let i = 0; i < windows.length; i++) {
          this.#addRow(entity, windows[i] as WindowPlan, cells, base, entity, offset, 1);
        }
        this.#indexes.addNewest(entity, head, entity, offset);
        cells[base + head.headCell] = ++offset;
      }
      for (let i = 0; i < windows.length; i++) {
        const window = windows[i] as WindowPlan;
        if (window.kind === "sliding") this.#leave(entity, window, cells, base, timeMs - window.leaveMs);
        else if (window.kind === "count") this.#fit(entity, window);
      }
    }
  }

  /** Lets the oldest events leave a sliding window over the entity's own rows. */
  #leave(entity: ReservoirEntity, window: WindowPlan, cells: Float64Array, base: number, boundMs: number): void {
    const { stride, cellCount } = this.#plan;
    const rows = base + cellCount;
    let tail = cells[base + window.tailCell] as number;
    while ((cells[base + window.countCell] as number) > 0 && (cells[rows + tail * stride] as number) <= boundMs) {
      this.#addRow(entity, window, cells, base, entity, tail, -1);
      this.#indexes.removeOldest(entity, window, entity, tail);
      cells[base + window.tailCell] = ++tail;
    }
  }

  /** Fills a count window up, or cuts it, to its size. */
  #fit(entity: ReservoirEntity, window: WindowPlan): void {
    this.#retreatTail(entity, window, Number.NEGATIVE_INFINITY, window.size);
    this.#advanceTail(entity, window, Number.POSITIVE_INFINITY, window.size);
  }

  #move(entity: ReservoirEntity, timeMs: number, floorMs: number, boundaryMs: number): void {
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const back = timeMs < (cells[base + asOfCell] as number);
    const late = Number.isFinite(boundaryMs);
    cells[base + asOfCell] = timeMs;
    for (const head of this.#plan.heads) {
      if (back) this.#retreatHead(entity, head, timeMs - head.delayMs);
      this.#advanceHead(entity, head, timeMs - head.delayMs);
      const windows = head.windows;
      for (let i = 0; i < windows.length; i++) {
        const window = windows[i] as WindowPlan;
        if (window.kind === "sliding") {
          const bound = Math.max(timeMs - window.leaveMs, floorMs);
          if (back) this.#retreatTail(entity, window, bound, Number.POSITIVE_INFINITY);
          this.#advanceTail(entity, window, bound, 0);
        } else if (window.kind === "count") {
          const newer = late ? this.#countUntil(entity, head, boundaryMs, window.size) : 0;
          this.#retreatTail(entity, window, Number.NEGATIVE_INFINITY, window.size - newer);
          this.#advanceTail(entity, window, Number.POSITIVE_INFINITY, window.size - newer);
        }
      }
    }
  }

  /** Counts in the event just inserted at the undelayed head. */
  include(entity: ReservoirEntity, position: number): void {
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const head = this.#plan.heads[0] as HeadPlan;
    const rows = this.#sequence.rowsAt(entity, position);
    const offset = this.#sequence.offsetAt(position);
    const windows = head.windows;
    for (let i = 0; i < windows.length; i++) {
      this.#addRow(entity, windows[i] as WindowPlan, cells, base, rows, offset, 1);
    }
    this.#indexes.addNewest(entity, head, rows, offset);
    cells[base + head.headCell] = this.#sequence.position(entity, rows, offset + 1);
    for (let i = 0; i < windows.length; i++) {
      const window = windows[i] as WindowPlan;
      if (window.kind === "count") this.#advanceTail(entity, window, Number.POSITIVE_INFINITY, window.size);
    }
  }

  /** Counts out the newest event before the undelayed head. @returns its position, where the head is now */
  exclude(entity: ReservoirEntity): number {
    const head = this.#plan.heads[0] as HeadPlan;
    this.#retreatHead(entity, head, Number.NEGATIVE_INFINITY, 1);
    return this.#memory.cells(entity)[this.#memory.cellsAt(entity) + head.headCell] as number;
  }

  /** Adds (1) or removes (-1) an event in a window's count and totals. */
  #add(entity: ReservoirEntity, window: WindowPlan, rows: EventRows, offset: number, sign: 1 | -1): void {
    this.#addRow(entity, window, this.#memory.cells(entity), this.#memory.cellsAt(entity), rows, offset, sign);
  }

  #addRow(
    entity: ReservoirEntity,
    window: WindowPlan,
    cells: Float64Array,
    base: number,
    rows: EventRows,
    offset: number,
    sign: 1 | -1,
  ): void {
    const at = base + window.countCell;
    cells[at] = (cells[at] as number) + sign;
    if (window.totalKinds.length > 0) this.#addTotals(entity, window, cells, base, rows, offset, sign);
  }

  #addTotals(
    entity: ReservoirEntity,
    window: WindowPlan,
    cells: Float64Array,
    base: number,
    rows: EventRows,
    offset: number,
    sign: 1 | -1,
  ): void {
    const { stride, textCount } = this.#plan;
    const address = rows.rowsAt + offset * stride;
    const page = this.#memory.page(address);
    const row = address & Arena.pageMask;
    const kinds = window.totalKinds;
    for (let i = 0; i < kinds.length; i++) {
      const kind = kinds[i] as number;
      const column = window.totalColumns[i] as number;
      const cell = window.totalCells[i] as number;
      const at = base + cell;
      if (kind === totalKinds.texts) {
        const texts = rows.texts as (string | null)[];
        if (texts[offset * textCount + column] !== null) cells[at] = (cells[at] as number) + sign;
        continue;
      }
      const value = page[row + column] as number;
      if (Number.isNaN(value)) continue;
      const total = cells[at] as number;
      if (kind === totalKinds.numbers) {
        cells[at] = total + sign;
      } else if (kind === totalKinds.integerSum) {
        const sum = total + sign * value;
        if (Number.isSafeInteger(sum)) cells[at] = sum;
        else this.#addWide(entity, cell, kind, value, sign);
      } else if (kind === totalKinds.numberSum) {
        if (Number.isNaN(total) || !addExact(cells, at, totalWidths[3], sign * value)) {
          this.#addWide(entity, cell, kind, value, sign);
        }
      } else if (Number.isNaN(total) || !addSquareExact(cells, at, totalWidths[4], value, sign)) {
        this.#addWide(entity, cell, kind, value, sign);
      }
    }
  }

  /** Adds to a sum that its cells cannot hold: it lives beside the entity from now on, with NaN in its first cell. */
  #addWide(entity: ReservoirEntity, cell: number, kind: number, value: number, sign: 1 | -1): void {
    const cells = this.#memory.cells(entity);
    const at = this.#memory.cellsAt(entity) + cell;
    const extra = extraOf(entity);
    extra.wides ??= new Map();
    let wide = extra.wides.get(cell);
    if (wide === undefined) {
      wide = new Float64Array(wideCells);
      for (let i = 0; i < (totalWidths[kind] as number); i++) addExact(wide, 0, wideCells, cells[at + i] as number);
      cells[at] = Number.NaN;
      extra.wides.set(cell, wide);
    }
    if (kind === totalKinds.squareSum) addSquareExact(wide, 0, wideCells, value, sign);
    else addExact(wide, 0, wideCells, sign * value);
  }

  #advanceHead(entity: ReservoirEntity, head: HeadPlan, limitMs: number): void {
    const sequence = this.#sequence;
    const cells = this.#memory.cells(entity);
    const at = this.#memory.cellsAt(entity) + head.headCell;
    let rows = sequence.rowsAt(entity, cells[at] as number);
    let offset = sequence.offsetAt(cells[at] as number);
    const windows = head.windows;
    for (;;) {
      if (offset === rows.count) {
        const next = sequence.after(entity, rows);
        if (next === null) break;
        rows = next;
        offset = 0;
        sequence.unloadIdle(entity, rows);
        continue;
      }
      if (this.#memory.timeAt(rows, offset) > limitMs) break;
      for (let i = 0; i < windows.length; i++) this.#add(entity, windows[i] as WindowPlan, rows, offset, 1);
      this.#indexes.addNewest(entity, head, rows, offset);
      offset++;
    }
    cells[at] = sequence.position(entity, rows, offset);
  }

  /** Moves a head back while the event before it is after `limitMs`, `most` events at most. */
  #retreatHead(entity: ReservoirEntity, head: HeadPlan, limitMs: number, most = Number.POSITIVE_INFINITY): void {
    const sequence = this.#sequence;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const at = base + head.headCell;
    let rows = sequence.rowsAt(entity, cells[at] as number);
    let offset = sequence.offsetAt(cells[at] as number);
    for (let moved = 0; moved < most; moved++) {
      let previous: EventRows = rows;
      if (offset === 0) {
        const before = sequence.before(entity, rows);
        if (before === null) break;
        previous = before;
        offset = before.count;
      }
      if (this.#memory.timeAt(previous, offset - 1) <= limitMs) {
        if (previous !== rows) offset = 0;
        break;
      }
      if (previous !== rows) sequence.unloadIdle(entity, previous);
      rows = previous;
      offset--;
      for (const window of head.windows) {
        if ((cells[base + window.countCell] as number) === 0) continue;
        this.#add(entity, window, rows, offset, -1);
        this.#indexes.removeNewest(entity, window, rows, offset);
      }
    }
    const position = sequence.position(entity, rows, offset);
    cells[at] = position;
    for (const window of head.windows) {
      if (window.tailCell >= 0 && cells[base + window.countCell] === 0) cells[base + window.tailCell] = position;
    }
    this.#indexes.fillGaps(entity, head, rows, offset);
  }

  /** Removes the oldest events of a window while there are more than `keep` and they are at or before `boundMs`. */
  #advanceTail(entity: ReservoirEntity, window: WindowPlan, boundMs: number, keep: number): void {
    const sequence = this.#sequence;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    let count = cells[base + window.countCell] as number;
    if (count <= keep || count === 0) return;
    const at = base + window.tailCell;
    let rows = sequence.rowsAt(entity, cells[at] as number);
    let offset = sequence.offsetAt(cells[at] as number);
    if (this.#memory.timeAt(rows, offset) > boundMs) return;
    while (count > keep && count > 0) {
      if (this.#memory.timeAt(rows, offset) > boundMs) break;
      this.#add(entity, window, rows, offset, -1);
      this.#indexes.removeOldest(entity, window, rows, offset);
      count--;
      offset++;
      if (offset === rows.count && rows !== entity) {
        rows = sequence.after(entity, rows) as EventRows;
        offset = 0;
        sequence.unloadIdle(entity, rows);
      }
    }
    cells[at] = sequence.position(entity, rows, offset);
  }

  /** Takes older events into a window again while they are after `boundMs` and it holds fewer than `most`. */
  #retreatTail(entity: ReservoirEntity, window: WindowPlan, boundMs: number, most: number): void {
    const sequence = this.#sequence;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    if ((cells[base + window.countCell] as number) >= most) return;
    const at = base + window.tailCell;
    let rows = sequence.rowsAt(entity, cells[at] as number);
    let offset = sequence.offsetAt(cells[at] as number);
    while ((cells[base + window.countCell] as number) < most) {
      if (offset === 0) {
        const before = sequence.before(entity, rows);
        if (before === null || this.#memory.timeAt(before, before.count - 1) <= boundMs) break;
        rows = before;
        offset = before.count;
        sequence.unloadIdle(entity, rows);
      }
      if (this.#memory.timeAt(rows, offset - 1) <= boundMs) break;
      offset--;
      this.#add(entity, window, rows, offset, 1);
      this.#indexes.addOldest(entity, window, rows, offset);
    }
    cells[at] = sequence.position(entity, rows, offset);
  }

  /** Adds or removes an event in the totals of each window that holds it, the windows standing at `asOfMs`. */
  totalsAround(entity: ReservoirEntity, rows: EventRows, offset: number, asOfMs: number, sign: 1 | -1): void {
    const timeMs = this.#memory.timeAt(rows, offset);
    for (const head of this.#plan.heads) {
      if (timeMs > asOfMs - head.delayMs) continue;
      for (const window of head.windows) {
        const totals = window.totalKinds.length > 0;
        if (totals && this.#holds(entity, window, rows, offset, timeMs, asOfMs)) {
          this.#addTotals(entity, window, this.#memory.cells(entity), this.#memory.cellsAt(entity), rows, offset, sign);
        }
      }
    }
  }

  #holds(
    entity: ReservoirEntity,
    window: WindowPlan,
    rows: EventRows,
    offset: number,
    timeMs: number,
    asOfMs: number,
  ): boolean {
    if (window.kind === "unbounded") return true;
    const cells = this.#memory.cells(entity);
    const base = this.#memory.cellsAt(entity);
    const held = cells[base + window.countCell] as number;
    if (window.kind === "sliding") {
      // Not by the as-of time: after a late event the tail stands further on than it says. Ties are all held or none.
      if (held === 0) return false;
      const tail = cells[base + window.tailCell] as number;
      const oldest = this.#sequence.rowsAt(entity, tail);
      return timeMs >= this.#memory.timeAt(oldest, this.#sequence.offsetAt(tail));
    }
    return this.#countFrom(entity, rows, offset, asOfMs, held + 1) <= held;
  }

  /** Whether an event before the grace, from `offset` on, is among the last ones that count windows may ask for. */
  countsAt(entity: ReservoirEntity, rows: EventRows, offset: number, boundaryMs: number): boolean {
    const { heldCount } = this.#plan;
    return this.#countFrom(entity, rows, offset, boundaryMs, heldCount + 1) <= heldCount;
  }

  /** Events behind a head at or before `limitMs`, counted up to `most`. */
  #countUntil(entity: ReservoirEntity, head: HeadPlan, limitMs: number, most: number): number {
    const sequence = this.#sequence;
    const position = this.#memory.cells(entity)[this.#memory.cellsAt(entity) + head.headCell] as number;
    return this.#countFrom(entity, sequence.rowsAt(entity, position), sequence.offsetAt(position), limitMs, most);
  }

  #countFrom(entity: ReservoirEntity, from: EventRows, at: number, limitMs: number, most: number): number {
    let rows: EventRows | null = from;
    let offset = at;
    let count = 0;
    while (rows !== null && count < most) {
      if (offset === rows.count) {
        rows = this.#sequence.after(entity, rows);
        offset = 0;
        continue;
      }
      if (this.#memory.timeAt(rows, offset) > limitMs) break;
      count++;
      offset++;
    }
    return count;
  }
}

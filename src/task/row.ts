import type { Value } from "../topology/graph.ts";

/**
 * One event on its way through a sub-topology: its value and where it stands in the order of the task. One object a
 * row; processors replace `value` and hand the same row on, or a copy where the way forks.
 */
export class Row {
  /** What the row holds now; null only for a tombstone of a table. */
  value: Value;
  /** True for a null value: the deletion of a table's key. */
  tombstone: boolean;
  /** Event time, epoch ms. */
  timeMs: number;
  /** Highest time of the task's order so far, this row included: what lateness is judged by. Never falls. */
  orderTimeMs: number;
  /** Order among rows of one instant: control 0, tables and labels 1, events 2. */
  rank: number;
  /**
   * Whether the event was older than the grace when the first stage that judges it read it, or died before and was sent
   * again: it gets features as of its time, and is not counted in those of others, perhaps for a second time.
   */
  late: boolean;
  /** Whether a dedup let it pass; `before` when that was before it died and was sent again: it is no duplicate of itself. */
  passed: "not" | "now" | "before";
  /** Node whose children get the row. */
  origin: number;
  /** Offset (inputs) or row counter of the sender (repartitioned rows). */
  sequence: number;

  constructor(value: Value, timeMs: number, orderTimeMs: number, rank: number, origin: number, sequence: number) {
    this.value = value;
    this.tombstone = false;
    this.timeMs = timeMs;
    this.orderTimeMs = orderTimeMs;
    this.rank = rank;
    this.late = false;
    this.passed = "not";
    this.origin = origin;
    this.sequence = sequence;
  }

  /** The same row with another value: where the way forks, each arm has a row of its own. */
  copy(): Row {
    const copy = new Row(this.value, this.timeMs, this.orderTimeMs, this.rank, this.origin, this.sequence);
    copy.tombstone = this.tombstone;
    copy.late = this.late;
    copy.passed = this.passed;
    return copy;
  }
}
